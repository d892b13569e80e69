//! The service, and the ways clients take to it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lb_common::Protocol;
use lb_testbed::{CLIENT, Probe};
use lb_userspace::model::{
    Backend, Frontend, FrontendKind, IpFamily, PortId, ServiceName, ServicePort,
};

use crate::stage::{CALLER, LOCAL, NODE, POD_PORT, PODS, Stage};

const PORT: u16 = 80;
const NODE_PORT: u16 = 30_080;
/// Longer than a busy machine lets a client wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// A client that calls without pause.
pub struct Path {
    pub name: String,
    pub from: &'static str,
    pub probe: Probe,
}

/// Every way there is, in both families.
pub fn all(stage: &Stage) -> Vec<Path> {
    [false, true].into_iter().flat_map(|v6| family(stage, v6)).collect()
}

/// Connections are made anew for each exchange; datagrams come from one socket, so that the choice
/// is remembered and has to be forgotten in time.
fn family(stage: &Stage, v6: bool) -> [Path; 5] {
    let cluster_ip = SocketAddr::new(cluster_ip(v6), PORT);
    let node_port = SocketAddr::new(stage.address(NODE, v6), NODE_PORT);
    let external_ip = SocketAddr::new(external_ip(v6), PORT);
    stage.cluster.route(external_ip.ip().into(), NODE).unwrap();
    // Calls of one client at two frontends may look to a backend like one connection made twice.
    let spare = *stage
        .cluster
        .addresses(CLIENT)
        .unwrap()
        .iter()
        .filter(|ip| ip.is_ipv6() == v6)
        .nth(1)
        .unwrap();
    let path = |how, from, probe: Probe| Path {
        name: format!("{how}, IPv{}", if v6 { 6 } else { 4 }),
        from,
        probe: probe.until_stopped().timeout(PATIENCE).recording(),
    };
    [
        path("ClusterIP from a pod, TCP", CALLER, Probe::tcp(cluster_ip)),
        path("ClusterIP from a pod, UDP", CALLER, Probe::udp_unconnected(cluster_ip).reusing()),
        path("NodePort from outside, TCP", CLIENT, Probe::tcp(node_port)),
        path("NodePort from outside, UDP", CLIENT, Probe::udp_unconnected(node_port).reusing()),
        path("ExternalIP from outside, TCP", CLIENT, Probe::tcp(external_ip).from(spare)),
    ]
}

fn cluster_ip(v6: bool) -> IpAddr {
    if v6 { "fd00:96::a" } else { "10.96.0.10" }.parse().unwrap()
}

fn external_ip(v6: bool) -> IpAddr {
    if v6 { "2001:db8:51::7" } else { "198.51.100.7" }.parse().unwrap()
}

/// The service's name.
pub fn name() -> ServiceName {
    ServiceName::new("default", "web")
}

/// The service with these of the [`PODS`], by their number, as endpoints.
pub fn service(stage: &Stage, pods: &[usize]) -> Vec<ServicePort> {
    let port = |v6, protocol| {
        let frontend = |kind, address, port| Frontend { kind, address, port };
        let backend = |pod: usize| Backend {
            address: stage.address(PODS[pod], v6),
            port: POD_PORT,
            local: pod < LOCAL,
            in_cluster: true,
            in_local: false,
            weight: 1,
        };
        ServicePort {
            id: PortId {
                service: name(),
                port: "web".into(),
                protocol,
                family: if v6 { IpFamily::V6 } else { IpFamily::V4 },
            },
            created_s: None,
            frontends: vec![
                frontend(FrontendKind::ClusterIp, Some(cluster_ip(v6)), PORT),
                frontend(FrontendKind::NodePort, None, NODE_PORT),
                frontend(FrontendKind::ExternalIp, Some(external_ip(v6)), PORT),
            ],
            backends: pods.iter().map(|pod| backend(*pod)).collect(),
            internal_local: false,
            external_local: false,
            hash_cluster: false,
            hash_local: false,
            affinity_timeout_s: None,
            source_ranges: Vec::new(),
        }
    };
    let families = [false, true].into_iter();
    families.flat_map(|v6| [Protocol::Tcp, Protocol::Udp].map(|each| port(v6, each))).collect()
}
