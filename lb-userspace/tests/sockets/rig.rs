//! One node with three pods that serve and one to call from.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use lb_common::Protocol;
use lb_testbed::{Cluster, Families, Launcher, Probe, Report, Transport, Worker};
use lb_userspace::model::{FrontendKind, IpFamily};

use crate::node::{
    Node,
    service::{Port, family_of, port},
};

/// The node.
pub const NODE: &str = "node1";
/// The pods that serve.
pub const PODS: [&str; 3] = ["web-1", "web-2", "web-3"];
/// The pod that calls.
pub const SHELL: &str = "shell";
/// Where pods serve, over TCP and UDP.
pub const SERVED: u16 = 8080;
/// The port of Services.
pub const PORT: u16 = 80;
/// Their NodePort.
pub const NODE_PORT: u16 = 30_080;

/// All there are.
pub const TRANSPORTS: [Transport; 3] =
    [Transport::Tcp, Transport::UdpConnected, Transport::UdpUnconnected];

pub struct Rig {
    pub node: Node,
    _servers: Vec<Worker>,
    pub cluster: Cluster,
}

impl Rig {
    pub fn new() -> Self {
        lb_testbed::require_rights().unwrap();
        let launcher = Launcher::beside_tests().unwrap();
        let builder = Cluster::builder(launcher).families(Families::Both).nodes(1);
        let mut cluster = builder.build().unwrap();
        for pod in PODS.into_iter().chain([SHELL]) {
            cluster.add_pod(NODE, pod).unwrap();
        }
        let serve = |pod| cluster.serve(pod, &[SERVED], &[SERVED]).unwrap();
        let servers = PODS.map(serve).into();
        let node = Node::new(&cluster, NODE);
        Self { node, _servers: servers, cluster }
    }

    /// Where a pod serves.
    pub fn served(&self, pod: &str, family: IpFamily) -> SocketAddr {
        (self.address(pod, family), SERVED).into()
    }

    /// The address of a place.
    pub fn address(&self, place: &str, family: IpFamily) -> IpAddr {
        let mut all = self.cluster.addresses(place).unwrap().iter();
        *all.find(|ip| family_of(**ip) == family).unwrap()
    }

    /// A service port without endpoints that answers everywhere it can.
    pub fn bare(&self, protocol: Protocol, family: IpFamily) -> Port {
        let mut built = port("web", protocol, family);
        for (kind, address) in vips(family) {
            built = built.at(kind, (address, PORT).into());
        }
        built.at(FrontendKind::NodePort, (self.address(NODE, family), NODE_PORT).into())
    }

    /// Gives a port these pods as endpoints.
    pub fn with(&self, port: Port, family: IpFamily, pods: &[&str]) -> Port {
        pods.iter().fold(port, |port, pod| port.local(self.served(pod, family)))
    }

    /// The Service in both protocols and families, each port as `shape` makes it.
    pub fn program(&mut self, shape: impl Fn(&Self, Protocol, IpFamily) -> Port) {
        let protocols = [Protocol::Tcp, Protocol::Udp];
        let all = protocols.into_iter().flat_map(|p| IpFamily::ALL.map(|family| (p, family)));
        let ports: Vec<_> =
            all.map(|(protocol, family)| shape(self, protocol, family).build()).collect();
        self.node.program(ports);
    }

    /// The Service with these pods.
    pub fn program_pods(&mut self, pods: &[&str]) {
        self.program(|rig, protocol, family| rig.with(rig.bare(protocol, family), family, pods));
    }

    /// Calls from a place.
    pub fn call(&self, place: &str, probe: &Probe) -> Report {
        self.cluster.probe(place, probe).unwrap()
    }

    /// Every address of the Service at which any process of the node reaches it, as all kinds of
    /// sockets name it.
    pub fn everywhere(&self) -> Vec<SocketAddr> {
        let mut all = Vec::new();
        for family in IpFamily::ALL {
            all.extend(vips(family).map(|(_, address)| SocketAddr::new(address, PORT)));
            all.push(SocketAddr::new(self.address(NODE, family), NODE_PORT));
        }
        with_mapped(all)
    }
}

/// The addresses of the Service.
pub fn vips(family: IpFamily) -> [(FrontendKind, IpAddr); 3] {
    let [cluster_ip, external, balancer] = match family {
        IpFamily::V4 => ["10.96.0.10", "192.0.2.10", "198.51.100.10"],
        IpFamily::V6 => ["fd00:96::10", "2001:db8:2::10", "2001:db8:51::10"],
    };
    [
        (FrontendKind::ClusterIp, cluster_ip.parse().unwrap()),
        (FrontendKind::ExternalIp, external.parse().unwrap()),
        (FrontendKind::LoadBalancer, balancer.parse().unwrap()),
    ]
}

/// The ClusterIP and port.
pub fn cluster_ip(family: IpFamily) -> SocketAddr {
    (vips(family)[0].1, PORT).into()
}

/// What a process of the node itself may call instead of the node's address.
pub fn own_addresses() -> Vec<SocketAddr> {
    let all: [IpAddr; 4] = [
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv6Addr::UNSPECIFIED.into(),
    ];
    with_mapped(all.map(|ip| (ip, NODE_PORT).into()).into())
}

/// With the IPv4 ones again, as an IPv6 socket names them.
fn with_mapped(mut all: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mapped = |at: &SocketAddr| match at.ip() {
        IpAddr::V4(ip) => Some(SocketAddr::new(ip.to_ipv6_mapped().into(), at.port())),
        IpAddr::V6(_) => None,
    };
    all.extend(all.iter().filter_map(mapped).collect::<Vec<_>>());
    all
}

/// A client of this kind.
pub fn probe(to: SocketAddr, transport: Transport) -> Probe {
    Probe { transport, ..Probe::tcp(to) }
}

/// Insists that every call was answered, by these pods and all of them, and that the client saw
/// nothing but whom it had called.
#[track_caller]
pub fn answered(report: &Report, to: SocketAddr, pods: &[&str]) {
    assert_eq!(report.errors, [].into(), "{to}");
    let found: BTreeSet<&str> = report.by_pod().into_keys().collect();
    assert_eq!(found, pods.iter().copied().collect(), "{to}");
    for answer in &report.answers {
        assert_eq!(answer.from, to, "whom the client sees");
        assert_eq!(answer.local.port(), SERVED, "{to}");
    }
}

/// Insists that every call failed with this.
#[track_caller]
pub fn failed(report: &Report, to: SocketAddr, error: &str) {
    let errors: Vec<_> = report.errors.keys().map(String::as_str).collect();
    assert_eq!((report.answered(), errors.as_slice()), (0, [error].as_slice()), "{to}");
}
