//! Answers to single requests, right ones and wrong ones.

use std::{future, io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{self, State as Extracted},
    http::{StatusCode, header},
    response::Response,
};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    fault::{Fault, StreamingLists},
    request::{Request, Verb},
    selector::Selector,
    state::{Shared, State},
    store::{self, Key, Page, Query},
    stream::{Begin, Watch},
};

const JSON: &str = "application/json";
/// Largest body of a request.
const LARGEST_BODY: usize = 1 << 20;
/// How long half an answer may take to leave before the connection is closed under it.
const LEAVING: Duration = Duration::from_millis(20);

/// The handler of every path.
pub(super) async fn answer(
    Extracted(shared): Extracted<Arc<Shared>>,
    request: extract::Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let request = Request::of(&parts);
    let (index, fault) = shared.lock().record(&request);
    let response = match fault {
        None => right(&shared, &request, body).await,
        Some(Fault::Status(code)) => failure(code),
        Some(Fault::TooManyRequests(seconds)) => {
            let mut response = failure(429);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Some(Fault::Stalled) => future::pending().await,
        Some(Fault::Late(time)) => {
            sleep(time).await;
            right(&shared, &request, body).await
        }
        Some(Fault::Truncated) => truncated(right(&shared, &request, body).await).await,
        Some(Fault::Page) => {
            respond(200, "text/html", "<html><body>Please log in</body></html>".into())
        }
    };
    shared.lock().requests[index].status = Some(response.status().as_u16());
    response
}

/// The body of a failure.
pub(super) fn status(code: u16) -> Value {
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": format!("told to answer {code}"), "reason": reason, "code": code,
    })
}

fn failure(code: u16) -> Response {
    respond(code, JSON, status(code).to_string().into())
}

fn success(value: &Value) -> Response {
    respond(200, JSON, value.to_string().into())
}

fn respond(code: u16, content: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::IM_A_TEAPOT);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content));
    response
}

/// The first half of what would come first, then the end of the connection.
async fn truncated(response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let first = body.into_data_stream().next().await.and_then(Result::ok).unwrap_or_default();
    let half = first.slice(..first.len() / 2);
    let pieces = [Ok(half), Err(io::Error::from(io::ErrorKind::ConnectionReset))];
    let pieces = stream::iter(pieces).then(async |piece: io::Result<Bytes>| {
        if piece.is_err() {
            sleep(LEAVING).await;
        }
        piece
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

async fn right(shared: &Arc<Shared>, request: &Request, body: Body) -> Response {
    if !shared.lock().lets_in(request.token.as_deref()) {
        return failure(401);
    }
    let key = || {
        let namespace = request.namespace.as_deref().unwrap_or_default();
        Key::new(&request.resource, namespace, request.name.as_deref().unwrap_or_default())
    };
    match request.verb {
        Verb::Watch => watch(shared, request),
        Verb::List => query(request)
            .map_or_else(|| failure(400), |query| list(&mut shared.lock(), request, &query)),
        Verb::Get => shared.lock().store.get(&key()).map_or_else(|| failure(404), |it| success(it)),
        Verb::Delete => match shared.change(|state| state.store.remove(&key())) {
            true => success(&json!({"apiVersion": "v1", "kind": "Status", "status": "Success"})),
            false => failure(404),
        },
        Verb::Create | Verb::Update | Verb::Patch => {
            let body = axum::body::to_bytes(body, LARGEST_BODY).await.unwrap_or_default();
            match serde_json::from_slice(&body) {
                Ok(object) => shared.change(|state| write(state, request, &key(), object)),
                Err(_) => failure(400),
            }
        }
    }
}

/// What a list or watch is about; `None` if its selectors are not understood.
fn query(request: &Request) -> Option<Query> {
    let selector = |name| Selector::parse(request.query.get(name).map_or("", String::as_str));
    Some(Query {
        resource: request.resource.clone(),
        namespace: request.namespace.clone(),
        labels: selector("labelSelector")?,
        fields: selector("fieldSelector")?,
    })
}

fn number<T: std::str::FromStr>(request: &Request, name: &str) -> Option<T> {
    request.query.get(name).and_then(|text| text.parse().ok())
}

fn list(state: &mut State, request: &Request, query: &Query) -> Response {
    let limit = number(request, "limit").filter(|limit| *limit > 0);
    let page = match request.query.get("continue") {
        None => Some(state.store.list(query, limit)),
        Some(token) => state.store.go_on(token, limit),
    };
    let Some(Page { version, items, rest }) = page else { return failure(410) };
    let (api_version, kind) = store::kind(&query.resource);
    let mut metadata = json!({"resourceVersion": version.to_string()});
    if let Some((token, left)) = rest {
        metadata["continue"] = token.into();
        metadata["remainingItemCount"] = left.into();
    }
    let items: Vec<Value> = items.iter().map(|item| without_kind(item)).collect();
    success(&json!({
        "apiVersion": api_version, "kind": format!("{kind}List"), "metadata": metadata,
        "items": items,
    }))
}

/// In a list, only the list says what its items are.
fn without_kind(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    item
}

fn watch(shared: &Arc<Shared>, request: &Request) -> Response {
    let Some(query) = query(request) else { return failure(400) };
    let asked = |name: &str| request.query.get(name).is_some_and(|value| value == "true");
    let version = number(request, "resourceVersion").filter(|version| *version > 0);
    let streaming_lists = shared.lock().streaming_lists;
    let begin = match (asked("sendInitialEvents"), streaming_lists) {
        (true, StreamingLists::Refused) => return failure(422),
        (true, StreamingLists::Served) => Begin::StreamingList,
        _ => version.map_or(Begin::Everything, Begin::After),
    };
    let limit = number(request, "timeoutSeconds").map(Duration::from_secs);
    let watch = Watch::new(shared, query, begin, limit);
    respond(200, JSON, Body::from_stream(watch.stream()))
}

fn write(state: &mut State, request: &Request, key: &Key, object: Value) -> Response {
    let old = state.store.get(key).map(|old| Value::clone(old));
    let mut new = match (request.verb, old) {
        (Verb::Patch, Some(mut old)) => {
            merge(&mut old, object);
            old
        }
        (Verb::Update, None) => return failure(404),
        _ => object,
    };
    if let Some(metadata) = new.get_mut("metadata").and_then(Value::as_object_mut) {
        if let Some(namespace) = &request.namespace {
            metadata.insert("namespace".into(), namespace.clone().into());
        }
        let prefix = metadata.get("generateName").and_then(Value::as_str).map(str::to_owned);
        if let (Some(prefix), false) = (prefix, metadata.contains_key("name")) {
            let name = format!("{prefix}{}", state.store.version());
            metadata.insert("name".into(), name.into());
        }
    }
    let key = state.store.put(&request.resource, new);
    state.store.get(&key).map_or_else(|| failure(500), |object| success(object))
}

/// As a merge patch: objects field by field, null takes away, all else replaces.
fn merge(old: &mut Value, patch: Value) {
    match (old, patch) {
        (Value::Object(old), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    old.remove(&key);
                } else {
                    merge(old.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (old, patch) => *old = patch,
    }
}
