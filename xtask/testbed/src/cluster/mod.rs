//! A cluster: nodes with pods on a network of their own, and a client beyond a router, so that
//! next hops matter. `addresses.rs` has the picture, `build.rs` makes it; here is what can be
//! done with one that stands.

mod addresses;
mod build;

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;

pub use addresses::Families;
pub use build::Builder;
use build::Kind;

use crate::{
    agent::{Agent, AgentOptions, Home},
    cgroup::Cgroup,
    error::{Error, Result},
    firewall::{self, Table},
    netns::Netns,
    pins::Pins,
    process::{Launcher, RunningProbe, Worker},
    run::{RunFolder, RunName},
    worker::{Load, Loaded, Place, Probe, Report, Respond, Serve},
};

/// The name of the client's place.
pub const CLIENT: &str = "client";
/// The name of the API server's place.
pub const CONTROL: &str = "control";

/// A cluster that stands. Everything it is made of goes with the value: the processes in it
/// first, as the fields are dropped in this order.
#[derive(Debug)]
pub struct Cluster {
    cgroup: Cgroup,
    nodes: Vec<Node>,
    control: Option<Machine>,
    client: Machine,
    router: Netns,
    pins: Pins,
    folder: RunFolder,
    run: RunName,
    kind: Kind,
    launcher: Launcher,
}

/// A place that runs processes. The cgroup comes first: dropped, it ends them.
#[derive(Debug)]
struct Machine {
    name: String,
    cgroup: Cgroup,
    netns: Netns,
    addresses: Vec<IpAddr>,
}

impl Machine {
    fn place(&self) -> Place {
        Place { netns: self.netns.path().into(), cgroup: self.cgroup.path().into() }
    }
}

/// A node: its own processes have a cgroup beside those of its pods, inside the node's.
#[derive(Debug)]
struct Node {
    number: u8,
    machine: Machine,
    pods: Vec<Pod>,
    next_pod: u8,
    pods_cgroup: Cgroup,
    cgroup: Cgroup,
}

/// A pod, with the name of the node's end of its cable and the last byte of its address.
#[derive(Debug)]
struct Pod {
    machine: Machine,
    near: String,
    host: u8,
}

impl Cluster {
    /// Starts the description of a cluster whose workers are re-executions of this program.
    pub fn builder(launcher: Launcher) -> Builder {
        Builder::new(launcher)
    }

    /// Makes a pod on a node, with the node's next free address.
    pub fn add_pod(&mut self, node: &str, name: &str) -> Result<()> {
        let host = self.node(node)?.next_pod;
        self.add_pod_at(node, name, host)
    }

    /// Makes a pod on a node, with this as the last byte of its address.
    pub fn add_pod_at(&mut self, node: &str, name: &str, host: u8) -> Result<()> {
        let position = self.position(node)?;
        let pod = build::pod(&self.run, self.kind, &self.nodes[position], name, host)?;
        let node = &mut self.nodes[position];
        node.pods.push(pod);
        node.next_pod = node.next_pod.max(host.saturating_add(1));
        Ok(())
    }

    /// Ends a pod's processes and takes it away.
    pub fn remove_pod(&mut self, name: &str) -> Result<()> {
        for node in &mut self.nodes {
            if let Some(position) = node.pods.iter().position(|pod| pod.machine.name == name) {
                let Pod { machine, near, .. } = node.pods.remove(position);
                drop(machine.cgroup);
                // At once, not when the kernel gets round to the namespace: its address may be
                // given to another pod now.
                return node.machine.netns.links(async |links| links.delete(&near).await);
            }
        }
        Err(unknown(name))
    }

    /// Takes a pod off its node's bridge: from now on the node routes to it by its own device, and it
    /// to everybody by the node, as many network plugins have it.
    pub fn set_apart(&self, name: &str) -> Result<()> {
        let (node, pod) = self.pod(name)?;
        build::set_apart(self.kind, node, pod)
    }

    /// Takes a pod's cable away and gives it another, of the same names at both ends, to its node's
    /// bridge.
    pub fn recable(&self, name: &str) -> Result<()> {
        let (node, pod) = self.pod(name)?;
        let Pod { machine, near, host } = pod;
        node.machine.netns.links(async |links| links.delete(near).await)?;
        build::cable(self.kind, node, near, &machine.netns, *host)
    }

    /// Where the processes of `client`, `control`, a node or a pod live.
    pub fn place(&self, name: &str) -> Result<Place> {
        self.machine(name).map(Machine::place)
    }

    /// The addresses of `client` (the first of each family is the one it calls from), a node (on
    /// the nodes' network) or a pod, IPv4 first.
    pub fn addresses(&self, name: &str) -> Result<&[IpAddr]> {
        self.machine(name).map(|machine| machine.addresses.as_slice())
    }

    /// The addresses of a node's pod bridge: what a process of the node calls its own pods from.
    pub fn bridge_addresses(&self, node: &str) -> Result<Vec<IpAddr>> {
        let number = self.node(node)?.number;
        Ok(addresses::pods(number, addresses::BRIDGE).addresses(self.kind.families))
    }

    /// Takes the cable of a node or of `control` out of the router, or puts it back.
    pub fn plug(&self, name: &str, connected: bool) -> Result<()> {
        self.router.links(async |links| {
            if !connected {
                return links.down(name).await;
            }
            links.up(name).await?;
            links.settled(name).await
        })
    }

