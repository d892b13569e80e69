//! A cluster of its own for each who is measured, all alike: two nodes, a pod that calls and one that
//! answers on the first, one that answers on the second, and a client outside. Pods have a device each
//! on the node, which routes to them. Only what carries the calls differs, so nobody's packets meet
//! another's rules or programs.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    panic, thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use lb_testbed::{Agent, AgentOptions, CLIENT, Cluster, Families, Load, Loaded, Pattern, Worker};

use super::super::{
    manifests::Manifests,
    peers::Peer,
    programs::Programs,
    services::{Endpoint, Family, Port, Protocol, Service, Site},
};

/// The ports that services lead to. Direct calls go to all of them, too: a server that has a port
/// less to look after would be a faster one.
const SERVED: [u16; 4] = [8080, 8081, 8082, 8083];
/// Callers at a time: enough to keep both processors of a small machine busy.
const CALLERS: u32 = 4;
/// An agent with very many services.
const READY_WITHIN: Duration = Duration::from_secs(300);
/// Services that nftables takes at a time: its time for a transaction grows with the square of it.
const AT_A_TIME: usize = 1_000;

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    /// Nobody: calls to the server itself, by plain routing.
    Direct,
    /// A rule set.
    Peer(Peer),
    /// An agent as it comes.
    Sluice,
    /// An agent that hands packets for pods straight to their devices.
    DirectDelivery,
}

/// From where to what.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// A pod calls a ClusterIP, and a pod of its node answers.
    ClusterIp,
    /// The client outside calls a node that has the pod.
    NodePortNear,
    /// The client outside calls a node, and a pod of another one answers.
    NodePortFar,
}

/// A cluster, and who carries its calls.
pub struct Stage {
    /// Who.
    pub who: Who,
    servers: Vec<Worker>,
    agents: Vec<Agent>,
    options: AgentOptions,
    manifests: Manifests,
    held: BTreeSet<String>,
    cluster: Cluster,
}

impl Who {
    /// What everybody calls them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Peer(peer) => peer.name(),
            Self::Sluice => "sluice",
            Self::DirectDelivery => "sluice, direct delivery",
        }
    }
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClusterIp, Self::NodePortNear, Self::NodePortFar];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP from a pod",
            Self::NodePortNear => "NodePort, backend there",
            Self::NodePortFar => "NodePort, backend elsewhere",
        }
    }

    /// Where calls come from, and who answers.
    fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::ClusterIp => ("caller", "near"),
            Self::NodePortNear => (CLIENT, "near"),
            Self::NodePortFar => (CLIENT, "far"),
        }
    }
}

impl Stage {
    /// With nobody to carry calls yet.
    pub fn raise(who: Who, programs: &Programs) -> Result<Self> {
        let builder = Cluster::builder(programs.workers.clone());
        let mut cluster = builder.families(Families::Both).nodes(2).build()?;
        let mut servers = Vec::new();
        for (node, pod) in [("node1", "caller"), ("node1", "near"), ("node2", "far")] {
            cluster.add_pod(node, pod)?;
            cluster.set_apart(pod)?;
            servers.push(cluster.respond(pod, &SERVED)?);
        }
        if who == Who::Direct {
            // By way of the first node, as packets to its NodePorts go.
            for far in cluster.addresses("far")? {
                cluster.route((*far).into(), "node1")?;
            }
        }
        let manifests = Manifests::new(cluster.folder())?;
        let mut options = AgentOptions::new(&programs.sluice, manifests.folder());
        options.ready_within = Some(READY_WITHIN);
        if who == Who::DirectDelivery {
            options = options.argument("--direct-delivery");
        }
        let (agents, held) = (Vec::new(), BTreeSet::new());
        Ok(Self { who, servers, agents, options, manifests, held, cluster })
    }

    /// The services that are called. Each has four endpoints, all of them the same server, so that a
    /// service is as large as the others and answers are alike.
    pub fn services(&self) -> Result<Vec<Service>> {
        let service = |name: &str, digits: &str, node_port, node| -> Result<Service> {
            let pods = self.cluster.addresses(name)?.iter();
            let endpoints = pods
                .flat_map(|pod| SERVED.map(|port| Endpoint { address: (*pod, port).into(), node }));
            let port = |protocol| Port { number: 80, protocol, node_port: Some(node_port) };
            Ok(Service {
                name: name.to_owned(),
                cluster_ips: vec![
                    format!("10.96.0.{digits}").parse()?,
                    format!("fd00:96::{digits}").parse()?,
                ],
                ports: [Protocol::Tcp, Protocol::Udp].map(port).into(),
                endpoints: endpoints.collect(),
            })
        };
        Ok(vec![service("near", "10", 30_100, "node1")?, service("far", "11", 30_101, "node2")?])
    }

