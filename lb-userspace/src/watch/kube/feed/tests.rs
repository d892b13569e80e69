//! A feed against answers that are written down beforehand. The clock stands still but for waits.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use futures_util::{StreamExt as _, future::Either, stream};
use http::{Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value as Json, json};
use tokio::time::timeout;

use super::*;

/// What a server does when it is asked.
enum Answer {
    /// A status, and a body with it.
    Says(u16, Json),
    /// Lines, and then the end.
    Ends(Vec<Json>),
    /// Lines, and then silence.
    Hangs(Vec<Json>),
    /// Half a line, and then the end.
    Breaks,
}

use Answer::{Breaks, Ends, Hangs, Says};

type Asked = Arc<Mutex<Vec<String>>>;

/// A server that gives these answers, then none, and what it was asked.
fn server(answers: impl IntoIterator<Item = Answer>) -> (Client, Asked) {
    let mut answers: VecDeque<_> = answers.into_iter().collect();
    let asked = Asked::default();
    let notes = Arc::clone(&asked);
    let service = tower::service_fn(move |request: Request<Body>| {
        notes.lock().unwrap().push(request.uri().query().unwrap_or_default().to_owned());
        let answer = answers.pop_front();
        async move {
            let lines = |lines: Vec<Json>| lines.iter().map(|line| format!("{line}\n")).collect();
            let (status, text, hangs): (_, String, _) = match answer {
                Some(Says(status, body)) => (status, body.to_string(), false),
                Some(Ends(all)) => (200, lines(all), false),
                Some(Hangs(all)) => (200, lines(all), true),
                Some(Breaks) => (200, r#"{"type":"ADD"#.to_owned(), false),
                None => std::future::pending().await,
            };
            let rest = if hangs {
                Either::Left(stream::pending())
            } else {
                Either::Right(stream::empty())
            };
            let parts = stream::iter([Ok::<_, Infallible>(text)]).chain(rest);
            let body = axum::body::Body::from_stream(parts);
            Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
        }
    });
    (Client::new(service, "default"), asked)
}

fn service(name: &str, version: u32) -> Json {
    json!({
        "metadata": {"namespace": "default", "name": name, "resourceVersion": version.to_string()},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    })
}

fn line(what: &str, name: &str, version: u32) -> Json {
    json!({"type": what, "object": service(name, version)})
}

fn bookmark(version: u32) -> Json {
    json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version.to_string()}}})
}

