//! Devices of pods that no socket hook sees: what is large, what is in error, and pods that come
//! while the agent runs.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use lb_testbed::{Agent, Families, Probe, Report};
use nix::net::if_::if_nametoindex;

use crate::{
    delivery::device,
    refusals::check_ping,
    stage::{DNS, MAIN, Stage, service, until, until_logged},
};

const ARGUMENTS: [&str; 2] = ["--pod-interfaces", "pod*"];
/// Of a Service whose backend is on the other node, on this one, and nowhere over UDP.
const CLUSTER_IP: [&str; 2] = ["10.96.0.10", "fd00:96::10"];
const LOCAL_IP: [&str; 2] = ["10.96.0.11", "fd00:96::11"];
const DEAF_IP: [&str; 2] = ["10.96.0.12", "fd00:96::12"];
/// Larger than any link, and what one of them takes.
const FRAGMENTED: usize = 2_000;
const NARROW: u32 = 1_400;
const MEGABYTE: usize = 1_000_000;
/// A pod on the node's bridge, and one routed to by a device of its own, as a forwarded host is.
const CALLERS: [&str; 2] = ["bridged", "apart"];
const NODES: [&str; 2] = ["node1", "node2"];
/// When a client that has heard nothing repeats its first packet.
const REPEATED: Duration = Duration::from_secs(1);
/// Enough for it to do so several times, and for a device to be noticed on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn stage() -> (Stage, Vec<Agent>) {
    stage_with(&ARGUMENTS)
}

fn stage_with(arguments: &[&str]) -> (Stage, Vec<Agent>) {
    let mut stage = Stage::of(Families::Both, 2).with(NODES[0], "near").with(NODES[1], "far");
    for caller in CALLERS {
        stage.add_pod(NODES[0], caller);
    }
    stage.cluster.set_apart("apart").unwrap();
    let mut documents = Vec::new();
    for (name, [v4, v6], pod) in
        [("far", CLUSTER_IP, "far"), ("near", LOCAL_IP, "near"), ("deaf", DEAF_IP, "far")]
    {
        let spec = format!(
            "ipFamilyPolicy: RequireDualStack, clusterIPs: ['{v4}', '{v6}'], ports: [{{name: http, \
             port: 80}}, {{name: dns, port: 53, protocol: UDP}}]"
        );
        let slices = stage.endpoints(name, &[pod]);
        // Where nobody listens.
        let slices = if name == "deaf" { slices.replace(&DNS.to_string(), "9") } else { slices };
        documents.extend([service(name, &spec), slices]);
    }
    stage.write(MAIN, &documents);
    let agents = NODES.map(|node| stage.start_with(node, arguments));
    (stage, agents.into())
}

fn at(address: &str, port: u16) -> SocketAddr {
    (address.parse::<IpAddr>().unwrap(), port).into()
}

fn call(stage: &Stage, pod: &str, probe: &Probe) -> Report {
    stage.cluster.launcher().probe(&stage.unseen(pod), probe).unwrap()
}

#[track_caller]
fn answered(stage: &Stage, pod: &str, probe: &Probe) {
    let report = call(stage, pod, &probe.clone().requests(3));
    assert_eq!((report.failed(), report.answered()), (0, 3), "{} from {pod}: {report:?}", probe.to);
    assert!(report.answers.iter().all(|answer| answer.from == probe.to), "{report:?}");
}

#[test]
fn two_thousand_bytes_come_and_go_by_a_pods_device_and_its_pings_are_answered() {
    for arguments in [&ARGUMENTS[..], &["--pod-interfaces", "pod*", "--direct-delivery"]] {
        let (stage, _agents) = stage_with(arguments);
        for caller in CALLERS {
            // A pod on the bridge looks there for one that is not.
            let local_ip = LOCAL_IP.into_iter().filter(|_| caller == "bridged");
            for cluster_ip in CLUSTER_IP.into_iter().chain(local_ip) {
                let to = at(cluster_ip, 53);
                for probe in [Probe::udp(to), Probe::udp_unconnected(to)] {
                    answered(&stage, caller, &probe.datagram_bytes(FRAGMENTED));
                }
                check_ping(&stage, caller, to.ip(), true);
            }
        }
    }
}

#[test]
fn a_pod_hears_what_went_wrong_with_its_packets() {
    let (stage, _agents) = stage();
    for caller in CALLERS {
        for deaf in DEAF_IP {
            let report = call(&stage, caller, &Probe::udp(at(deaf, 53)));
            assert_eq!(report.errors, [("ECONNREFUSED".into(), 1)].into(), "{deaf} from {caller}");
        }
    }
    // Large requests and large answers meet a narrow link between the nodes.
    for node in NODES {
        let node = stage.cluster.netns(node).unwrap();
        node.links(async |links| links.mtu("eth0", NARROW).await).unwrap();
    }
    for caller in CALLERS {
        for cluster_ip in CLUSTER_IP {
            let probe = Probe::tcp(at(cluster_ip, 80));
            answered(&stage, caller, &probe.upload_bytes(MEGABYTE).download_bytes(MEGABYTE));
        }
    }
}

