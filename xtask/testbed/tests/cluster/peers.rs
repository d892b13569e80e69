//! The rule sets that the bench measures beside sluice are accepted by the programs they are for, and
//! do what kube-proxy's do: connections go to the endpoints evenly, at the last of many Services, also
//! after its endpoints have changed.

use std::net::SocketAddr;

use lb_testbed::{CLIENT, Cluster, Families, Probe, Report, even_spread_p};

use crate::{
    launcher,
    rule_sets::{Batch, Peer},
    services::{Endpoint, Family, Port, Protocol, Service, Site, list},
};

const SERVED: u16 = 8080;
const NODE_PORT: u16 = 30_000;
const REQUESTS: u64 = 400;
/// Services in all.
const MANY: u32 = 50;

fn service(cluster: &Cluster, pods: &[(&str, &'static str)]) -> Service {
    let endpoints = pods.iter().flat_map(|(pod, node)| {
        let addresses = cluster.addresses(pod).expect("a pod's addresses");
        addresses.iter().map(|address| Endpoint { address: (*address, SERVED).into(), node })
    });
    let port = |protocol| Port { number: 80, protocol, node_port: Some(NODE_PORT) };
    Service {
        name: "web".to_owned(),
        cluster_ips: ["10.96.0.10", "fd00:96::10"].map(|ip| ip.parse().expect(ip)).into(),
        ports: [Protocol::Tcp, Protocol::Udp].map(port).into(),
        endpoints: endpoints.collect(),
    }
}

#[track_caller]
fn check(report: &Report, pods: &[(&str, &str)]) {
    let answered = report.by_pod();
    let names: Vec<_> = pods.iter().map(|(pod, _)| *pod).collect();
    assert_eq!(answered.keys().copied().collect::<Vec<_>>(), names, "{report:?}");
    assert_eq!(report.failed(), 0, "{report:?}");
    let counts: Vec<u64> = answered.into_values().collect();
    // Some fifty spreads are looked at each time.
    assert!(even_spread_p(&counts) > 1e-9, "{counts:?}");
}

/// Calls from a pod and from outside. What has called before calls where it did before, as its ports
/// come round and their connections are remembered; so each time others call.
fn check_everywhere(cluster: &Cluster, time: usize, service: &Service, pods: &[(&str, &str)]) {
    let outside = cluster.addresses(CLIENT).expect("the client's addresses");
    for node in cluster.addresses("node1").expect("the node's addresses") {
        let vip = service.cluster_ip(Family::of(*node)).expect("a ClusterIP");
        let mut of_family = outside.iter().filter(|own| own.is_ipv4() == node.is_ipv4());
        let client = *of_family.nth(time).expect("an address");
        for to in [Probe::tcp, Probe::udp] {
            let pod = to(SocketAddr::new(vip, 80)).requests(REQUESTS);
            check(&cluster.probe(["caller-1", "caller-2"][time], &pod).expect("a report"), pods);
            let probe = to(SocketAddr::new(*node, NODE_PORT)).requests(REQUESTS).from(client);
            check(&cluster.probe(CLIENT, &probe).expect("a report"), pods);
        }
    }
}

fn check_peer(peer: Peer) {
    assert_eq!(peer.missing(), None);
    let mut cluster =
        Cluster::builder(launcher()).families(Families::Both).nodes(2).build().expect("a cluster");
    let pods = [
        ("caller-1", "node1"),
        ("caller-2", "node1"),
        ("web-1", "node1"),
        ("web-2", "node1"),
        ("web-3", "node2"),
        ("web-4", "node2"),
    ];
    let mut servers = Vec::new();
    for (pod, node) in pods {
        cluster.add_pod(node, pod).expect("a pod");
        servers.push(cluster.serve(pod, &[SERVED], &[SERVED]).expect("a server"));
    }
    let (before, after) = (service(&cluster, &pods[2..5]), service(&cluster, &pods[3..]));
    let both = [Family::V4, Family::V6];
    let apply = |batches: &dyn Fn(&Site) -> Vec<Batch>| {
        for node in cluster.addresses("node1").expect("the node's addresses") {
            let batches = batches(&Site::of(*node));
            let taken = cluster
                .netns("node1")
                .expect("the node")
                .enter(|| Ok(batches.iter().map(Batch::apply).collect::<Result<Vec<_>, _>>()));
            taken.expect("a namespace").expect("rules that are taken");
        }
    };
    let services = list(MANY, &both, std::slice::from_ref(&before));
    apply(&|site| vec![peer.foundation(site), peer.full(&services, site)]);
    check_everywhere(&cluster, 0, &before, &pods[2..5]);
    let services = list(MANY, &both, std::slice::from_ref(&after));
    apply(&|site| vec![peer.change(&services, &before, &after, site)]);
    check_everywhere(&cluster, 1, &after, &pods[3..]);
    // Everything may be said again.
    apply(&|site| vec![peer.foundation(site), peer.full(&services, site)]);
}

#[test]
fn iptables_rules_send_connections_to_the_endpoints_evenly() {
    check_peer(Peer::Iptables);
}

#[test]
fn iptables_rules_do_so_by_the_nf_tables_variant() {
    check_peer(Peer::IptablesNft);
}

#[test]
fn nftables_rules_send_connections_to_the_endpoints_evenly() {
    check_peer(Peer::Nftables);
}
