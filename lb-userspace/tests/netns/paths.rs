//! Every way from a client to a backend: past the socket hooks, back to where it came from, to and
//! from the node's own network.

use std::net::{IpAddr, SocketAddr};

use lb_testbed::{Agent, Families, Probe, Worker};

use crate::stage::{DNS, HTTP, MAIN, Stage, service};

/// A Service each for who answers: its last number in a ClusterIP, and its NodePorts.
const BACKENDS: [(&str, u8); 4] = [("near", 10), ("far", 11), ("caller", 12), ("node1", 13)];
const FIRST_NODE_PORT: u16 = 30_000;
const REQUESTS: u64 = 3;
const POD_DEVICES_PAST_THE_STACK: [&str; 3] = ["--pod-interfaces", "pod*", "--direct-delivery"];

/// A backend beside the caller, one on another node, the caller itself and its node itself.
struct Ways {
    stage: Stage,
    _agents: [Agent; 2],
    _host: Worker,
}

fn stage() -> Stage {
    let stage = Stage::of(Families::Both, 2).with("node1", "near").with("node1", "caller");
    stage.with("node2", "far")
}

fn ways(stage: Stage, arguments: &[&str]) -> Ways {
    let host = stage.cluster.serve("node1", &[HTTP], &[DNS]).unwrap();
    let mut documents = Vec::new();
    for (backend, number) in BACKENDS {
        let ips = [true, false].map(|is_v4| cluster_ip(number, is_v4));
        let port = FIRST_NODE_PORT + u16::from(number);
        documents.push(service(
            backend,
            &format!(
                "type: NodePort, ipFamilyPolicy: RequireDualStack, clusterIPs: ['{}', '{}'], \
                 ports: [{{name: http, port: 80, nodePort: {port}}}, {{name: dns, port: 80, \
                 protocol: UDP, nodePort: {port}}}]",
                ips[0], ips[1]
            ),
        ));
        documents.push(stage.endpoints(backend, &[backend]));
    }
    stage.write(MAIN, &documents);
    let agents = ["node1", "node2"].map(|node| stage.start_with(node, arguments));
    Ways { stage, _agents: agents, _host: host }
}

fn cluster_ip(number: u8, is_v4: bool) -> IpAddr {
    let text = if is_v4 { format!("10.96.0.{number}") } else { format!("fd00:96::{number}") };
    text.parse().unwrap()
}

impl Ways {
    /// Asserts that a call to a frontend of a backend arrives there over TCP and UDP, and that the
    /// caller hears the frontend. With an address, it is the one that the backend has to see.
    #[track_caller]
    fn check(&self, caller: Caller<'_>, to: SocketAddr, backend: &str, seen: Option<IpAddr>) {
        let local = self.stage.address(backend, to.is_ipv4()).unwrap();
        for (probe, port) in
            [(Probe::tcp(to), HTTP), (Probe::udp(to), DNS), (Probe::udp_unconnected(to), DNS)]
        {
            let report = self.probe(caller, &probe.requests(REQUESTS));
            let what = format!("{to} from {caller:?}: {report:?}");
            assert_eq!((report.failed(), report.answered()), (0, REQUESTS), "{what}");
            for answer in report.answers {
                assert_eq!((answer.from, answer.local), (to, (local, port).into()), "{what}");
                assert!(seen.is_none_or(|seen| seen == answer.peer), "{what}");
            }
        }
    }

