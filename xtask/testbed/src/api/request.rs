//! What was asked for: a request's path and query in the terms of the API, and the record of it.

use std::{collections::BTreeMap, time::Instant};

use axum::http::{Method, Uri, header, request::Parts};

/// What a request would do, in the terms of access rules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verb {
    /// One object.
    Get,
    /// All objects, or the next page of them.
    List,
    /// A stream of changes.
    Watch,
    /// A new object.
    Create,
    /// Part of an object, or an object by server-side apply.
    Patch,
    /// A whole object in place of another.
    Update,
    /// An object's end.
    Delete,
}

/// A request that came, and what became of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// When.
    pub at: Instant,
    /// What it would do.
    pub verb: Verb,
    /// The plural of its resource; empty if the path is not one of a resource.
    pub resource: String,
    /// The namespace in its path.
    pub namespace: Option<String>,
    /// The object's name in its path.
    pub name: Option<String>,
    /// The path itself.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// Who says to ask.
    pub user_agent: String,
    /// The bearer token.
    pub token: Option<String>,
    /// The status it was answered with; `None` if it was not answered.
    pub status: Option<u16>,
}

impl Request {
    /// Reads a request's head.
    pub(super) fn of(parts: &Parts) -> Self {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let query = query(&parts.uri);
        let path = parts.uri.path();
        let place = place(path);
        let watches = query.get("watch").is_some_and(|value| value == "true" || value == "1");
        let verb = match parts.method {
            Method::POST => Verb::Create,
            Method::PATCH => Verb::Patch,
            Method::PUT => Verb::Update,
            Method::DELETE => Verb::Delete,
            _ if watches => Verb::Watch,
            _ if place.name.is_some() => Verb::Get,
            _ => Verb::List,
        };
        Self {
            at: Instant::now(),
            verb,
            resource: place.resource,
            namespace: place.namespace,
            name: place.name,
            path: path.to_owned(),
            query,
            user_agent: header(header::USER_AGENT).unwrap_or_default().to_owned(),
            token: header(header::AUTHORIZATION)
                .and_then(|value| value.strip_prefix("Bearer "))
                .map(str::to_owned),
            status: None,
        }
    }
}

struct Place {
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
}

/// `/api/v1/...` or `/apis/GROUP/VERSION/...`, then `namespaces/NAMESPACE/` if it is in one, then
/// `RESOURCE` or `RESOURCE/NAME`.
fn place(path: &str) -> Place {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => &[],
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let at = |index: usize| rest.get(index).map(|part| (*part).to_owned());
    Place {
        resource: at(0).unwrap_or_default(),
        namespace: namespace.map(str::to_owned),
        name: at(1),
    }
}

fn query(uri: &Uri) -> BTreeMap<String, String> {
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
        .collect()
}

/// Undoes the encoding of forms: `+` is a space, `%xx` a byte.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| (byte as char).to_digit(16));
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                (high.unwrap_or(0) * 16 + low.unwrap_or(0)) as u8
            }
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_read_as_the_api_means_them() {
        let check = |method: Method, uri: &str, verb, resource: &str, name: Option<&str>| {
            let request = axum::http::Request::builder().method(method).uri(uri);
            let (parts, ()) = request.body(()).expect("a request").into_parts();
            let seen = Request::of(&parts);
            let name = name.map(str::to_owned);
            assert_eq!((seen.verb, seen.resource, seen.name), (verb, resource.into(), name));
            seen.query
        };
        check(Method::GET, "/api/v1/services?limit=5", Verb::List, "services", None);
        check(Method::GET, "/api/v1/nodes/node1", Verb::Get, "nodes", Some("node1"));
        check(
            Method::POST,
            "/apis/events.k8s.io/v1/namespaces/default/events",
            Verb::Create,
            "events",
            None,
        );
        let query = check(
            Method::GET,
            "/apis/discovery.k8s.io/v1/endpointslices?watch=true&labelSelector=%21a%2Fb%2C+c",
            Verb::Watch,
            "endpointslices",
            None,
        );
        assert_eq!(query["labelSelector"], "!a/b, c");
    }
}
