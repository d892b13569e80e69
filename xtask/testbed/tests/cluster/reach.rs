//! Everybody reaches everybody, with the addresses the picture gives them.

use std::{net::SocketAddr, time::Duration};

use lb_testbed::{CONTROL, Cluster, Families, Feature, Probe};

use crate::{launcher, two_nodes};

const PORT: u16 = 8080;
const REQUESTS: u64 = 20;

/// From where to where, and with which of the caller's names it is seen.
const WAYS: [(&str, &str); 9] = [
    ("a", "b"),
    ("b", "a"),
    ("a", "a"),
    ("client", "a"),
    ("client", "node2"),
    ("node1", "node2"),
    ("node2", "a"),
    ("b", "node1"),
    ("b", "node2"),
];

fn check(cluster: &Cluster, from: &str, to: &str) {
    let callers = cluster.addresses(from).expect("the caller's addresses");
    let netns = cluster.netns(from).expect("the caller's namespace");
    let repeated = || netns.repeated_first_packets().expect("a counter");
    for address in cluster.addresses(to).expect("the server's addresses") {
        let target = SocketAddr::new(*address, PORT);
        for probe in [Probe::tcp(target), Probe::udp(target), Probe::udp_unconnected(target)] {
            let probe = probe.requests(REQUESTS).concurrency(2);
            let before = repeated();
            let report = cluster.probe(from, &probe).expect("a report");
            assert_eq!(report.by_pod().get(to), Some(&REQUESTS), "{from} to {to}: {report:?}");
            // Not even the first packet is lost. Nobody would send a datagram again.
            assert_eq!(repeated(), before, "{from} to {to}: {report:?}");
            for answer in &report.answers {
                // The first address of the family, though the client has two.
                let own = callers.iter().find(|own| own.is_ipv4() == address.is_ipv4());
                assert_eq!(Some(&answer.peer), own, "{from} to {to}: {answer:?}");
                assert_eq!((answer.local, answer.from), (target, target), "{from} to {to}");
            }
        }
    }
}

fn check_all(families: Families, addresses_each: usize) {
    let cluster = two_nodes(families);
    let servers = ["a", "b", "node1", "node2"];
    let _servers = servers.map(|name| cluster.serve(name, &[PORT], &[PORT]).expect("a server"));
    assert_eq!(cluster.addresses("a").expect("addresses").len(), addresses_each);
    for (from, to) in WAYS {
        check(&cluster, from, to);
    }
}

#[test]
fn over_ipv4() {
    check_all(Families::V4, 1);
}

#[test]
fn over_ipv6() {
    check_all(Families::V6, 1);
}

#[test]
fn over_both() {
    check_all(Families::Both, 2);
}

#[test]
fn pods_set_apart() {
    let mut cluster = two_nodes(Families::Both);
    cluster.add_pod("node1", "c").expect("pod c");
    let servers = ["a", "b", "c", "node2"];
    let _servers = servers.map(|name| cluster.serve(name, &[PORT], &[PORT]).expect("a server"));
    for name in ["a", "c"] {
        cluster.set_apart(name).expect("a pod with a device of its own");
    }
    for (from, to) in
        [("a", "c"), ("c", "a"), ("a", "b"), ("b", "a"), ("client", "a"), ("a", "node2")]
    {
        check(&cluster, from, to);
    }
}

#[test]
fn a_node_calls_its_own_pods_from_its_bridge() {
    let cluster = two_nodes(Families::Both);
    let _server = cluster.serve("a", &[PORT], &[]).expect("a server");
    let bridge = cluster.bridge_addresses("node1").expect("the bridge's addresses");
    for address in cluster.addresses("a").expect("addresses") {
        let report = cluster.probe("node1", &Probe::tcp(SocketAddr::new(*address, PORT)));
        let report = report.expect("a report");
        assert_eq!(report.answers.len(), 1, "{report:?}");
        assert!(bridge.contains(&report.answers[0].peer), "{report:?}");
    }
}

