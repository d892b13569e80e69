//! Two nodes with a pod each, the first of which carries the programs, and who floods it.

use std::net::{IpAddr, SocketAddr};

use lb_common::{
    Family, Protocol, V4, V6,
    counter::Counter,
    flow::{FlowKeyOf, FlowOf, kind, state},
};
use lb_testbed::{CLIENT, Cluster, Families, Launcher, Worker};
use lb_userspace::{kernel::XdpMode, model::FrontendKind};

use crate::{
    node::{
        Node,
        service::{family_of, port},
    },
    raw::generator::{Frames, Generator, Sources},
};

/// How many connections are to stay.
pub const CONNECTIONS: usize = 1_000;
/// Entries of each flow table: ours, and room for a flood to fill.
pub const FLOWS: u32 = 1 << 15;

const NODE: &str = "node1";
const OTHER: &str = "node2";
const DEVICE: &str = "eth0";
const POD_PORT: u16 = 8_080;
/// NodePorts of the service whose pod is on the node, and of the other one.
const NODE_PORTS: [(&str, u16); 2] = [("near", 30_080), ("far", 30_081)];
/// Sources of the flood; the lower half of each is the generator's. Nobody has them.
const SOURCES: [&str; 2] = ["198.18.0.0/16", "2001:db8:18::/64"];

/// See the module.
pub struct Stage {
    node: Node,
    _servers: Vec<Worker>,
    neighbour: [u8; 6],
    pub cluster: Cluster,
}

impl Stage {
    /// Everything stands, and a service's pod is on either node.
    pub fn new(mode: XdpMode) -> Self {
        lb_testbed::require_rights().unwrap();
        let builder = Cluster::builder(Launcher::beside_tests().unwrap());
        // At XDP packets must have complete checksums; at tc it makes no difference.
        let builder = builder.families(Families::Both).like_hardware();
        let mut cluster = builder.nodes(2).build().unwrap();
        cluster.add_pod(NODE, "near").unwrap();
        cluster.add_pod(OTHER, "far").unwrap();
        let servers =
            NODE_PORTS.map(|(pod, _)| cluster.serve(pod, &[POD_PORT], &[]).unwrap()).into();
        // What is answered to those who do not exist goes to somebody who takes no notice.
        let router = cluster.netns("router").unwrap();
        for (network, via) in SOURCES.iter().zip(first_of_each_family(&cluster, CLIENT)) {
            let network = network.parse().unwrap();
            router.links(async |links| links.route(network, via).await).unwrap();
        }
        let mut node = Node::with(&cluster, NODE, FLOWS, mode);
        node.attach_device(&cluster, NODE);
        for own in cluster.addresses(NODE).unwrap() {
            for (pod, node_port) in NODE_PORTS {
                let mut all = cluster.addresses(pod).unwrap().iter();
                let at = all.find(|address| address.is_ipv4() == own.is_ipv4()).unwrap();
                let backend = SocketAddr::new(*at, POD_PORT);
                let name = format!("{pod}-{:?}", family_of(*own)).to_lowercase();
                let service = port(&name, Protocol::Tcp, family_of(*own))
                    .at(FrontendKind::NodePort, (*own, node_port).into());
                let near = pod == NODE_PORTS[0].0;
                let service =
                    if near { service.local(backend) } else { service.elsewhere(backend) };
                node.program([service.build()]);
            }
        }
        let neighbour = cluster.netns(NODE).unwrap().enter(|| Ok(ethernet())).unwrap();
        Self { node, _servers: servers, neighbour, cluster }
    }

    /// The NodePorts in both families.
    pub fn frontends(&self) -> Vec<SocketAddr> {
        let own = self.cluster.addresses(NODE).unwrap().iter();
        own.flat_map(|own| NODE_PORTS.map(|(_, node_port)| (*own, node_port).into())).collect()
    }

    /// A generator for each of the NodePorts.
    pub fn generators(&self) -> Vec<Generator<'_>> {
        let generator = |to: SocketAddr| {
            let source: ipnet::IpNet = SOURCES[usize::from(to.is_ipv6())].parse().unwrap();
            Generator::new(&Frames {
                from: self.cluster.netns("router").unwrap(),
                device: NODE,
                neighbour: self.neighbour,
                protocol: Protocol::Tcp,
                source: source.addr(),
                to,
                sources: Sources::All,
            })
        };
        self.frontends().into_iter().map(|to| generator(to).unwrap()).collect()
    }

    /// How many connections there are whose client has gone on after the backend had answered.
    pub fn confirmed(&self) -> usize {
        let reader = self.node.reader();
        let v4 = confirmed::<V4>(&reader.flows_v4().unwrap());
        v4 + confirmed::<V6>(&reader.flows_v6().unwrap())
    }

    /// How many flows were opened, those of the flood among them.
    pub fn opened(&self) -> u64 {
        let counters = self.counters().into_iter();
        counters.filter(|(one, _)| *one == Counter::FlowNew).map(|(_, count)| count).sum()
    }

    /// What has been counted at least once.
    pub fn counters(&self) -> Vec<(Counter, u64)> {
        let counters = self.node.reader().counters().unwrap();
        counters.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}

fn confirmed<F: Family>(flows: &[(FlowKeyOf<F>, FlowOf<F>)]) -> usize {
    let is = |flow: &FlowOf<F>| {
        matches!(flow.kind, kind::TO_LOCAL | kind::TO_REMOTE) && flow.state & state::CONFIRMED != 0
    };
    flows.iter().filter(|(_, flow)| is(flow)).count()
}

fn first_of_each_family(cluster: &Cluster, place: &str) -> [IpAddr; 2] {
    [true, false].map(|is_v4| {
        let mut all = cluster.addresses(place).unwrap().iter();
        *all.find(|address| address.is_ipv4() == is_v4).unwrap()
    })
}

/// The Ethernet address of the device in this namespace.
fn ethernet() -> [u8; 6] {
    let mut all = nix::ifaddrs::getifaddrs().unwrap();
    let of_device = |one: nix::ifaddrs::InterfaceAddress| {
        (one.interface_name == DEVICE).then_some(one.address?.as_link_addr()?.addr()?)
    };
    all.find_map(of_device).unwrap()
}
