//! Makes a cluster, place by place. Addresses are static and usable at once: IPv6 does not look
//! for duplicates. No packet-filter rule is made, here or anywhere.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    CLIENT, CONTROL, Cluster, Families, Machine, Node, Pod,
    addresses::{self, BRIDGE, FIRST_POD, ROUTER},
};
use crate::{
    cgroup::Cgroup,
    error::{Error, Result},
    ethtool::Feature,
    netns::Netns,
    pins::Pins,
    process::Launcher,
    rights,
    run::{self, RunFolder, RunName},
};

/// The device of every node, pod and client.
const DEVICE: &str = "eth0";
/// The bridge that a node's pods are on.
const POD_BRIDGE: &str = "cni0";
/// The router's devices.
const NODE_BRIDGE: &str = "underlay";
const OUTSIDE: &str = "outside";
/// What a network card has done by the time that its packets arrive, and a veth device never does.
const LEFT_TO_DEVICE: [Feature; 3] =
    [Feature::TransmitChecksum, Feature::SctpChecksum, Feature::SctpSegmentation];
/// Most nodes a cluster has: their addresses are told apart by one byte.
const MOST_NODES: u8 = 99;

/// What a cluster is to have.
#[derive(Clone, Debug)]
pub struct Builder {
    launcher: Launcher,
    nodes: u8,
    control: bool,
    kind: Kind,
}

/// What all places of a cluster have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) families: Families,
    /// Devices behave as network cards do; see [`Builder::like_hardware`].
    pub(super) like_hardware: bool,
}

impl Builder {
    pub(super) fn new(launcher: Launcher) -> Self {
        let kind = Kind { families: Families::Both, like_hardware: false };
        Self { launcher, nodes: 2, control: false, kind }
    }

    /// Which address families; both, if nothing is said.
    pub fn families(self, families: Families) -> Self {
        Self { kind: Kind { families, ..self.kind }, ..self }
    }

    /// Makes devices behave as network cards do: packets leave with complete checksums, and frames
    /// that XDP sends arrive. On plain veth devices neither is so, and XDP can do little.
    pub fn like_hardware(self) -> Self {
        Self { kind: Kind { like_hardware: true, ..self.kind }, ..self }
    }

    /// How many nodes, `node1` and so on; two, if nothing is said, and no more than 99.
    pub fn nodes(self, nodes: u8) -> Self {
        Self { nodes: nodes.min(MOST_NODES), ..self }
    }

    /// Adds a place beside the nodes, [`CONTROL`], for an API server.
    pub fn with_control(self) -> Self {
        Self { control: true, ..self }
    }

    /// Makes it, after removing what dead processes left behind.
    pub fn build(self) -> Result<Cluster> {
        rights::require()?;
        run::sweep()?;
        let run = RunName::next();
        let kind = self.kind;
        let folder = RunFolder::create(&run)?;
        let pins = Pins::create(&run)?;
        let cgroup = Cgroup::create(run.as_str())?;
        let router = router(&run, kind)?;
        let client = client(&run, kind, &cgroup, &router)?;
        let control = self.control.then(|| control(&run, kind, &cgroup, &router)).transpose()?;
        let nodes = (1..=self.nodes)
            .map(|number| node(&run, kind, &cgroup, &router, number))
            .collect::<Result<Vec<_>>>()?;
        let cluster = Cluster {
            cgroup,
            nodes,
            control,
            client,
            router,
            pins,
            folder,
            run,
            kind,
            launcher: self.launcher,
        };
        cluster.connect_pod_networks()?;
        Ok(cluster)
    }
}

impl Cluster {
    /// Gives every node, and the router, routes to the pods of the (other) nodes.
    fn connect_pod_networks(&self) -> Result<()> {
        let routes: Vec<(u8, IpNet, IpNet)> = self
            .nodes
            .iter()
            .flat_map(|node| {
                let to = addresses::pods(node.number, 0).networks().of(self.kind.families);
                let via = addresses::node(node.number).of(self.kind.families);
                to.zip(via).map(|(to, via)| (node.number, to, via))
            })
            .collect();
        let everywhere = |netns: &Netns, except: Option<u8>| {
            netns.links(async |links| {
                for (number, to, via) in &routes {
                    if Some(*number) != except {
                        links.route(*to, via.addr()).await?;
                    }
                }
                Ok(())
            })
        };
        everywhere(&self.router, None)?;
        for node in &self.nodes {
            everywhere(&node.machine.netns, Some(node.number))?;
        }
        Ok(())
    }
}