#[test]
fn the_client_can_call_from_its_second_address() {
    let cluster = two_nodes(Families::Both);
    let _server = cluster.serve("b", &[PORT], &[PORT]).expect("a server");
    for (source, target) in [("203.0.113.20", "10.244.2.2"), ("2001:db8:113::20", "fd00:244:2::2")]
    {
        let source = source.parse().expect("an address");
        let target = SocketAddr::new(target.parse().expect("an address"), PORT);
        for probe in [Probe::tcp(target), Probe::udp(target)] {
            let report = cluster.probe("client", &probe.from(source)).expect("a report");
            assert_eq!(report.by_peer().get(&source), Some(&1), "{report:?}");
        }
    }
}

#[test]
fn packets_for_a_load_balancers_address_come_to_the_node_they_are_routed_to() {
    let cluster = two_nodes(Families::Both);
    // The node itself answers for it: the address is put on its loopback device.
    for (vip, node) in [("198.51.100.7/32", "node2"), ("2001:db8:51::7/128", "node1")] {
        let vip = vip.parse().expect("a network");
        cluster.route(vip, node).expect("a route");
        let netns = cluster.netns(node).expect("a namespace");
        netns.links(async |links| links.address("lo", vip).await).expect("an address");
        let target = SocketAddr::new(vip.addr(), PORT);
        let report = cluster.probe("client", &Probe::tcp(target)).expect("a report");
        // Nobody listens there, and only the node that has the address can say so.
        assert_eq!(report.errors.get("ECONNREFUSED"), Some(&1), "{vip}: {report:?}");
    }
}

#[test]
fn device_features_can_be_switched() {
    let cluster = two_nodes(Families::V4);
    let _server = cluster.serve("b", &[PORT], &[PORT]).expect("a server");
    for (place, feature, on) in [
        ("a", Feature::TransmitChecksum, false),
        ("b", Feature::ReceiveMerging, true),
        ("b", Feature::TransmitChecksum, false),
        ("b", Feature::TransmitChecksum, true),
        ("node1", Feature::ReceiveMerging, true),
    ] {
        let netns = cluster.netns(place).expect("a namespace");
        netns.set_feature("eth0", feature, on).expect("a feature");
        assert_eq!(netns.feature("eth0", feature).expect("a feature"), on, "{place} {feature:?}");
    }
    check(&cluster, "a", "b");
    let absent = cluster.netns("a").expect("a namespace");
    assert!(absent.set_feature("eth9", Feature::ReceiveMerging, true).is_err());
}

#[test]
fn devices_can_be_like_network_cards() {
    let builder = Cluster::builder(launcher()).families(Families::V4).nodes(1).like_hardware();
    let mut cluster = builder.build().expect("a cluster");
    cluster.add_pod("node1", "a").expect("a pod");
    let plain = two_nodes(Families::V4);
    let features = |cluster: &Cluster, place: &str, device: &str| {
        let netns = cluster.netns(place).expect("a namespace");
        [Feature::TransmitChecksum, Feature::ReceiveMerging]
            .map(|feature| netns.feature(device, feature).expect("a feature"))
    };
    for (place, device, expected) in [
        ("a", "eth0", [false, true]),
        ("client", "eth0", [false, true]),
        ("node1", "eth0", [false, true]),
        ("node1", "pod2", [true, true]),
        ("router", "node1", [true, true]),
        ("router", "outside", [true, true]),
    ] {
        assert_eq!(features(&cluster, place, device), expected, "{device} of {place}");
        assert_eq!(features(&plain, place, device), [true, false], "{device} of {place}");
    }
    let _server = cluster.serve("a", &[PORT], &[PORT]).expect("a server");
    check(&cluster, "client", "a");
}

#[test]
fn the_control_place_is_reached_until_its_cable_is_pulled() {
    let cluster =
        Cluster::builder(launcher()).families(Families::Both).nodes(1).with_control().build();
    let cluster = cluster.expect("a cluster");
    let _server = cluster.serve(CONTROL, &[6443], &[]).expect("a server");
    for address in cluster.addresses(CONTROL).expect("its addresses") {
        let probe = Probe::tcp((*address, 6443).into());
        let answered = |probe: &Probe| cluster.probe("node1", probe).expect("a report").answered();
        assert_eq!(answered(&probe), 1, "{address}");
        cluster.plug(CONTROL, false).expect("pulled");
        let shortly = probe.clone().timeout(Duration::from_millis(300));
        assert_eq!(answered(&shortly), 0, "{address} without its cable");
        cluster.plug(CONTROL, true).expect("put back");
        assert_eq!(answered(&probe), 1, "{address} with its cable back");
    }
}
