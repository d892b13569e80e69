//! An agent that is killed while everybody calls, and one that is told to end.

use std::time::Duration;

use lb_testbed::{Probe, RunningProbe};
use serde_json::Value;

use crate::stage::{HTTP_PORT, MAIN, Stage, inspect, service, until_endpoints};

/// How many calls each caller makes between two events.
const MANY: u64 = 100;

/// Waits until all of them have gone on for a while.
fn go_on(calling: &mut [(RunningProbe, String)]) {
    calling.iter_mut().for_each(|(probe, _)| probe.go_on(MANY).unwrap());
}

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
        "type: NodePort, clusterIP: 10.96.0.10, ports: [{name: http, port: 80, nodePort: 30080}, \
         {name: dns, port: 53, protocol: UDP, nodePort: 30053}]",
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

    let node = stage.address("node1", true).unwrap();
    let cluster_ip: std::net::IpAddr = "10.96.0.10".parse().unwrap();
    let mut calling: Vec<(RunningProbe, String)> = [
        ("caller", Probe::tcp((cluster_ip, 80).into()).concurrency(2)),
        ("caller", Probe::udp_unconnected((cluster_ip, 53).into())),
        ("client", Probe::tcp((node, 30080).into()).concurrency(2)),
        ("client", Probe::udp((node, 30053).into())),
    ]
    .into_iter()
    .map(|(place, probe)| {
        let what = format!("{:?} from {place}", probe.transport);
        let probe = stage.cluster.start_probe(place, &probe.until_stopped().recording()).unwrap();
        (probe, what)
    })
    .collect();
    go_on(&mut calling);
    agent.kill().unwrap();
    let added = service("added", &format!("clusterIP: 10.96.0.12, {HTTP_PORT}"));
    stage.write(MAIN, &[web, both(&["two", "three"]), added, stage.endpoints("added", &["two"])]);
    go_on(&mut calling);
    stage.assert_who("caller", "10.96.0.10:80", Some(&["one", "two"]));

    let agent = stage.start("node1");
    for (port, target) in [("http", 8080), ("dns", 5353)] {
        let expected = [2, 3].map(|host| format!("10.244.2.{host}:{target}"));
        until_endpoints(&agent, &format!("default/web:{port}"), &expected);
    }
    let caught_up = now_ns();
    go_on(&mut calling);
    for (probe, what) in calling {
        let report = probe.stop().unwrap();
        assert_eq!(report.errors, Default::default(), "{what}");
        let later = report.exchanges.iter().filter(|one| one.start_ns > caught_up);
        let by_three = later.clone().filter(|one| one.outcome.as_deref() == Ok("three")).count();
        assert!(by_three > 0, "a pod that came meanwhile answers no {what}");
        let by_one = later.filter(|one| one.outcome.as_deref() == Ok("one")).count();
        assert_eq!(by_one, 0, "a pod that left meanwhile answers {what}");
        println!("{what}: {} calls, none failed", report.answered());
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

#[test]
fn an_agent_that_is_told_to_end_does_so_without_a_complaint() {
    let stage = Stage::new(1).with("node1", "one");
    stage.write(MAIN, &[service("web", &format!("clusterIP: 10.96.0.10, {HTTP_PORT}"))]);
    // Whoever follows the loop ends when it does: none may be faster to complain of that.
    for round in 0..8 {
        let agent = stage.start("node1");
        let log = agent.log().to_owned();
        let status = agent.stop().unwrap();
        let log = std::fs::read_to_string(log).unwrap();
        assert!(status.success(), "{status} in round {round}: {log}");
        assert!(log.ends_with("stopped; programs and tables stay in place\n"), "{log}");
    }
}

fn now_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    Duration::from(now).as_nanos() as u64
}
