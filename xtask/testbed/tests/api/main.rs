//! The API server for tests against a client that knows the API: kube's watcher. What it holds
//! must be what the server holds, before faults and after them, and every fault must arrive.

#![expect(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, Config, ResourceExt as _,
    runtime::{WatchStreamExt as _, utils::Backoff, watcher},
};
use lb_testbed::api::{ApiServer, Fault, Interrupt, Rule, StreamingLists, Verb};
use serde_json::{Value, json};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

const SERVICES: &str = "services";
/// How long what must happen may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long what must not happen is waited for.
const A_WHILE: Duration = Duration::from_millis(200);

fn server(names: &[&str]) -> ApiServer {
    let server = ApiServer::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a server");
    names.iter().for_each(|name| put(&server, name, "1"));
    server
}

fn put(server: &ApiServer, name: &str, value: &str) {
    let metadata = json!({"namespace": "default", "name": name, "labels": {"value": value}});
    server.put(SERVICES, json!({"metadata": metadata}));
}

fn remove(server: &ApiServer, name: &str) {
    assert!(server.remove(SERVICES, "default", name));
}

fn event_loop() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("an event loop")
}

fn client(server: &ApiServer) -> Client {
    let uri = format!("http://{}", server.address()).parse().expect("an address");
    Client::try_from(Config::new(uri)).expect("a client")
}

/// The client's pause after a failure.
struct Shortly;

impl Iterator for Shortly {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(10))
    }
}

impl Backoff for Shortly {
    fn reset(&mut self) {}
}

/// What a client knows: names with the value of their label, and how often something went wrong.
#[derive(Default)]
struct Known {
    objects: BTreeMap<String, String>,
    coming: BTreeMap<String, String>,
    lists: u32,
    errors: Vec<String>,
}

impl Known {
    fn take(&mut self, event: watcher::Result<watcher::Event<Service>>) {
        let entry = |object: &Service| {
            (object.name_any(), object.labels().get("value").cloned().unwrap_or_default())
        };
        match event {
            Ok(watcher::Event::Init) => self.coming.clear(),
            Ok(watcher::Event::InitApply(object)) => self.coming.extend([entry(&object)]),
            Ok(watcher::Event::InitDone) => {
                self.lists += 1;
                self.objects = std::mem::take(&mut self.coming);
            }
            Ok(watcher::Event::Apply(object)) => self.objects.extend([entry(&object)]),
            Ok(watcher::Event::Delete(object)) => {
                self.objects.remove(&object.name_any());
            }
            Err(error) => self.errors.push(format!("{error:?}")),
        }
    }

    fn is(&self, expected: Objects<'_>) -> bool {
        let known = self.objects.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        known.eq(expected.iter().copied())
    }
}

/// Watches the server until what is known makes it done.
fn watch(
    server: &ApiServer,
    config: watcher::Config,
    mut done: impl FnMut(&Known) -> bool,
) -> Known {
    let runtime = event_loop();
    let mut known = Known::default();
    runtime.block_on(async {
        let api: Api<Service> = Api::all(client(server));
        let events = watcher(api, config).backoff(Shortly);
        let mut events = std::pin::pin!(events);
        while !done(&known) {
            let next = timeout(PATIENCE, events.next()).await;
            let next = next.unwrap_or_else(|_| panic!("nothing more; {:?}", known.errors));
            known.take(next.expect("a watcher never ends"));
        }
    });
    known
}

fn pages_of(size: u32) -> watcher::Config {
    watcher::Config::default().page_size(size)
}

fn streaming() -> watcher::Config {
    watcher::Config::default().streaming_lists()
}

/// Names, each with the value of its label.
type Objects<'a> = &'a [(&'a str, &'a str)];
/// What is to be known first, and what is to be done then.
type Step<'a> = (Objects<'a>, &'a dyn Fn(&ApiServer));

/// Runs each action once, as soon as what is before it is known, and ends when the last is.
fn through(
    server: &ApiServer,
    config: watcher::Config,
    steps: &[Step<'_>],
    last: Objects<'_>,
) -> Known {
    let mut at = 0;
    watch(server, config, |known| {
        while let Some((expected, act)) = steps.get(at) {
            if !known.is(expected) {
                return false;
            }
            at += 1;
            act(server);
        }
        known.is(last)
    })
}

#[test]
fn lists_in_pages_and_streams_of_changes_arrive_whole() {
    let server = server(&["a", "b", "c", "d", "e"]);
    let known = through(
        &server,
        pages_of(2),
        &[
            (&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1"), ("e", "1")], &|server| {
                put(server, "b", "2");
                remove(server, "d");
                put(server, "f", "1");
            }),
            (&[("a", "1"), ("b", "2"), ("c", "1"), ("e", "1"), ("f", "1")], &|server| {
                server.interrupt(SERVICES, Interrupt::Bookmark);
                server.interrupt(SERVICES, Interrupt::End);
                remove(server, "f");
            }),
        ],
        &[("a", "1"), ("b", "2"), ("c", "1"), ("e", "1")],
    );
    assert_eq!((known.lists, known.errors.as_slice()), (1, [].as_slice()));
    let lists = server.requests().iter().filter(|request| request.verb == Verb::List).count();
    assert_eq!(lists, 3, "five objects in pages of two");
}

