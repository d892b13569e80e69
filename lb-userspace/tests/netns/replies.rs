//! What pods answer, sent straight out past the node's stack.

use std::net::SocketAddr;

use lb_testbed::{Agent, CLIENT, Cluster, Probe};
use serde_json::Value;

use crate::{
    classifiers::{self, Way},
    delivery::{PODS, counted, device, stage},
    stage::{Stage, inspect, until},
};

const REQUESTS: u64 = 40;
const MEGABYTE: usize = 1_000_000;
const DIRECT: &[&str] = &["--direct-delivery"];
/// The device of the pod that has none of its own.
const BRIDGE: &str = "cni0";

/// What [`stage`] makes, where agents attach programs in this way.
pub fn stage_of(way: Way) -> Stage {
    let stage = stage();
    way.impose(&stage);
    stage
}

/// The devices of the pods of [`stage`], which get the program.
pub fn devices(stage: &Stage) -> [String; 2] {
    [BRIDGE.to_owned(), device(stage, PODS[1].0)]
}

/// Starts an agent that sends answers straight out, and waits until it does so for every pod.
pub fn start(stage: &Stage) -> Agent {
    let agent = stage.start_with("node1", DIRECT);
    for (pod, http, ..) in PODS {
        until(|| call(stage, &agent, pod, http).0 >= REQUESTS).expect("its device is found");
    }
    agent
}

/// Asserts that the answers of every pod go straight out.
pub fn assert_straight(stage: &Stage, agent: &Agent) {
    for (pod, http, ..) in PODS {
        let (straight, by_stack) = call(stage, agent, pod, http);
        assert!(straight >= REQUESTS, "{pod}: {straight} went straight out, {by_stack} did not");
    }
}

/// How often the program is at a device, by [`Way`].
pub fn carried(stage: &Stage, device: &str) -> [usize; 2] {
    classifiers::ours(stage, "tc_reply", device)
}

/// Waits until a device carries it so often.
#[track_caller]
pub fn until_carried(stage: &Stage, device: &str, expected: [usize; 2]) {
    let settled = until(|| carried(stage, device) == expected);
    settled.unwrap_or_else(|| panic!("{device}: {:?}", carried(stage, device)));
}

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
    for way in Way::ALL {
        let stage = stage_of(way);
        let devices = devices(&stage);
        let theirs = devices.each_ref().map(|device| {
            classifiers::plant(&stage, device);
            classifiers::planted(&stage, device)
        });
        let agent = start(&stage);
        for (pod, http, dns, _) in PODS {
            for is_v4 in [true, false] {
                let node = stage.address("node1", is_v4).unwrap();
                for probe in [Probe::tcp((node, http).into()), Probe::udp((node, dns).into())] {
                    let what = format!("{way:?} {pod} {} {:?}", probe.to, probe.transport);
                    let (straight, by_stack) =
                        check(&stage, &agent, pod, &probe.requests(REQUESTS));
                    assert!(straight >= REQUESTS, "{what}: {straight} went straight out");
                    assert!(by_stack < REQUESTS / 4, "{what}: {by_stack} by the stack");
                }
                let large = Probe::tcp((node, http).into()).download_bytes(MEGABYTE).requests(3);
                let (straight, by_stack) = check(&stage, &agent, pod, &large);
                assert!(straight > by_stack, "{pod} {node}: {straight} against {by_stack}");
            }
        }
        for (device, theirs) in devices.iter().zip(&theirs) {
            assert_eq!(carried(&stage, device), way.only(1), "{device}");
            assert_eq!(theirs.len(), 8, "{device}");
            assert_eq!(classifiers::planted(&stage, device), *theirs, "{device}");
        }
    }
}

#[test]
fn answers_follow_what_the_agent_is_told_and_outlive_it() {
    for way in Way::ALL {
        let stage = stage_of(way);
        let devices = devices(&stage);
        let (pod, port, ..) = PODS[1];
        let carried_by_all = |expected| {
            devices.iter().for_each(|device| until_carried(&stage, device, expected));
        };
        let agent = start(&stage);
        let before = links(&agent);
        assert_eq!(before.len(), way.only(2)[0], "{before:?}");
        carried_by_all(way.only(1));
        agent.kill().unwrap();
        let report = stage.cluster.probe(CLIENT, &probe(&stage, port)).unwrap();
        assert_eq!(report.failed(), 0, "nobody looks after the programs");
        carried_by_all(way.only(1));

        let agent = stage.start_with("node1", DIRECT);
        assert_eq!(links(&agent), before, "taken over, not made again");
        carried_by_all(way.only(1));
        assert_straight(&stage, &agent);
        agent.stop().unwrap();
        carried_by_all(way.only(1));

        let agent = stage.start("node1");
        carried_by_all([0, 0]);
        assert_eq!(links(&agent), []);
        let (straight, by_stack) = call(&stage, &agent, pod, port);
        assert_eq!(straight, 0);
        assert!(by_stack >= REQUESTS);
    }
}

fn probe(stage: &Stage, port: u16) -> Probe {
    Probe::tcp(SocketAddr::new(stage.address("node1", true).unwrap(), port)).requests(REQUESTS)
}

#[test]
fn devices_of_pods_that_come_and_go_have_the_program_while_they_are_there() {
    for way in Way::ALL {
        let mut stage = stage_of(way);
        let agent = start(&stage);
        stage.add_pod("node1", "later");
        stage.cluster.set_apart("later").unwrap();
        let later = device(&stage, "later");
        until_carried(&stage, &later, way.only(1));
        assert_eq!(links(&agent).len(), way.only(3)[0]);
        let node = stage.cluster.netns("node1").unwrap();
        node.links(async |links| links.delete(&later).await).unwrap();
        until(|| links(&agent).len() == way.only(2)[0]).expect("its link is let go");
        assert_straight(&stage, &agent);
    }
}

/// The agent hears of both at once, as it would on a busy machine.
#[test]
fn a_device_that_takes_the_name_of_one_that_went_has_the_program() {
    for way in Way::ALL {
        let stage = stage_of(way);
        let agent = start(&stage);
        let [_, apart] = devices(&stage);
        agent.pause().unwrap();
        stage.cluster.recable("apart").unwrap();
        stage.cluster.set_apart("apart").unwrap();
        assert_eq!(carried(&stage, &apart), [0, 0]);
        agent.resume().unwrap();
        until_carried(&stage, &apart, way.only(1));
        assert_eq!(links(&agent).len(), way.only(2)[0]);
        assert_straight(&stage, &agent);
    }
}