    fn probe(&self, caller: Caller<'_>, probe: &Probe) -> lb_testbed::Report {
        let cluster = &self.stage.cluster;
        match caller {
            Caller::In(place) => cluster.probe(place, probe).unwrap(),
            Caller::Hidden(pod) => {
                cluster.launcher().probe(&self.stage.unseen(pod), probe).unwrap()
            }
        }
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
enum Caller<'a> {
    /// A process of a place.
    In(&'a str),
    /// A process in a pod's network, in a cgroup that the agent has nothing to do with.
    Hidden(&'a str),
}

const FAMILIES: [bool; 2] = [true, false];

#[test]
fn what_no_socket_hook_saw_is_translated_at_the_pods_device() {
    for arguments in [&["--pod-interfaces", "pod*"][..], &POD_DEVICES_PAST_THE_STACK] {
        let ways = ways(stage(), arguments);
        for is_v4 in FAMILIES {
            let caller = ways.stage.address("caller", is_v4).unwrap();
            let node = ways.stage.address("node1", is_v4).unwrap();
            for (backend, number) in BACKENDS {
                let vip = cluster_ip(number, is_v4);
                let port = FIRST_NODE_PORT + u16::from(number);
                for to in [SocketAddr::from((vip, 80)), (node, port).into()] {
                    // Who calls itself would answer itself if it saw its own address.
                    let seen = if backend == "caller" { node } else { caller };
                    ways.check(Caller::Hidden("caller"), to, backend, Some(seen));
                }
            }
        }
    }
}

#[test]
fn without_devices_of_pods_what_no_socket_hook_saw_goes_by_untouched() {
    let ways = ways(stage(), &[]);
    for is_v4 in FAMILIES {
        let to = (cluster_ip(10, is_v4), 80).into();
        let probe = Probe::tcp(to).timeout(std::time::Duration::from_millis(300));
        assert_eq!(ways.probe(Caller::Hidden("caller"), &probe).answered(), 0, "{to}");
        ways.check(Caller::In("caller"), to, "near", None);
    }
}

#[test]
fn pods_and_nodes_reach_every_backend_by_cluster_ip_and_by_the_nodes_own_ports() {
    for arguments in [&[][..], &["--pod-interfaces", "pod*"]] {
        let ways = ways(stage(), arguments);
        for is_v4 in FAMILIES {
            let node = ways.stage.address("node1", is_v4).unwrap();
            for (backend, number) in BACKENDS {
                let port = FIRST_NODE_PORT + u16::from(number);
                let frontends: [SocketAddr; 2] =
                    [(cluster_ip(number, is_v4), 80).into(), (node, port).into()];
                for (place, to) in ["caller", "node1"]
                    .into_iter()
                    .flat_map(|place| frontends.map(|to| (place, to)))
                {
                    let seen = ways.stage.address(place, is_v4).filter(|_| place == "caller");
                    ways.check(Caller::In(place), to, backend, seen);
                }
                for entry in ["node1", "node2"] {
                    let entry = ways.stage.address(entry, is_v4).unwrap();
                    ways.check(Caller::In("client"), (entry, port).into(), backend, None);
                }
            }
        }
    }
}

/// Gives a node a second way to the network of the client outside, which its answers take.
fn second_uplink(stage: &Stage, node: &str) {
    let netns = stage.cluster.netns(node).unwrap();
    let router = stage.cluster.netns("router").unwrap();
    let ways = [
        ("192.168.51.1", "192.168.51.2", 24, "203.0.113.0/24"),
        ("fd00:51::1", "fd00:51::2", 64, "2001:db8:113::/64"),
    ];
    let on = |address: &str, length: u8| format!("{address}/{length}").parse().unwrap();
    router
        .links(async |links| {
            links.veth("second", "eth1", netns).await?;
            for (gateway, _, length, _) in ways {
                links.address("second", on(gateway, length)).await?;
            }
            Ok(())
        })
        .unwrap();
    netns
        .links(async |links| {
            links.up("eth1").await?;
            links.settled("eth1").await?;
            for (gateway, own, length, outside) in ways {
                links.address("eth1", on(own, length)).await?;
                links.route(outside.parse().unwrap(), gateway.parse().unwrap()).await?;
            }
            Ok(())
        })
        .unwrap();
    router.links(async |links| links.settled("second").await).unwrap();
}

#[test]
fn answers_may_leave_by_another_device_than_the_call_came_by() {
    let stage = stage();
    second_uplink(&stage, "node1");
    let ways = ways(stage, &["--interfaces", "eth*"]);
    for is_v4 in FAMILIES {
        let node = ways.stage.address("node1", is_v4).unwrap();
        for (backend, number) in BACKENDS {
            let to = (node, FIRST_NODE_PORT + u16::from(number)).into();
            ways.check(Caller::In("client"), to, backend, None);
        }
    }
}

#[test]
fn an_answer_by_a_device_without_our_programs_is_not_translated() {
    let stage = stage();
    second_uplink(&stage, "node1");
    let ways = ways(stage, &["--interfaces", "eth0"]);
    for is_v4 in FAMILIES {
        let node = ways.stage.address("node1", is_v4).unwrap();
        let to = (node, FIRST_NODE_PORT + 10).into();
        let probe = Probe::tcp(to).timeout(std::time::Duration::from_millis(300));
        assert_eq!(ways.probe(Caller::In("client"), &probe).answered(), 0, "{to}");
    }
}

#[test]
fn at_a_pods_device_internal_policy_and_refusals_are_those_of_the_socket() {
    let ways = ways(stage(), &["--pod-interfaces", "pod*"]);
    let local = service(
        "local",
        "clusterIP: 10.96.0.20, internalTrafficPolicy: Local, ports: [{name: http, port: 80}]",
    );
    let none = service("none", "clusterIP: 10.96.0.21, ports: [{name: http, port: 80}]");
    let far = ways.stage.endpoints("local", &["far", "near"]);
    ways.stage.write("more.yaml", &[local, none, far]);
    ways.stage.until_who("caller", "10.96.0.20:80", Some(&["near"]));
    let probe = |to: &str| {
        let probe = Probe::tcp(to.parse().unwrap()).requests(24).most_failures(1);
        ways.probe(Caller::Hidden("caller"), &probe)
    };
    let report = probe("10.96.0.20:80");
    assert_eq!(report.by_pod().keys().copied().collect::<Vec<_>>(), ["near"], "{report:?}");
    for refused in ["10.96.0.21:80", "10.96.0.20:81"] {
        let report = probe(refused);
        assert_eq!(report.errors, [("ECONNREFUSED".to_owned(), 1)].into(), "{refused}");
    }
}
