//! Packets from outside that are handed to the devices of pods, past the node's stack.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lb_testbed::{Agent, CLIENT, Families, Feature, Probe, Transport};

use crate::stage::{MAIN, Stage, inspect, service, until};

const REQUESTS: u64 = 40;
const MEGABYTE: usize = 1_000_000;
/// Longer than a debug build takes to make ten of them on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A pod, the NodePorts of its Service, and whether it has a device of its own on the node.
pub const PODS: [(&str, u16, u16, bool); 2] =
    [("bridged", 30_080, 30_053, false), ("apart", 30_081, 30_054, true)];

/// One node with these pods.
pub fn stage() -> Stage {
    let stage = Stage::of(Families::Both, 1).with("node1", "bridged").with("node1", "apart");
    for (pod, http, dns, is_apart) in PODS {
        let spec = format!(
            "type: NodePort, ipFamilyPolicy: RequireDualStack, ports: [{{name: http, port: 80, \
             nodePort: {http}}}, {{name: dns, port: 53, protocol: UDP, nodePort: {dns}}}]"
        );
        stage.write(&format!("{pod}-{MAIN}"), &[service(pod, &spec), stage.endpoints(pod, &[pod])]);
        if is_apart {
            stage.cluster.set_apart(pod).unwrap();
        }
    }
    stage
}

/// The node's end of a pod's cable.
pub fn device(stage: &Stage, pod: &str) -> String {
    match stage.address(pod, true) {
        Some(IpAddr::V4(address)) => format!("pod{}", address.octets()[3]),
        other => panic!("{other:?}"),
    }
}

fn handed_over(agent: &Agent) -> u64 {
    counted(agent, "direct_delivery")
}

/// How often something was counted.
pub fn counted(agent: &Agent, counter: &str) -> u64 {
    let counters = inspect(agent, "status")["counters"].clone();
    let mut rows = counters.as_array().unwrap().iter();
    let row = rows.find(|row| row["counter"] == counter).unwrap();
    row["value"].as_u64().unwrap()
}

/// How many packets the node has sent by a device.
fn sent(stage: &Stage, device: &str) -> u64 {
    let node = stage.cluster.netns("node1").unwrap();
    let table = node.enter(|| Ok(std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()));
    let table = table.unwrap();
    let (_, numbers) = table
        .lines()
        .find_map(|line| line.trim().split_once(':').filter(|(name, _)| *name == device))
        .unwrap();
    numbers.split_whitespace().nth(9).unwrap().parse().unwrap()
}

/// All calls are answered by the pod, which sees the client; returns how many packets were handed
/// over, and how many the node sent by the pod's device.
#[track_caller]
fn check(stage: &Stage, agent: &Agent, pod: &str, probe: &Probe) -> (u64, u64) {
    let near = device(stage, pod);
    let before = (handed_over(agent), sent(stage, &near));
    let report = stage.cluster.probe(CLIENT, probe).unwrap();
    let to: SocketAddr = probe.to;
    assert_eq!(report.errors, Default::default(), "{pod} {to} {:?}", probe.transport);
    let client = stage.address(CLIENT, to.is_ipv4()).unwrap();
    for answer in &report.answers {
        assert_eq!((&*answer.pod, answer.from, answer.peer), (pod, to, client));
    }
    (handed_over(agent) - before.0, sent(stage, &near) - before.1)
}

#[test]
fn pods_are_handed_their_packets_on_a_bridge_and_on_devices_of_their_own() {
    let stage = stage();
    let agent = stage.start_with("node1", &["--direct-delivery"]);
    for (pod, http, dns, is_apart) in PODS {
        for is_v4 in [true, false] {
            let node = stage.address("node1", is_v4).unwrap();
            // Until its neighbour is known, a pod gets its packets as the stack would send them.
            check(&stage, &agent, pod, &Probe::tcp((node, http).into()));
            for probe in [Probe::tcp((node, http).into()), Probe::udp((node, dns).into())] {
                let probe = probe.requests(REQUESTS);
                let (handed, sent) = check(&stage, &agent, pod, &probe);
                assert!(handed >= REQUESTS, "{pod}: {handed} handed over");
                assert_eq!(sent < REQUESTS, is_apart, "{pod}: {sent} sent by its device");
            }
            let large = Probe::tcp((node, http).into()).download_bytes(MEGABYTE).requests(3);
            check(&stage, &agent, pod, &large);
        }
    }
}

