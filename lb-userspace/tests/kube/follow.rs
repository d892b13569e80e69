//! What an agent asks of the server, and that it sees what changes there.

use std::{collections::BTreeSet, time::Instant};

use lb_testbed::api::{Interrupt, StreamingLists, Verb};
use serde_json::json;

use crate::{
    picture::until_exact,
    stage::{
        CALLER, NODES, PATIENCE, SERVICES, SLICES, Stage, WEB, assert_unharmed, service, until,
        until_watched,
    },
};

/// Labels, whatever their value, of objects that are none of ours.
const HIDING: [&str; 2] =
    ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

#[test]
fn changes_arrive_while_everybody_calls() {
    let stage = Stage::new(1);
    stage.put_web(&["one", "two"]);
    let agent = stage.start("node1");
    stage.assert_who(WEB, Some(&["one", "two"]));
    let traffic = stage.traffic(CALLER);
    for pods in [&["two"] as &[&str], &["two", "three"], &["one"], &["one", "two", "three"]] {
        stage.put_endpoints("web", pods);
        until_exact(&agent, &stage.api, PATIENCE);
        stage.assert_who(WEB, Some(pods));
    }
    stage.api.put(SERVICES, service("added", "10.96.0.12"));
    stage.put_endpoints("added", &["three"]);
    stage.api.remove(SERVICES, "default", "gone");
    until_exact(&agent, &stage.api, PATIENCE);
    stage.assert_who("10.96.0.12", Some(&["three"]));
    stage.assert_who("10.96.0.11", None);
    assert_unharmed(traffic);
}

#[test]
fn nothing_is_asked_but_what_is_needed_and_the_server_does_the_filtering() {
    for behaviour in [StreamingLists::Served, StreamingLists::Refused] {
        let stage = Stage::new(1);
        stage.api.set_streaming_lists(behaviour);
        stage.put_web(&["one"]);
        let agent = stage.start("node1");
        until_watched(&stage.api);
        stage.put_endpoints("web", &["two"]);
        until_exact(&agent, &stage.api, PATIENCE);

        let requests = stage.api.requests();
        let asked: BTreeSet<_> =
            requests.iter().map(|request| (request.resource.as_str(), request.verb)).collect();
        let of = |resource| [(resource, Verb::List), (resource, Verb::Watch)];
        let allowed: BTreeSet<_> = [SERVICES, SLICES, NODES].into_iter().flat_map(of).collect();
        assert!(asked.is_subset(&allowed), "{behaviour:?}: {asked:?}");
        for request in &requests {
            let query = |key| request.query.get(key).map_or("", String::as_str);
            match request.resource.as_str() {
                NODES => assert_eq!(query("fieldSelector"), "metadata.name=node1", "{request:?}"),
                _ => HIDING.iter().for_each(|label| {
                    let terms: Vec<_> = query("labelSelector").split(',').collect();
                    assert!(terms.contains(&format!("!{label}").as_str()), "{request:?}");
                }),
            }
            let bookmarks = request.verb != Verb::Watch || query("allowWatchBookmarks") == "true";
            assert!(bookmarks, "{request:?}");
            let pages = request.verb != Verb::List || !query("limit").is_empty();
            assert!(pages, "{request:?}");
            assert!(request.user_agent.contains("sluice"), "{request:?}");
        }
    }
}

#[test]
fn a_label_that_hides_an_object_takes_it_away_while_it_is_there() {
    let stage = Stage::new(1);
    stage.put_web(&["one"]);
    let agent = stage.start("node1");
    for label in HIDING {
        let mut hidden = service("web", WEB);
        hidden["metadata"]["labels"] = json!({label: ""});
        stage.api.put(SERVICES, hidden);
        assert!(until(|| stage.who(WEB).is_none()), "{label} hides no Service");
        stage.api.put(SERVICES, service("web", WEB));
        assert!(until(|| stage.who(WEB).is_some()), "without {label}");

        let mut hidden = stage.slice("web", &["one"]);
        hidden["metadata"]["labels"][label] = json!("other");
        stage.api.put(SLICES, hidden);
        assert!(until(|| stage.who(WEB).is_none()), "{label} hides no EndpointSlice");
        stage.put_endpoints("web", &["one"]);
        assert!(until(|| stage.who(WEB).is_some()), "without {label}");
    }
    until_exact(&agent, &stage.api, PATIENCE);
}

#[test]
fn a_watch_that_ends_is_resumed_where_it_ended() {
    let stage = Stage::new(1);
    stage.put_web(&["one"]);
    let agent = stage.start("node1");
    until_watched(&stage.api);
    let begun = Instant::now();
    for (interrupt, pods) in
        [(Interrupt::End, ["two"]), (Interrupt::Reset, ["three"]), (Interrupt::CutInLine, ["one"])]
    {
        for kind in [SERVICES, SLICES, NODES] {
            stage.api.interrupt(kind, interrupt.clone());
        }
        stage.put_endpoints("web", &pods);
        until_exact(&agent, &stage.api, PATIENCE);
        until_watched(&stage.api);
    }
    let again = stage.since(begun, Verb::List).len();
    let watches = stage.since(begun, Verb::Watch);
    let streamed = watches.iter().filter(|one| one.query.contains_key("sendInitialEvents")).count();
    assert_eq!((again, streamed), (0, 0), "nothing need be listed again");
}

#[test]
fn events_told_twice_or_of_unknown_objects_do_no_harm() {
    let stage = Stage::new(1);
    stage.put_web(&["one"]);
    let agent = stage.start("node1");
    until_watched(&stage.api);
    let traffic = stage.traffic(CALLER);
    let slice = |pods: &[&str], version: u64| {
        let mut slice = stage.slice("web", pods);
        slice["metadata"]["resourceVersion"] = json!(version.to_string());
        slice["apiVersion"] = json!("discovery.k8s.io/v1");
        slice["kind"] = json!("EndpointSlice");
        slice
    };
    let tell = |kind: &str, object| {
        let line = json!({"type": kind, "object": object}).to_string();
        stage.api.interrupt(SLICES, Interrupt::Line(line));
    };
    let now = stage.api.version();
    // Once more as it is, under each name; one that goes though it was never there; one that
    // changes though it was never there; and what it was before.
    tell("ADDED", slice(&["one"], now));
    tell("MODIFIED", slice(&["one"], now));
    let mut unknown = slice(&["two"], now);
    unknown["metadata"]["name"] = json!("never-seen");
    tell("DELETED", unknown);
    tell("SURPRISE", json!({}));
    until_exact(&agent, &stage.api, PATIENCE);
    stage.put_endpoints("web", &["one", "two"]);
    tell("MODIFIED", slice(&["one"], now));
    tell("MODIFIED", slice(&["one", "two"], stage.api.version()));
    until_exact(&agent, &stage.api, PATIENCE);
    stage.put_endpoints("web", &["two", "three"]);
    until_exact(&agent, &stage.api, PATIENCE);
    assert_unharmed(traffic);
}