fn end_of_list(version: u32) -> Json {
    let mut line = bookmark(version);
    line["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    line
}

fn gone() -> Json {
    json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
}

fn page(names: &[&str], version: u32, token: &str) -> Json {
    let items: Vec<_> = names.iter().map(|name| service(name, 1)).collect();
    json!({"metadata": {"resourceVersion": version.to_string(), "continue": token}, "items": items})
}

fn refusal(code: u16) -> Answer {
    Says(code, json!({"kind": "Status", "code": code, "message": "no"}))
}

fn word(told: &Told) -> String {
    match told {
        Told::Change(Change::ListBegins) => "[".to_owned(),
        Told::Change(Change::Listed(object)) => object.name.name.to_string(),
        Told::Change(Change::ListEnds) => "]".to_owned(),
        Told::Change(Change::Set(object)) => format!("+{}", object.name.name),
        Told::Change(Change::Gone(name)) => format!("-{}", name.name),
        Told::InStep(None) => "in step".to_owned(),
        Told::InStep(Some(mode)) => mode.to_string(),
        Told::Lost(_) => "lost".to_owned(),
    }
}

/// What a feed of Services tells within `seconds`, and what it asks for.
async fn told(seconds: u64, answers: impl IntoIterator<Item = Answer>) -> (String, Vec<String>) {
    let (client, asked) = server(answers);
    let (sender, mut receiver) = mpsc::channel(1000);
    let requests = Requests::new(client, Kind::Services, "n1");
    let feed = Feed::new(Kind::Services, requests, sender, Metrics::default());
    timeout(Duration::from_secs(seconds), feed.run()).await.unwrap_err();
    let mut words = Vec::new();
    while let Ok((_, told)) = receiver.try_recv() {
        words.push(word(&told));
    }
    let asked = asked.lock().unwrap().clone();
    (words.join(" "), asked)
}

#[track_caller]
fn check_asked(query: &str, parts: &[&str], absent: &[&str]) {
    for part in parts {
        assert!(query.split('&').any(|pair| pair == *part), "no {part} in {query}");
    }
    for key in absent {
        assert!(!query.contains(&format!("{key}=")), "{key} in {query}");
    }
}

const LABELS_ENCODED: &str = "labelSelector=%21service.kubernetes.io%2Fservice-proxy-name\
                              %2C%21service.kubernetes.io%2Fheadless";

#[tokio::test(start_paused = true)]
async fn a_streamed_list_goes_over_into_a_watch() {
    let stream = vec![
        line("ADDED", "a", 3),
        bookmark(4),
        line("ADDED", "b", 2),
        end_of_list(5),
        line("MODIFIED", "a", 6),
        line("DELETED", "b", 7),
        bookmark(8),
    ];
    let (words, asked) = told(60, [Hangs(stream)]).await;
    assert_eq!(words, "[ a b ] streamed +a -b");
    let wanted = ["watch=true", "sendInitialEvents=true", "resourceVersionMatch=NotOlderThan"];
    check_asked(&asked[0], &wanted, &["limit"]);
    check_asked(&asked[0], &["resourceVersion=", "allowWatchBookmarks=true", LABELS_ENCODED], &[]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_where_it_ended() {
    let first = vec![end_of_list(5), line("ADDED", "a", 6)];
    let second = vec![line("ADDED", "b", 7), bookmark(9)];
    let (words, asked) = told(200, [Hangs(first), Hangs(second), Hangs(vec![])]).await;
    assert_eq!(words, "[ ] streamed +a in step +b in step");
    check_asked(&asked[1], &["resourceVersion=6", LABELS_ENCODED], &["sendInitialEvents"]);
    check_asked(&asked[2], &["resourceVersion=9"], &["sendInitialEvents"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_streams_is_asked_for_pages_from_then_on() {
    let answers = [
        refusal(422),
        Says(200, page(&["a", "b"], 5, "next")),
        Says(200, page(&["c"], 5, "")),
        Hangs(vec![gone()]),
        Says(200, page(&["c"], 9, "")),
    ];
    let (words, asked) = told(20, answers).await;
    assert_eq!(words, "[ a b c ] in pages in step [ c ] in pages");
    check_asked(&asked[1], &["limit=500", LABELS_ENCODED], &["continue", "watch"]);
    check_asked(&asked[2], &["limit=500", "continue=next"], &["watch"]);
    check_asked(&asked[3], &["watch=true", "resourceVersion=5"], &["sendInitialEvents"]);
    check_asked(&asked[4], &["limit=500"], &["continue", "watch"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_ends_the_stream_is_asked_for_pages() {
    let answers = [Hangs(vec![line("ADDED", "a", 3)]), Says(200, page(&["a"], 5, ""))];
    let (words, _) = told(20, answers).await;
    assert_eq!(words, "[ a [ a ] in pages");
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_is_followed_by_a_new_list_and_no_complaint() {
    let stream = || vec![line("ADDED", "a", 3), end_of_list(5)];
    let after = |expired| [Ends(stream()), expired, Hangs(stream())];
    for expired in [Ends(vec![gone()]), refusal(410)] {
        let in_step = if matches!(expired, Ends(_)) { " in step" } else { "" };
        // The first stream ended at once, which is a failure; what matters is what follows it.
        let (words, asked) = told(20, after(expired)).await;
        assert_eq!(words, format!("[ a ] streamed lost{in_step} [ a ] streamed"));
        check_asked(&asked[2], &["sendInitialEvents=true", "resourceVersion="], &[]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_has_expired_begins_the_list_anew() {
    let answers = [
        refusal(400),
        Says(200, page(&["a"], 5, "next")),
        refusal(410),
        Says(200, page(&["b"], 7, "")),
    ];
    let (words, asked) = told(20, answers).await;
    assert_eq!(words, "[ a [ b ] in pages");
    check_asked(&asked[3], &["limit=500"], &["continue"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_is_never_complete() {
    let half = || Ends(vec![line("ADDED", "a", 3)]);
    let whole = Hangs(vec![line("ADDED", "b", 3), end_of_list(5)]);
    let (words, _) = told(20, [half(), whole]).await;
    assert_eq!(words, "[ a lost [ b ] streamed");
    let (words, _) = told(20, [half(), half(), Says(200, page(&["b"], 5, ""))]).await;
    assert_eq!(words, "[ a lost [ a [ b ] in pages");
}

#[tokio::test(start_paused = true)]
async fn errors_are_told_and_tried_again() {
    let whole = || Hangs(vec![end_of_list(5)]);
    for failing in [refusal(500), refusal(401), refusal(403), Breaks] {
        let begun = if matches!(failing, Breaks) { "[ " } else { "" };
        let (words, _) = told(20, [failing, whole()]).await;
        assert_eq!(words, format!("{begun}lost [ ] streamed"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_after_a_while() {
    let (words, asked) = told(60, []).await;
    assert_eq!((words.as_str(), asked.len()), ("lost", 2));
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_asked_for_anew() {
    let (words, asked) = told(100, [Hangs(vec![end_of_list(5)]), Hangs(vec![])]).await;
    assert_eq!((words.as_str(), asked.len()), ("[ ] streamed in step", 2));
    check_asked(&asked[1], &["resourceVersion=5"], &[]);
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_not_asked_for_in_a_circle() {
    let ends = (0..1000).map(|_| Ends(vec![]));
    let answers = std::iter::once(Ends(vec![end_of_list(5)])).chain(ends);
    let (_, asked) = told(60, answers).await;
    assert!(asked.len() < 20, "{} requests a minute", asked.len());
}

#[tokio::test(start_paused = true)]
async fn one_bad_object_does_not_end_the_watch() {
    let mut bad = line("ADDED", "bad", 6);
    bad["object"]["spec"]["ports"] = json!("none");
    let lines = vec![end_of_list(5), bad, line("ADDED", "good", 7)];
    let (words, asked) = told(60, [Hangs(lines)]).await;
    assert_eq!((words.as_str(), asked.len()), ("[ ] streamed +bad +good", 1));
}
