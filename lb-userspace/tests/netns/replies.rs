//! What pods answer, sent straight out past the node's stack.

use std::net::SocketAddr;

use lb_testbed::{Agent, CLIENT, Cluster, Probe};
use serde_json::Value;

use crate::{
    delivery::{PODS, counted, device, stage},
    stage::{Stage, inspect, until},
};

const REQUESTS: u64 = 40;
const MEGABYTE: usize = 1_000_000;
const DIRECT: &[&str] = &["--direct-delivery"];

/// All calls are answered by the pod; returns how many answers went straight out, and how many
/// packets of either direction the stack forwarded.
#[track_caller]
fn check(stage: &Stage, agent: &Agent, pod: &str, probe: &Probe) -> (u64, u64) {
    let before = (counted(agent, "direct_reply"), forwarded(&stage.cluster));
    let report = stage.cluster.probe(CLIENT, probe).unwrap();
    assert_eq!(report.errors, Default::default(), "{pod} {} {:?}", probe.to, probe.transport);
    for answer in &report.answers {
        assert_eq!((&*answer.pod, answer.from), (pod, probe.to));
    }
    let after = (counted(agent, "direct_reply"), forwarded(&stage.cluster));
    (after.0 - before.0, after.1 - before.1)
}

/// How many packets the node's stack has forwarded.
fn forwarded(cluster: &Cluster) -> u64 {
    let read = |file: &str| {
        let path = format!("/proc/thread-self/net/{file}");
        cluster.netns("node1").unwrap().enter(|| Ok(std::fs::read_to_string(path).unwrap()))
    };
    let (v4, v6) = (read("snmp").unwrap(), read("snmp6").unwrap());
    let mut ip = v4.lines().filter(|line| line.starts_with("Ip: "));
    let (titles, values) = (ip.next().unwrap(), ip.next().unwrap());
    let mut columns = titles.split(' ').zip(values.split(' '));
    let (_, v4) = columns.find(|(title, _)| *title == "ForwDatagrams").unwrap();
    let v6 = v6.lines().find_map(|line| line.strip_prefix("Ip6OutForwDatagrams")).unwrap();
    [v4, v6].iter().map(|count| count.trim().parse::<u64>().unwrap()).sum()
}

/// Links of the program that sends answers: where they are, and their numbers.
fn links(agent: &Agent) -> Vec<(String, u64)> {
    let status = inspect(agent, "status");
    let rows = status["programs"].as_array().unwrap().iter();
    let text = |row: &Value| row["target"].as_str().unwrap().to_owned();
    rows.filter(|row| row["program"] == "tc_reply")
        .map(|row| (text(row), row["link_id"].as_u64().unwrap()))
        .collect()
}

/// Calls over TCP to the NodePort of a pod's Service.
fn call(stage: &Stage, agent: &Agent, pod: &str, port: u16) -> (u64, u64) {
    let node = stage.address("node1", true).unwrap();
    check(stage, agent, pod, &Probe::tcp((node, port).into()).requests(REQUESTS))
}

#[test]
fn answers_of_pods_on_a_bridge_and_on_devices_of_their_own_go_past_the_stack() {
    let stage = stage();
    let agent = stage.start_with("node1", DIRECT);
    for (pod, http, dns, _) in PODS {
        until(|| call(&stage, &agent, pod, http).0 >= REQUESTS).expect("its device is found");
        for is_v4 in [true, false] {
            let node = stage.address("node1", is_v4).unwrap();
            for probe in [Probe::tcp((node, http).into()), Probe::udp((node, dns).into())] {
                let what = format!("{pod} {} {:?}", probe.to, probe.transport);
                let (straight, by_stack) = check(&stage, &agent, pod, &probe.requests(REQUESTS));
                assert!(straight >= REQUESTS, "{what}: {straight} went straight out");
                assert!(by_stack < REQUESTS / 4, "{what}: {by_stack} by the stack");
            }
            let large = Probe::tcp((node, http).into()).download_bytes(MEGABYTE).requests(3);
            let (straight, by_stack) = check(&stage, &agent, pod, &large);
            assert!(straight > by_stack, "{pod} {node}: {straight} against {by_stack}");
        }
    }
}

#[test]
fn answers_follow_what_the_agent_is_told_and_outlive_it() {
    let stage = stage();
    let (pod, port, ..) = PODS[1];
    let agent = stage.start_with("node1", DIRECT);
    until(|| call(&stage, &agent, pod, port).0 >= REQUESTS).expect("its device is found");
    let before = links(&agent);
    // The bridge and the device of the pod that is not on it.
    assert_eq!(before.len(), 2, "{before:?}");
    agent.kill().unwrap();
    let report = stage.cluster.probe(CLIENT, &probe(&stage, port)).unwrap();
    assert_eq!(report.failed(), 0, "nobody looks after the programs");

    let agent = stage.start_with("node1", DIRECT);
    assert_eq!(links(&agent), before, "taken over, not made again");
    assert!(call(&stage, &agent, pod, port).0 >= REQUESTS);
    agent.stop().unwrap();

    let agent = stage.start("node1");
    until(|| links(&agent).is_empty()).unwrap_or_else(|| panic!("{:?}", links(&agent)));
    let (straight, by_stack) = call(&stage, &agent, pod, port);
    assert_eq!(straight, 0);
    assert!(by_stack >= REQUESTS);
}

fn probe(stage: &Stage, port: u16) -> Probe {
    Probe::tcp(SocketAddr::new(stage.address("node1", true).unwrap(), port)).requests(REQUESTS)
}

#[test]
fn devices_of_pods_that_come_and_go_have_the_program_while_they_are_there() {
    let mut stage = stage();
    let agent = stage.start_with("node1", DIRECT);
    until(|| links(&agent).len() == 2).unwrap_or_else(|| panic!("{:?}", links(&agent)));
    stage.add_pod("node1", "later");
    stage.cluster.set_apart("later").unwrap();
    until(|| links(&agent).len() == 3).unwrap_or_else(|| panic!("{:?}", links(&agent)));
    let near = device(&stage, "later");
    let node = stage.cluster.netns("node1").unwrap();
    node.links(async |links| links.delete(&near).await).unwrap();
    until(|| links(&agent).len() == 2).unwrap_or_else(|| panic!("{:?}", links(&agent)));
    let (pod, port, ..) = PODS[0];
    assert!(call(&stage, &agent, pod, port).0 >= REQUESTS, "the others go on");
}
