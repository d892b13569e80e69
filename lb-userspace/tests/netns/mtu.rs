//! What does not fit: path MTU discovery through translated flows, and datagrams in fragments.

use std::net::{IpAddr, SocketAddr};

use lb_testbed::{Agent, Families, Probe};

use crate::stage::{MAIN, Stage, inspect, service_of, until};

const HTTP: u16 = 30_080;
const DNS: u16 = 30_053;
const BALANCER: [&str; 2] = ["198.51.100.10", "2001:db8:51::10"];
const CLUSTER_IP: [&str; 2] = ["10.96.0.10", "fd00:96::10"];
/// What the narrow part of the way takes.
const NARROW: u32 = 1_400;
const MEGABYTE: usize = 1_000_000;
/// Larger than the narrow part, and than any link, respectively.
const LONG: usize = 1_440;
const FRAGMENTED: usize = 2_000;

/// Two nodes, the only pod that serves on the first: a call to the second goes through an address
/// of its.
fn stage() -> (Stage, [Agent; 2]) {
    let stage = Stage::of(Families::Both, 2).with("node1", "web-1").with("node1", "caller");
    let ([v4, v6], [lb4, lb6]) = (CLUSTER_IP, BALANCER);
    let spec = format!(
        "type: LoadBalancer, ipFamilyPolicy: RequireDualStack, clusterIPs: ['{v4}', '{v6}'], \
         ports: [{{name: http, port: 80, nodePort: {HTTP}}}, {{name: dns, port: 53, protocol: \
         UDP, nodePort: {DNS}}}]"
    );
    let status = format!("loadBalancer: {{ingress: [{{ip: '{lb4}'}}, {{ip: '{lb6}'}}]}}");
    let web = service_of("name: web", &spec, &status);
    stage.write(MAIN, &[web, stage.endpoints("web", &["web-1"])]);
    let agents = ["node1", "node2"].map(|node| stage.start(node));
    (stage, agents)
}

/// The NodePorts of both nodes, in both families: backend here, backend elsewhere.
fn node_ports(stage: &Stage, port: u16) -> Vec<SocketAddr> {
    let ways = [("node1", true), ("node1", false), ("node2", true), ("node2", false)];
    ways.map(|(node, is_v4)| (stage.address(node, is_v4).unwrap(), port).into()).into()
}

#[track_caller]
fn answered(stage: &Stage, place: &str, probe: &Probe, what: &str) {
    let report = stage.cluster.probe(place, &probe.clone().requests(3)).unwrap();
    assert_eq!(report.errors, Default::default(), "{what}, {} from {place}", probe.to);
    assert!(report.answers.iter().all(|answer| answer.from == probe.to), "{report:?}");
}

#[track_caller]
fn downloads(stage: &Stage, what: &str) {
    for to in node_ports(stage, HTTP) {
        answered(stage, "client", &Probe::tcp(to).download_bytes(MEGABYTE), what);
    }
}

#[test]
fn a_download_finds_its_way_through_a_narrow_link_beyond_us() {
    let (stage, _agents) = stage();
    downloads(&stage, "with room");
    let router = stage.cluster.netns("router").unwrap();
    router.links(async |links| links.mtu("outside", NARROW).await).unwrap();
    downloads(&stage, "a narrow link before the client");
}

#[test]
fn a_download_finds_its_way_where_we_are_the_ones_before_the_narrow_link() {
    let (stage, [_near, far]) = stage();
    for node in ["node1", "node2"] {
        for (network, is_v4) in [("203.0.113.0/24", true), ("2001:db8:113::/64", false)] {
            let via: IpAddr = if is_v4 { "192.168.50.1" } else { "fd00:50::1" }.parse().unwrap();
            let netns = stage.cluster.netns(node).unwrap();
            let network = network.parse().unwrap();
            netns.links(async |links| links.narrow_route(network, via, NARROW).await).unwrap();
        }
    }
    downloads(&stage, "a narrow route from the nodes");
    // Where the backend is elsewhere nobody but us can have told it.
    let counters = inspect(&far, "status")["counters"].clone();
    let told = counters.as_array().unwrap().iter().find(|row| row["counter"] == "drop_too_big");
    assert!(told.unwrap()["value"].as_u64() > Some(0), "{counters}");
}

#[test]
fn an_upload_learns_of_a_narrow_link_behind_us() {
    let (stage, _agents) = stage();
    let node = stage.cluster.netns("node1").unwrap();
    node.links(async |links| links.mtu("cni0", NARROW).await).unwrap();
    for to in node_ports(&stage, DNS) {
        // The first datagrams are lost; what is learnt of that cuts later ones into fragments.
        let probe =
            Probe::udp(to).datagram_bytes(LONG).timeout(std::time::Duration::from_millis(300));
        let arrives = || stage.cluster.probe("client", &probe).unwrap().failed() == 0;
        assert!(!arrives(), "{to}: the link is not narrow");
        assert!(until(arrives).is_some(), "{to}: nothing was learnt");
    }
}

#[test]
fn two_thousand_bytes_come_and_go_whichever_way_they_are_sent() {
    let (stage, _agents) = stage();
    let mut ways: Vec<(&str, SocketAddr)> = Vec::new();
    ways.extend(node_ports(&stage, DNS).into_iter().map(|to| ("client", to)));
    for address in CLUSTER_IP {
        ways.push(("caller", (address.parse::<IpAddr>().unwrap(), 53).into()));
    }
    for node in ["node1", "node2"] {
        for address in BALANCER {
            let address: IpAddr = address.parse().unwrap();
            stage.cluster.route(address.into(), node).unwrap();
            let to = (address, 53).into();
            answered(&stage, "client", &Probe::udp(to).datagram_bytes(FRAGMENTED), node);
        }
    }
    for (place, to) in ways {
        for bytes in [FRAGMENTED, 9_000] {
            answered(&stage, place, &Probe::udp(to).datagram_bytes(bytes), "connected");
            let probe = Probe::udp_unconnected(to).datagram_bytes(bytes);
            answered(&stage, place, &probe, "not connected");
        }
    }
}