#[test]
fn a_streaming_list_is_complete_with_its_bookmark() {
    let server = server(&["a", "b"]);
    let steps: [Step<'_>; 1] = [(&[("a", "1"), ("b", "1")], &|server| remove(server, "a"))];
    let known = through(&server, streaming(), &steps, &[("b", "1")]);
    assert_eq!((known.lists, known.errors.as_slice()), (1, [].as_slice()));
    assert!(server.requests().iter().all(|request| request.verb == Verb::Watch));
}

#[test]
fn streaming_lists_are_refused_or_ignored_as_older_servers_do() {
    let server = server(&["a"]);
    server.set_streaming_lists(StreamingLists::Refused);
    let known = watch(&server, streaming(), |known| !known.errors.is_empty());
    assert!(known.errors[0].contains("422"), "{}", known.errors[0]);
    server.set_streaming_lists(StreamingLists::Ignored);
    let runtime = event_loop();
    let done = runtime.block_on(async {
        let api: Api<Service> = Api::all(client(&server));
        let events = watcher(api, streaming())
            .any(|event| std::future::ready(matches!(event, Ok(watcher::Event::InitDone))));
        timeout(A_WHILE, events).await
    });
    assert!(done.is_err(), "complete without a bookmark that says so");
}

#[test]
fn every_way_a_stream_ends_is_lived_through() {
    for (interrupt, lists, error) in [
        (Interrupt::Gone, 2, Some("410")),
        (Interrupt::Error, 1, Some("500")),
        (Interrupt::End, 1, None),
        (Interrupt::Reset, 1, None),
        (Interrupt::CutInLine, 1, None),
    ] {
        let server = server(&["a", "b"]);
        let cut = |server: &ApiServer| {
            server.interrupt(SERVICES, interrupt.clone());
            remove(server, "a");
            put(server, "b", "2");
        };
        let steps: [Step<'_>; 1] = [(&[("a", "1"), ("b", "1")], &cut)];
        let known = through(&server, streaming(), &steps, &[("b", "2")]);
        assert_eq!(known.lists, lists, "{interrupt:?}: {:?}", known.errors);
        let errors = known.errors.join(" ");
        assert!(error.is_none_or(|text| errors.contains(text)), "{interrupt:?}: {errors}");
    }
}

#[test]
fn who_resumes_from_before_a_compaction_lists_again() {
    let server = server(&["a", "b"]);
    let compact = |server: &ApiServer| {
        server.interrupt(SERVICES, Interrupt::End);
        remove(server, "a");
        server.compact();
    };
    let steps: [Step<'_>; 1] = [(&[("a", "1"), ("b", "1")], &compact)];
    let known = through(&server, streaming(), &steps, &[("b", "1")]);
    assert_eq!(known.lists, 2);
    assert!(known.errors.join(" ").contains("410"), "{:?}", known.errors);
}

#[test]
fn a_line_is_sent_as_it_is_given() {
    let server = server(&["a"]);
    let send = |server: &ApiServer| {
        let metadata = json!({"namespace": "default", "name": "ghost", "resourceVersion": "1"});
        let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata});
        let line = json!({"type": "ADDED", "object": object});
        server.interrupt(SERVICES, Interrupt::Line(line.to_string()));
    };
    let steps: [Step<'_>; 1] = [(&[("a", "1")], &send)];
    through(&server, streaming(), &steps, &[("a", "1"), ("ghost", "")]);
}

#[test]
fn requests_fail_as_often_as_the_rule_says_and_then_succeed() {
    for (fault, code) in [
        (Fault::Status(500), 500),
        (Fault::Status(503), 503),
        (Fault::TooManyRequests(1), 429),
        (Fault::Truncated, 200),
        (Fault::Page, 200),
    ] {
        let server = server(&["a"]);
        server.fail(Rule::new(fault.clone()).verb(Verb::List).resource(SERVICES).times(2));
        let known = through(&server, pages_of(500), &[], &[("a", "1")]);
        // What the client sends again by itself is no error of the watcher's.
        assert!(known.errors.len() == 2 || code > 500 || code == 429, "{fault:?}");
        let requests = server.requests();
        let lists = requests.iter().filter(|request| request.verb == Verb::List);
        let codes: Vec<_> = lists.map(|request| request.status).collect();
        assert_eq!(codes, [Some(code), Some(code), Some(200)], "{fault:?}: {:?}", known.errors);
    }
}

#[test]
fn a_page_after_the_first_may_fail_alone() {
    let server = server(&["a", "b", "c"]);
    server.fail(Rule::new(Fault::Status(500)).next_pages().times(1));
    let known = through(&server, pages_of(2), &[], &[("a", "1"), ("b", "1"), ("c", "1")]);
    assert_eq!(known.errors.len(), 1, "{:?}", known.errors);
}

#[test]
fn a_stalled_request_is_never_answered_and_a_late_one_is() {
    let server = server(&["a"]);
    let runtime = event_loop();
    let list = async |patience| {
        let api: Api<Service> = Api::all(client(&server));
        timeout(patience, api.list(&Default::default())).await
    };
    server.fail(Rule::new(Fault::Stalled).times(1));
    server.fail(Rule::new(Fault::Late(A_WHILE / 4)).times(1));
    runtime.block_on(async {
        assert!(list(A_WHILE).await.is_err(), "answered though it stalls");
        let items = list(PATIENCE).await.expect("in time").expect("a list").items;
        assert_eq!(items.len(), 1);
    });
    let statuses: Vec<_> = server.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [None, Some(200)]);
}

#[test]
fn a_silent_stream_stays_open_and_tells_nothing() {
    let server = server(&["a"]);
    let runtime = event_loop();
    runtime.block_on(async {
        let api: Api<Service> = Api::all(client(&server));
        let mut events = std::pin::pin!(watcher(api, streaming()));
        while !matches!(events.next().await, Some(Ok(watcher::Event::InitDone))) {}
        server.interrupt(SERVICES, Interrupt::Silence);
        put(&server, "a", "2");
        assert!(timeout(A_WHILE, events.next()).await.is_err());
        assert_eq!(server.streams(SERVICES), 1);
    });
}

#[test]
fn only_bearers_of_a_token_are_let_in() {
    let server = server(&["a"]);
    server.accept_tokens(&["new"]);
    let runtime = event_loop();
    runtime.block_on(async {
        for (token, code) in [(None, 401), (Some("old"), 401), (Some("new"), 200)] {
            let uri = format!("http://{}", server.address()).parse().expect("an address");
            let mut config = Config::new(uri);
            config.auth_info.token = token.map(Into::into);
            let api: Api<Service> = Api::all(Client::try_from(config).expect("a client"));
            let result = api.list(&Default::default()).await;
            assert_eq!(result.is_ok(), code == 200, "{token:?}");
            let last = server.requests().pop().expect("a request");
            assert_eq!((last.token.as_deref(), last.status), (token, Some(code)));
        }
    });
}

#[test]
fn a_server_that_was_away_comes_back_with_what_it_held() {
    let mut server = server(&["a"]);
    let address = server.address();
    server.stop();
    let runtime = event_loop();
    let list = |server: &ApiServer| {
        runtime.block_on(async {
            let api: Api<Service> = Api::all(client(server));
            api.list(&Default::default()).await
        })
    };
    assert!(list(&server).is_err(), "nobody is there");
    server.resume().expect("the same address");
    assert_eq!(server.address(), address);
    assert_eq!(list(&server).expect("a list").items.len(), 1);
}

#[test]
fn objects_are_written_as_events_are() {
    let server = server(&[]);
    let runtime = event_loop();
    runtime.block_on(async {
        let api: Api<Service> = Api::namespaced(client(&server), "default");
        let new = json!({"metadata": {"generateName": "x-", "labels": {"a": "1", "b": "1"}}});
        let new: Service = serde_json::from_value(new).expect("a Service");
        let name = api.create(&Default::default(), &new).await.expect("made").name_any();
        assert!(name.starts_with("x-"), "{name}");
        let change = json!({"metadata": {"labels": {"a": "2", "b": null}}});
        let change = kube::api::Patch::Merge(change);
        api.patch(&name, &Default::default(), &change).await.expect("changed");
        let labels: Value = server.objects(SERVICES)[0]["metadata"]["labels"].clone();
        assert_eq!(labels, json!({"a": "2"}));
        api.delete(&name, &Default::default()).await.expect("taken out");
        assert!(api.get(&name).await.is_err());
    });
}