/// A namespace with its loopback device up. `forwards`: it passes on packets for others.
fn namespace(run: &RunName, kind: Kind, name: &str, forwards: bool) -> Result<Netns> {
    let netns = Netns::create(run, name)?;
    // "default" is what devices made later start with, "all" what counts for those there are.
    for scope in ["all", "default"] {
        netns.sysctl(&format!("ipv6/conf/{scope}/accept_dad"), "0")?;
        netns.sysctl(&format!("ipv6/conf/{scope}/accept_ra"), "0")?;
        if kind.families == Families::V4 {
            netns.sysctl(&format!("ipv6/conf/{scope}/disable_ipv6"), "1")?;
        }
    }
    if forwards {
        netns.sysctl("ipv4/ip_forward", "1")?;
        netns.sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    netns.links(async |links| links.up("lo").await)?;
    Ok(netns)
}

fn router(run: &RunName, kind: Kind) -> Result<Netns> {
    let netns = namespace(run, kind, "router", true)?;
    netns.links(async |links| {
        links.bridge(NODE_BRIDGE).await?;
        for address in addresses::underlay(ROUTER).of(kind.families) {
            links.address(NODE_BRIDGE, address).await?;
        }
        Ok(())
    })?;
    Ok(netns)
}

fn client(run: &RunName, kind: Kind, parent: &Cgroup, router: &Netns) -> Result<Machine> {
    let netns = namespace(run, kind, CLIENT, false)?;
    let gateway = addresses::outside(ROUTER);
    router.links(async |links| {
        links.veth(OUTSIDE, DEVICE, &netns).await?;
        for address in gateway.of(kind.families) {
            links.address(OUTSIDE, address).await?;
        }
        Ok(())
    })?;
    let [own, spare] = addresses::CLIENT.map(|host| addresses::outside(host).of(kind.families));
    let (own, spare): (Vec<IpNet>, Vec<IpNet>) = (own.collect(), spare.collect());
    set_up(&netns, kind, &own, gateway)?;
    netns.links(async |links| {
        for address in &spare {
            links.spare_address(DEVICE, *address).await?;
        }
        Ok(())
    })?;
    router.links(async |links| links.settled(OUTSIDE).await)?;
    take_frames(router, OUTSIDE, kind)?;
    let mut addresses: Vec<_> = own.iter().chain(&spare).map(IpNet::addr).collect();
    addresses.sort_by_key(|address| address.is_ipv6());
    Ok(Machine { name: CLIENT.into(), cgroup: parent.child(CLIENT)?, netns, addresses })
}

/// A host on the nodes' network.
fn host(
    run: &RunName,
    kind: Kind,
    router: &Netns,
    name: &str,
    own: addresses::Pair,
    forwards: bool,
) -> Result<(Netns, Vec<IpAddr>)> {
    let netns = namespace(run, kind, name, forwards)?;
    router.links(async |links| {
        links.veth(name, DEVICE, &netns).await?;
        links.enslave(name, NODE_BRIDGE).await
    })?;
    let own: Vec<IpNet> = own.of(kind.families).collect();
    set_up(&netns, kind, &own, addresses::underlay(ROUTER))?;
    router.links(async |links| {
        links.settled(name).await?;
        links.settled(NODE_BRIDGE).await
    })?;
    take_frames(router, name, kind)?;
    Ok((netns, own.iter().map(IpNet::addr).collect()))
}

fn control(run: &RunName, kind: Kind, parent: &Cgroup, router: &Netns) -> Result<Machine> {
    let own = addresses::underlay(addresses::CONTROL);
    let (netns, addresses) = host(run, kind, router, CONTROL, own, false)?;
    Ok(Machine { name: CONTROL.into(), cgroup: parent.child(CONTROL)?, netns, addresses })
}

fn node(run: &RunName, kind: Kind, parent: &Cgroup, router: &Netns, number: u8) -> Result<Node> {
    let name = format!("node{number}");
    let (netns, addresses) = host(run, kind, router, &name, addresses::node(number), true)?;
    netns.links(async |links| {
        links.bridge(POD_BRIDGE).await?;
        for address in addresses::pods(number, BRIDGE).of(kind.families) {
            links.address(POD_BRIDGE, address).await?;
        }
        Ok(())
    })?;
    let cgroup = parent.child(&name)?;
    let pods_cgroup = cgroup.child("pods")?;
    let host = cgroup.child("host")?;
    let machine = Machine { name, cgroup: host, netns, addresses };
    Ok(Node { number, machine, pods: Vec::new(), next_pod: FIRST_POD, pods_cgroup, cgroup })
}

pub(super) fn pod(run: &RunName, kind: Kind, node: &Node, name: &str, host: u8) -> Result<Pod> {
    if !(FIRST_POD..u8::MAX).contains(&host) {
        let node = node.machine.name.clone();
        return Err(Error::NoAddressLeft { pod: name.into(), node });
    }
    let netns = namespace(run, kind, name, false)?;
    let near = format!("pod{host}");
    cable(kind, node, &near, &netns, host)?;
    let cgroup = node.pods_cgroup.child(name)?;
    let addresses = addresses::pods(node.number, host).addresses(kind.families);
    Ok(Pod { machine: Machine { name: name.into(), cgroup, netns, addresses }, near, host })
}

/// Makes the cable between a node's bridge, where its end is `near`, and a pod.
pub(super) fn cable(kind: Kind, node: &Node, near: &str, pod: &Netns, host: u8) -> Result<()> {
    node.machine.netns.links(async |links| {
        links.veth(near, DEVICE, pod).await?;
        links.enslave(near, POD_BRIDGE).await
    })?;
    let own: Vec<IpNet> = addresses::pods(node.number, host).of(kind.families).collect();
    set_up(pod, kind, &own, addresses::pods(node.number, BRIDGE))?;
    node.machine.netns.links(async |links| {
        links.settled(near).await?;
        links.settled(POD_BRIDGE).await
    })?;
    take_frames(&node.machine.netns, near, kind)
}

/// Takes a pod off its node's bridge.
pub(super) fn set_apart(kind: Kind, node: &Node, pod: &Pod) -> Result<()> {
    let (near, own) = (&pod.near, &pod.machine.addresses);
    let gateway = addresses::pods(node.number, BRIDGE);
    node.machine.netns.links(async |links| {
        links.release(near).await?;
        for gateway in gateway.addresses(kind.families) {
            // Neighbour discovery answers only for addresses of the device that is asked.
            if gateway.is_ipv6() {
                links.address(near, gateway.into()).await?;
            }
        }
        for own in own {
            links.direct_route((*own).into(), near).await?;
        }
        Ok(())
    })?;
    pod.machine.netns.links(async |links| {
        for gateway in gateway.addresses(kind.families) {
            links.direct_route(gateway.into(), DEVICE).await?;
        }
        for network in gateway.networks().of(kind.families) {
            links.unroute(network).await?;
        }
        Ok(())
    })
}

/// Brings up a place's device with its addresses and the way to everywhere else.
fn set_up(netns: &Netns, kind: Kind, own: &[IpNet], gateway: addresses::Pair) -> Result<()> {
    netns.links(async |links| {
        links.up(DEVICE).await?;
        links.settled(DEVICE).await?;
        for address in own {
            links.address(DEVICE, *address).await?;
        }
        for (to, via) in addresses::default_routes(kind.families).zip(gateway.of(kind.families)) {
            links.route(to, via.addr()).await?;
        }
        Ok(())
    })?;
    if kind.like_hardware {
        for left_to_device in LEFT_TO_DEVICE {
            netns.set_feature(DEVICE, left_to_device, false)?;
        }
    }
    take_frames(netns, DEVICE, kind)
}

/// Makes one end of a cable take the frames that XDP sends at the other.
fn take_frames(netns: &Netns, device: &str, kind: Kind) -> Result<()> {
    if kind.like_hardware {
        netns.set_feature(device, Feature::ReceiveMerging, true)?;
    }
    Ok(())
}
