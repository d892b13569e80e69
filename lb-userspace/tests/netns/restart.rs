//! An agent that is killed while everybody calls.

use std::{thread, time::Duration};

use lb_testbed::{Probe, RunningProbe};
use serde_json::Value;

use crate::stage::{HTTP_PORT, MAIN, Stage, inspect, service, until_endpoints};

/// How long callers go on between two events.
const A_WHILE: Duration = Duration::from_millis(400);

/// What must be the same before and after: the pinned links, each with its target.
fn links(status: &Value) -> Vec<(String, u64)> {
    let programs = status["programs"].as_array().unwrap().iter();
    programs
        .map(|row| (row["program"].as_str().unwrap().to_owned(), row["link_id"].as_u64().unwrap()))
        .collect()
}

#[test]
fn an_agent_killed_and_started_again_costs_no_connection_and_catches_up() {
    let stage = Stage::new(2).with("node1", "one").with("node2", "two").with("node2", "three");
    let stage = stage.with("node1", "caller");
    let web = service(
        "web",
        "type: NodePort, clusterIP: 10.96.0.10, ports: [{name: http, port: 80, nodePort: 30080}]",
    );
    let gone = service("gone", &format!("clusterIP: 10.96.0.11, {HTTP_PORT}"));
    let both = |pods| stage.endpoints("web", pods);
    stage.write(MAIN, &[web.clone(), both(&["one", "two"]), gone]);
    let agent = stage.start("node1");
    let before = inspect(&agent, "status");
    let index_of = |rows: &Value, name: &str| {
        let mut rows = rows.as_array().unwrap().iter();
        rows.find(|row| row["service"] == name).map(|row| row["index"].clone())
    };
    let web_index = index_of(&inspect(&agent, "services"), "default/web:http");

    let node_port = format!("{}:30080", stage.address("node1", true).unwrap());
    let calling: Vec<(RunningProbe, &str)> = [("caller", "10.96.0.10:80"), ("client", &*node_port)]
        .map(|(place, to)| {
            let probe = Probe::tcp(to.parse().unwrap()).until_stopped().concurrency(2).recording();
            (stage.cluster.start_probe(place, &probe).unwrap(), place)
        })
        .into();
    thread::sleep(A_WHILE);
    agent.kill().unwrap();
    let added = service("added", &format!("clusterIP: 10.96.0.12, {HTTP_PORT}"));
    stage.write(MAIN, &[web, both(&["two", "three"]), added, stage.endpoints("added", &["two"])]);
    thread::sleep(A_WHILE);
    stage.assert_who("caller", "10.96.0.10:80", Some(&["one", "two"]));

    let agent = stage.start("node1");
    until_endpoints(&agent, "default/web:http", &["10.244.2.2:8080", "10.244.2.3:8080"]);
    let caught_up = now_ns();
    thread::sleep(A_WHILE);
    for (probe, place) in calling {
        let report = probe.stop().unwrap();
        assert_eq!(report.errors, Default::default(), "calls from {place}");
        let later = report.exchanges.iter().filter(|one| one.start_ns > caught_up);
        let by_three = later.clone().filter(|one| one.outcome.as_deref() == Ok("three")).count();
        assert!(by_three > 0, "a pod that came meanwhile answers nobody in {place}");
        let by_one = later.filter(|one| one.outcome.as_deref() == Ok("one")).count();
        assert_eq!(by_one, 0, "a pod that left meanwhile answers {place}");
        println!("{place}: {} calls, none failed", report.answered());
    }

    let after = inspect(&agent, "status");
    assert_eq!(links(&after), links(&before), "every hook kept its link");
    assert!(!links(&after).is_empty());
    let services = inspect(&agent, "services");
    assert_eq!(index_of(&services, "default/web:http"), web_index, "the table was taken over");
    assert_eq!(index_of(&services, "default/gone:http"), None);
    stage.assert_who("caller", "10.96.0.12:80", Some(&["two"]));
    stage.assert_who("caller", "10.96.0.11:80", None);
}

fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Duration::from(now).as_nanos() as u64
}