    /// Names of the nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| node.machine.name.as_str())
    }

    /// Names of the pods, with their node's.
    pub fn pods(&self) -> impl Iterator<Item = (&str, &str)> {
        self.nodes.iter().flat_map(|node| {
            node.pods.iter().map(|pod| (pod.machine.name.as_str(), node.machine.name.as_str()))
        })
    }

    /// Sends packets for a network to a node, at the router: how addresses of load balancers
    /// come to their cluster.
    pub fn route(&self, to: IpNet, node: &str) -> Result<()> {
        let mut nexts = self.addresses(node)?.iter();
        match nexts.find(|next| next.is_ipv4() == to.addr().is_ipv4()) {
            Some(via) => self.router.links(async |links| links.route(to, *via).await),
            None => Err(unknown(&format!("{node} in the family of {to}"))),
        }
    }

    /// Starts a server in a place, on all its addresses.
    pub fn serve(&self, name: &str, tcp: &[u16], udp: &[u16]) -> Result<Worker> {
        let machine = self.machine(name)?;
        let serve = Serve {
            name: name.into(),
            addresses: machine.addresses.clone(),
            tcp: tcp.into(),
            udp: udp.into(),
        };
        self.launcher.serve(&machine.place(), &serve)
    }

    /// Makes a client's requests from a place.
    pub fn probe(&self, name: &str, probe: &Probe) -> Result<Report> {
        self.launcher.probe(&self.place(name)?, probe)
    }

    /// Starts a client in a place.
    pub fn start_probe(&self, name: &str, probe: &Probe) -> Result<RunningProbe> {
        self.launcher.start_probe(&self.place(name)?, probe)
    }

    /// Starts a server for measurements in a place, on all its addresses.
    pub fn respond(&self, name: &str, ports: &[u16]) -> Result<Worker> {
        let machine = self.machine(name)?;
        let (addresses, ports) = (machine.addresses.clone(), ports.into());
        self.launcher.respond(&machine.place(), &Respond { name: name.into(), addresses, ports })
    }

    /// Has a client measure from a place.
    pub fn load(&self, name: &str, load: &Load) -> Result<Loaded> {
        self.launcher.load(&self.place(name)?, load)
    }

    /// Starts an agent on a node and waits until it has programmed the kernel.
    pub fn start_agent(&self, node: &str, options: &AgentOptions) -> Result<Agent> {
        let node = self.node(node)?;
        let home = Home {
            node: &node.machine.name,
            place: node.machine.place(),
            cgroup: node.cgroup.path(),
            pins: self.pins.path().join(&node.machine.name),
            logs: self.folder.path(),
            families: self.kind.families,
        };
        Agent::start(options, &self.launcher, &home)
    }

    /// Packet-filter tables, by the name of the place that has them.
    pub fn firewall_tables(&self) -> Result<Vec<(String, Table)>> {
        let router = ("router", &self.router);
        let places = self.machines().map(|machine| (machine.name.as_str(), &machine.netns));
        let mut found = Vec::new();
        for (name, netns) in places.chain([router]) {
            let tables = firewall::tables(netns.path())?;
            found.extend(tables.into_iter().map(|table| (name.to_owned(), table)));
        }
        Ok(found)
    }

    /// The cgroup of a node with everything on it: what its agent attaches to.
    pub fn node_cgroup(&self, node: &str) -> Result<PathBuf> {
        Ok(self.node(node)?.cgroup.path().into())
    }

    /// The folder of bpffs for what is pinned on a node.
    pub fn pins(&self, node: &str) -> Result<PathBuf> {
        Ok(self.pins.path().join(&self.node(node)?.machine.name))
    }

    /// A namespace by the name of its place: `client`, `router`, a node or a pod.
    pub fn netns(&self, name: &str) -> Result<&Netns> {
        if name == "router" {
            return Ok(&self.router);
        }
        self.machine(name).map(|machine| &machine.netns)
    }

    /// A folder for files that go with the cluster; agents keep their logs here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its name, which all its namespaces, cgroups and pins begin with.
    pub fn name(&self) -> &str {
        self.run.as_str()
    }

    /// Whether bpffs was missing and has been mounted.
    pub fn mounted_bpffs(&self) -> bool {
        self.pins.mounted()
    }

    /// The root of its cgroups.
    pub fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// What starts its workers.
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    fn machines(&self) -> impl Iterator<Item = &Machine> {
        let of_nodes = self.nodes.iter().flat_map(|node| {
            std::iter::once(&node.machine).chain(node.pods.iter().map(|pod| &pod.machine))
        });
        std::iter::once(&self.client).chain(&self.control).chain(of_nodes)
    }

    fn machine(&self, name: &str) -> Result<&Machine> {
        self.machines().find(|machine| machine.name == name).ok_or_else(|| unknown(name))
    }

    fn pod(&self, name: &str) -> Result<(&Node, &Pod)> {
        let pods = self.nodes.iter().flat_map(|node| node.pods.iter().map(move |pod| (node, pod)));
        let mut named = pods.filter(|(_, pod)| pod.machine.name == name);
        named.next().ok_or_else(|| unknown(name))
    }

    fn node(&self, name: &str) -> Result<&Node> {
        self.position(name).map(|position| &self.nodes[position])
    }

    fn position(&self, name: &str) -> Result<usize> {
        let position = self.nodes.iter().position(|node| node.machine.name == name);
        position.ok_or_else(|| unknown(name))
    }
}

fn unknown(what: &str) -> Error {
    Error::Unknown { what: what.to_owned() }
}