#[test]
fn nothing_is_handed_over_unless_it_is_asked_for() {
    let stage = stage();
    let agent = stage.start("node1");
    for (pod, http, _, _) in PODS {
        let node = stage.address("node1", true).unwrap();
        let probe = Probe::tcp((node, http).into()).requests(REQUESTS);
        let (handed, sent) = check(&stage, &agent, pod, &probe);
        assert_eq!(handed, 0);
        assert!(sent >= REQUESTS);
    }
}

#[test]
fn a_pod_that_comes_later_and_one_whose_link_is_narrow_are_served() {
    let mut stage = stage();
    let agent = stage.start_with("node1", &["--direct-delivery"]);
    stage.add_pod("node1", "later");
    stage.cluster.set_apart("later").unwrap();
    let spec = "type: NodePort, ports: [{name: http, port: 80, nodePort: 30082}]";
    stage.write("later.yaml", &[service("later", spec), stage.endpoints("later", &["later"])]);
    let node = stage.address("node1", true).unwrap();
    let to = SocketAddr::new(node, 30_082);
    stage.until_who(CLIENT, &to.to_string(), Some(&["later"]));
    let probe = Probe::tcp(to).requests(REQUESTS);
    let handed = || check(&stage, &agent, "later", &probe).0 >= REQUESTS;
    until(handed).expect("its device is found");

    let near = device(&stage, "later");
    stage
        .cluster
        .netns("node1")
        .unwrap()
        .links(async |links| links.mtu(&near, 1_300).await)
        .unwrap();
    let (handed, _) = check(&stage, &agent, "later", &probe.clone().download_bytes(MEGABYTE));
    assert!(handed >= REQUESTS);
}

/// XDP brings what a pod takes, from a client whose checksums are complete, and leaves the rest to
/// tc: which of the two it is changes while the agent runs.
#[test]
fn xdp_hands_over_to_pods_that_take_frames() {
    let stage = stage();
    let place = |name: &str| stage.cluster.netns(name).unwrap();
    place(CLIENT).set_feature("eth0", Feature::TransmitChecksum, false).unwrap();
    let takes_frames =
        |on| place("apart").set_feature("eth0", Feature::ReceiveMerging, on).unwrap();
    let agent = stage.start_with("node1", &["--direct-delivery", "--xdp", "native"]);
    let (_, http, dns, _) = PODS[1];
    for is_v4 in [true, false] {
        let node = stage.address("node1", is_v4).unwrap();
        for probe in [Probe::tcp((node, http).into()), Probe::udp((node, dns).into())] {
            let probe = probe.requests(REQUESTS);
            // On the way back datagrams may be lost until the agent knows, and segments are sent anew.
            let back = (probe.transport == Transport::Tcp).then_some(false);
            for by_xdp in [false, true].into_iter().chain(back) {
                takes_frames(by_xdp);
                let settled = || {
                    let left = counted(&agent, "xdp_route");
                    let (handed, _) = check(&stage, &agent, "apart", &probe);
                    let left = counted(&agent, "xdp_route") - left;
                    handed >= REQUESTS && if by_xdp { left == 0 } else { left >= REQUESTS }
                };
                until(settled).unwrap_or_else(|| panic!("{:?} {by_xdp}", probe.transport));
            }
        }
        takes_frames(true);
        let large = Probe::tcp((node, http).into()).download_bytes(10 * MEGABYTE).requests(2);
        check(&stage, &agent, "apart", &large.timeout(PATIENCE));
    }
}
