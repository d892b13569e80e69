//! What packets pass: the cluster, its nodes with ours and with the rules of others, and the sinks.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Stdio,
};

use anyhow::{Context as _, Result, ensure};
use ipnet::IpNet;
use lb_common::Protocol;
use lb_testbed::{CLIENT, Cluster, Families, Launcher, Netns};
use lb_userspace::{
    kernel::XdpMode,
    model::{FrontendKind, IpFamily, ServicePort},
};

use super::{Args, Case, Place};
use crate::{
    node::Node,
    raw::{
        Raw,
        sink::{self, Fate},
    },
    service::port,
};

/// Nodes in their order: without anything, with ours at tc and at XDP, the sink; then those with the
/// rules of others.
const DIRECT: &str = "node1";
const AT_TC: &str = "node2";
const AT_XDP: &str = "node3";
pub const SINK: &str = "node4";
const NODES: u8 = 4;

const DEVICE: &str = "eth0";
/// Of NodePorts, that whose service has its backend here, and that whose has all of its elsewhere.
const NODE_PORTS: [u16; 2] = [30_001, 30_002];
/// First port of backends, and how many there are elsewhere: for each there are some 20,000 source
/// ports.
const BACKEND: u16 = 5_000;
const BACKENDS: u16 = 64;

/// See the module.
pub struct Stage {
    sinks: Vec<Raw>,
    _nodes: Vec<Node>,
    pub cluster: Cluster,
}

/// Where datagrams come from; the last sixteen bits are the generator's.
pub fn source(family: IpFamily) -> IpAddr {
    // Networks that are set aside for benchmarks.
    match family {
        IpFamily::V4 => Ipv4Addr::new(198, 18, 0, 0).into(),
        IpFamily::V6 => Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0).into(),
    }
}

/// The stage, with room for so many flows, and everything that is to be measured on it.
pub fn raise(args: &Args, most: u32) -> Result<(Stage, Vec<Case>)> {
    let nodes = NODES + u8::try_from(args.peer.len())?;
    let builder = Cluster::builder(Launcher::beside_tests()?).families(Families::Both);
    // Both ends of each cable take what XDP sends.
    let mut cluster = builder.like_hardware().nodes(nodes).build()?;
    let names: Vec<String> = cluster.nodes().map(str::to_owned).collect();
    for node in &names {
        cluster.add_pod(node, &pod_of(node))?;
    }
    for family in IpFamily::ALL {
        let client = address(&cluster, CLIENT, family)?;
        let length = if family == IpFamily::V4 { 16 } else { 112 };
        let sources = IpNet::new(source(family), length)?;
        cluster.netns("router")?.links(async |links| links.route(sources, client).await)?;
    }
    // Each flow has two entries, in either place; some room is left.
    let entries = (5 * most).max(1 << 16);
    let mut ours = Vec::new();
    for (name, mode) in [(AT_TC, XdpMode::Off), (AT_XDP, XdpMode::Native)] {
        let mut node = Node::with(&cluster, name, entries, mode);
        node.attach_device(&cluster, name);
        for family in IpFamily::ALL {
            node.program(services(&cluster, name, family)?);
        }
        ours.push(node);
    }
    let mut who = vec![("direct", DIRECT), ("sluice at tc", AT_TC), ("sluice at XDP", AT_XDP)];
    for ((peer, script), node) in args.peer.iter().zip(&names[usize::from(NODES)..]) {
        run_script(&cluster, node, script)?;
        who.push((peer, node));
    }
    let mut cases = Vec::new();
    for (number, (who, node)) in (0u8..).zip(who) {
        // The sink is none of them: the fourth is the first with others' rules.
        let conntrack = if number + 1 < NODES { None } else { Some(conntrack()?) };
        for family in IpFamily::ALL {
            for place in Place::BOTH {
                cases.push(Case { conntrack, ..case(&cluster, (who, node), place, family)? });
            }
        }
    }
    Ok((Stage { sinks: Vec::new(), _nodes: ours, cluster }, cases))
}

fn case(
    cluster: &Cluster,
    (who, node): (&str, &str),
    place: Place,
    family: IpFamily,
) -> Result<Case> {
    let host = if place == Place::Here { pod_of(node) } else { pod_of(SINK) };
    let to = match who {
        "direct" => (address(cluster, &host, family)?, BACKEND).into(),
        _ => (address(cluster, node, family)?, NODE_PORTS[place as usize]).into(),
    };
    let neighbour = ethernet(cluster.netns(node)?)?;
    let (who, node) = (who.to_owned(), node.to_owned());
    let (rates, shares) = Default::default();
    Ok(Case { who, node, place, family, conntrack: None, to, neighbour, rates, shares })
}

impl Stage {
    /// Lets this become of what arrives at the pods and at the sink.
    pub fn end_with(&mut self, fate: Fate) -> Result<()> {
        self.sinks.clear();
        let pods = self.cluster.pods().map(|(pod, _)| pod).filter(|pod| *pod != pod_of(SINK));
        for place in pods.chain([SINK]) {
            self.sinks.push(sink::put(self.cluster.netns(place)?, DEVICE, fate)?);
        }
        Ok(())
    }
}

/// The pod that is on every node.
pub fn pod_of(node: &str) -> String {
    format!("pod-{node}")
}

/// What a node of ours serves in a family.
fn services(cluster: &Cluster, node: &str, family: IpFamily) -> Result<[ServicePort; 2]> {
    let (own, here, elsewhere) = (
        address(cluster, node, family)?,
        address(cluster, &pod_of(node), family)?,
        address(cluster, &pod_of(SINK), family)?,
    );
    let service = |name, node_port| {
        let port = port(&format!("{name}-{family:?}"), Protocol::Udp, family);
        port.at(FrontendKind::NodePort, (own, node_port).into())
    };
    let mut far = service("far", NODE_PORTS[1]);
    for number in 0..BACKENDS {
        far = far.elsewhere((elsewhere, BACKEND + number).into());
    }
    let near = service("near", NODE_PORTS[0]).local((here, BACKEND).into());
    Ok([near.build(), far.build()])
}

fn address(cluster: &Cluster, place: &str, family: IpFamily) -> Result<IpAddr> {
    let all = cluster.addresses(place)?;
    let found = all.iter().copied().find(|address| IpFamily::of(*address) == family);
    found.with_context(|| format!("{place} has no address of {family:?}"))
}

fn run_script(cluster: &Cluster, node: &str, script: &str) -> Result<()> {
    let place = cluster.place(node)?;
    let mut command = cluster.launcher().command(&place, "sh", vec![script.into()], true)?;
    // What it prints is for people; standard output is for the samples.
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{script}: {}", output.status);
    Ok(())
}

/// The Ethernet address of a place's device.
fn ethernet(netns: &Netns) -> Result<[u8; 6]> {
    let all = netns.enter(|| Ok(nix::ifaddrs::getifaddrs().map(Iterator::collect::<Vec<_>>)))??;
    let mut of_device = all.iter().filter(|one| one.interface_name == DEVICE);
    let address = of_device.find_map(|one| one.address.as_ref()?.as_link_addr()?.addr());
    address.context("a device without Ethernet address")
}

/// How many flows the kernel remembers.
fn conntrack() -> Result<u32> {
    let path = "/proc/sys/net/netfilter/nf_conntrack_max";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim().parse()?)
}

/// How many packets a place's device has received.
pub fn received(netns: &Netns) -> Result<u64> {
    let text = netns.enter(|| Ok(fs::read_to_string("/proc/thread-self/net/dev")))??;
    let line = text.lines().find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':'));
    let packets = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    packets.context("a device without counts")
}