    /// Has these services served, among which are all that were served before.
    pub fn hold(&mut self, services: &[Service]) -> Result<()> {
        match self.who {
            Who::Direct => Ok(()),
            Who::Peer(peer) => self.rules(peer, services),
            Who::Sluice | Who::DirectDelivery => {
                self.manifests.write(services)?;
                for agent in self.agents.drain(..) {
                    agent.stop()?;
                }
                for node in ["node1", "node2"] {
                    self.agents.push(self.cluster.start_agent(node, &self.options)?);
                }
                Ok(())
            }
        }
    }

    /// Gives both nodes a peer's rules, in both families at a time. What nftables has it keeps, and on
    /// the second node it gets no more than at first: there its part of a call does not depend on how
    /// many services there are.
    fn rules(&mut self, peer: Peer, services: &[Service]) -> Result<()> {
        let first = self.held.is_empty();
        let kept = |service: &&Service| !self.held.contains(&service.name);
        let new: Vec<Service> = services.iter().filter(kept).cloned().collect();
        for node in ["node1", "node2"] {
            let parts: Vec<&[Service]> = match peer {
                Peer::Iptables | Peer::IptablesNft => vec![services],
                Peer::Nftables if first || node == "node1" => new.chunks(AT_A_TIME).collect(),
                Peer::Nftables => Vec::new(),
            };
            let netns = self.cluster.netns(node)?;
            let give = |site: Site| -> Result<()> {
                let foundation = first.then(|| peer.foundation(&site)).into_iter();
                for batch in foundation.chain(parts.iter().map(|part| peer.full(part, &site))) {
                    netns.enter(|| Ok(batch.apply()))?.context("the peer's rules")?;
                }
                Ok(())
            };
            thread::scope(|scope| {
                let sites = self.cluster.addresses(node)?.iter().map(|address| Site::of(*address));
                let threads: Vec<_> = sites.map(|site| scope.spawn(move || give(site))).collect();
                threads.into_iter().try_for_each(join)
            })?;
        }
        self.held = services.iter().map(|service| service.name.clone()).collect();
        Ok(())
    }

    /// Calls for so long; every answer must be the right server's.
    pub fn call(
        &self,
        way: Way,
        family: Family,
        pattern: Pattern,
        length: Duration,
    ) -> Result<Loaded> {
        let (from, expected) = way.ends();
        let to = self.targets(way, family)?;
        let concurrency = if pattern == Pattern::Bulk { 1 } else { CALLERS };
        let expected = expected.to_owned();
        let load = Load { to, pattern, expected, concurrency, length };
        self.cluster
            .load(from, &load)
            .with_context(|| format!("{}: {}: {load:?}", self.who.name(), way.name()))
    }

    fn targets(&self, way: Way, family: Family) -> Result<Vec<SocketAddr>> {
        let address = |name: &str| -> Result<IpAddr> {
            let mut addresses = self.cluster.addresses(name)?.iter();
            let found = addresses.find(|address| Family::of(**address) == family);
            found.copied().context("a place without address")
        };
        let (_, server) = way.ends();
        if self.who == Who::Direct {
            let server = address(server)?;
            return Ok(SERVED.map(|port| (server, port).into()).into());
        }
        let services = self.services()?;
        let service = services.iter().find(|service| service.name == server);
        let service = service.context("a server without service")?;
        Ok(vec![match way {
            Way::ClusterIp => (service.cluster_ip(family).context("no ClusterIP")?, 80).into(),
            Way::NodePortNear | Way::NodePortFar => {
                let port = service.ports[0].node_port.context("no NodePort")?;
                (address("node1")?, port).into()
            }
        }])
    }

    /// Its servers' processes.
    pub fn servers(&self) -> impl Iterator<Item = u32> {
        self.servers.iter().map(Worker::pid)
    }
}

/// What a thread has come to.
pub fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked))
}