/// Whether a process in a pod's network has sent a first packet to an address that nobody answered.
fn is_calling(stage: &Stage, pod: &str) -> bool {
    const SYN_SENT: &str = "02";
    let pod = stage.cluster.netns(pod).unwrap();
    let table = |name| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
    let tables = pod.enter(|| Ok([table("tcp"), table("tcp6")])).unwrap();
    tables
        .iter()
        .flat_map(|table| table.lines())
        .any(|line| line.split_whitespace().nth(3) == Some(SYN_SENT))
}

/// A pod comes, and the agent does not get to hear of it.
fn come_unnoticed(stage: &mut Stage, agent: &Agent, pod: &str) {
    agent.pause().unwrap();
    stage.add_pod(NODES[0], pod);
}

#[track_caller]
fn is_noticed(stage: &Stage, agent: &Agent, pod: &str) {
    agent.resume().unwrap();
    until_logged(agent, &["programs attached", &device(stage, pod)]);
}

#[test]
fn a_connection_that_began_before_the_pods_device_was_known_needs_one_more_packet() {
    let (mut stage, agents) = stage();
    let node = stage.cluster.netns(NODES[0]).unwrap();
    for network in ["10.96.0.0/16", "fd00:96::/64"] {
        // What no program has translated gets no answer, not even that there is no way.
        let network = network.parse().unwrap();
        node.links(async |links| links.swallow(network).await).unwrap();
    }
    for (pod, cluster_ip) in ["early4", "early6"].into_iter().zip(CLUSTER_IP) {
        come_unnoticed(&mut stage, &agents[0], pod);
        let probe = Probe::tcp(at(cluster_ip, 80)).timeout(PATIENCE);
        let calling = stage.cluster.launcher().start_probe(&stage.unseen(pod), &probe).unwrap();
        until(|| is_calling(&stage, pod)).expect("it calls");
        is_noticed(&stage, &agents[0], pod);
        let repeated = || stage.cluster.netns(pod).unwrap().repeated_first_packets().unwrap();
        let before = repeated();
        let report = calling.report().unwrap();
        assert_eq!(report.by_pod(), [("far", 1)].into(), "{cluster_ip}: {report:?}");
        let took = report.elapsed;
        println!("{cluster_ip}: connected after {} ms", took.as_millis());
        assert!(took >= REPEATED, "{cluster_ip}: {took:?}");
        // One more may have been under way while the log was read.
        let (before, after) = (before, repeated());
        assert!(after > 0 && after - before <= 1, "{cluster_ip}: {before}, {after} packets more");
        // Nobody else has any use for such a route.
        answered(&stage, pod, &Probe::udp(at(cluster_ip, 53)));
        for place in ["near", NODES[0]] {
            let report = stage.cluster.probe(place, &Probe::tcp(at(cluster_ip, 80))).unwrap();
            assert_eq!(report.by_pod(), [("far", 1)].into(), "{cluster_ip} from {place}");
        }
    }
}

#[test]
fn a_network_that_knows_no_way_to_cluster_ips_ends_such_a_connection() {
    let (mut stage, agents) = stage();
    for (pod, cluster_ip) in ["early4", "early6"].into_iter().zip(CLUSTER_IP) {
        come_unnoticed(&mut stage, &agents[0], pod);
        let report = call(&stage, pod, &Probe::tcp(at(cluster_ip, 80)));
        assert_eq!(report.errors, [("ENETUNREACH".into(), 1)].into(), "{cluster_ip}");
        is_noticed(&stage, &agents[0], pod);
        answered(&stage, pod, &Probe::tcp(at(cluster_ip, 80)));
    }
}

#[test]
fn a_new_device_of_a_pod_is_served_a_moment_after_it_comes() {
    const TIMES: u32 = 20;
    let (stage, agents) = stage();
    let node = stage.cluster.netns(NODES[0]).unwrap();
    let pod = stage.cluster.netns("bridged").unwrap();
    let links = links(&agents[0]);
    let mut took = Vec::new();
    for number in 0..TIMES {
        let name = format!("pod-late{number}");
        node.links(async |links| links.veth(&name, &name, pod).await).unwrap();
        let came = Instant::now();
        let index = node.enter(|| Ok(if_nametoindex(name.as_str()).unwrap())).unwrap();
        let egress = links.join(format!("tc_egress-{index}"));
        while !egress.exists() {
            assert!(came.elapsed() < PATIENCE, "{name} is not served: {}", egress.display());
            std::thread::yield_now();
        }
        took.push(came.elapsed());
    }
    took.sort();
    let [median, longest] = [took[took.len() / 2], took[took.len() - 1]];
    println!("programs on a new device after {median:?}, {longest:?} at most");
    assert!(median < REPEATED, "{took:?}");
}

/// Where an agent's links are pinned.
fn links(agent: &Agent) -> PathBuf {
    let versions = fs::read_dir(agent.pins()).unwrap().map(|entry| entry.unwrap().path());
    versions.map(|version| version.join("links")).find(|links| links.exists()).unwrap()
}
