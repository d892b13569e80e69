//! The cluster that the demo is played on: three nodes with the pods of the examples, an agent a
//! node, and a client outside to whom the router makes the balancer's addresses known.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use lb_testbed::{Agent, AgentOptions, CLIENT, Cluster, Families, Launcher, Probe, Report, Worker};

use super::{
    expect::Facts,
    manifests::{Manifests, Pod},
    scenario::{Caller, DNS, Expected, HTTP, In, METRICS, Scenario, Target},
    tables::{Family, Tables},
};

/// The pod that calls.
const SHELL: &str = "shell";
const NODES: u8 = 3;

/// Which node the network sends packets for these addresses to. The balancer's first address
/// comes to the node without pods, so that all of its answers are another node's.
const ROUTES: [(&str, &str); 8] = [
    ("192.0.2.10/32", "node2"),
    ("2001:db8:2::10/128", "node2"),
    ("198.51.100.10/32", "node3"),
    ("2001:db8:51::10/128", "node3"),
    ("198.51.100.11/32", "node1"),
    ("2001:db8:51::11/128", "node1"),
    // ClusterIPs: that they are not reached from outside must be the node's doing, not the
    // router's.
    ("10.96.0.0/16", "node1"),
    ("fd00:96::/112", "node1"),
];

/// Callers at a time; a call that is to fail is made by each once.
const CONCURRENCY: u32 = 6;
const FAILING_REQUESTS: u64 = 6;
/// How long a call that is to be answered may take, which includes packets sent again.
const PATIENCE: Duration = Duration::from_secs(5);
/// A scenario that fails as often as this has failed; the rest would only take time.
const MOST_FAILURES: u64 = 12;
/// How long nobody must answer until it counts as silence.
const SILENCE: Duration = Duration::from_millis(1500);
/// How long agents may take to follow a change of the manifests.
const FOLLOWING: Duration = Duration::from_secs(20);

/// What is to be built.
pub struct Plan {
    /// The cluster's address families.
    pub families: Families,
    /// Devices behave as network cards do, and XDP is used.
    pub like_hardware: bool,
    /// The agent.
    pub sluice: PathBuf,
    /// The folder of manifests.
    pub examples: PathBuf,
    /// Further arguments for the agents.
    pub agent_arguments: Vec<OsString>,
}

/// See the module.
pub struct Stage {
    servers: BTreeMap<String, Worker>,
    agents: Vec<Agent>,
    /// What the folder says now.
    pub manifests: Manifests,
    pods: Vec<Pod>,
    tables: Tables,
    /// The namespaces.
    pub cluster: Cluster,
    families: Families,
}

impl Stage {
    /// Builds it, telling what is done at the moment.
    pub fn raise(plan: &Plan, tell: &dyn Fn(&str)) -> Result<Self> {
        tell("making nodes out of network namespaces");
        let builder = Cluster::builder(Launcher::this_program()?);
        let builder = builder.families(plan.families).nodes(NODES);
        let builder = if plan.like_hardware { builder.like_hardware() } else { builder };
        let mut cluster = builder.build()?;
        let manifests = Manifests::copy(&plan.examples, cluster.folder().join("manifests"))?;
        let pods = manifests.pods()?;
        let mut servers = BTreeMap::new();
        for pod in &pods {
            tell(&format!("starting pod {} on {}", pod.name, pod.node));
            cluster.add_pod_at(&pod.node, &pod.name, pod.host)?;
            servers.extend(server(&cluster, pod)?);
        }
        for (network, node) in ROUTES {
            let network: ipnet::IpNet = network.parse()?;
            if plan.families.contain(network.addr()) {
                cluster.route(network, node)?;
            }
        }
        let mut options = AgentOptions::new(&plan.sluice, manifests.folder());
        options.arguments.clone_from(&plan.agent_arguments);
        if plan.like_hardware {
            options = options.argument("--xdp").argument("native");
        }
        let nodes: Vec<String> = cluster.nodes().map(str::to_owned).collect();
        let mut agents = Vec::new();
        for node in &nodes {
            tell(&format!("starting the agent of {node}"));
            agents.push(cluster.start_agent(node, &options)?);
        }
        let tables = tables(&agents[0])?;
        Ok(Self { servers, agents, manifests, pods, tables, cluster, families: plan.families })
    }

    /// The families it has, the first one first.
    pub fn families(&self) -> &'static [Family] {
        match self.families {
            Families::V4 => &[Family::V4],
            Families::V6 => &[Family::V6],
            Families::Both => &[Family::V4, Family::V6],
        }
    }

    /// The families in which a scenario is played.
    pub fn families_of(&self, scenario: &Scenario) -> &'static [Family] {
        let families = self.families();
        match scenario.families {
            In::Each => families,
            In::First => &families[..1],
            In::Pair if families.len() > 1 => families,
            In::Pair => &[],
        }
    }

    /// Makes a scenario's calls.
    pub fn play(
        &self,
        scenario: &Scenario,
        family: Family,
        requests: u64,
    ) -> Result<(Facts, Report)> {
        let facts = self.facts(scenario, family)?;
        let probe = Probe { transport: scenario.transport, ..Probe::tcp(facts.to) };
        let patient =
            |probe: Probe| probe.requests(requests).timeout(PATIENCE).most_failures(MOST_FAILURES);
        let probe = match scenario.expected {
            Expected::Error(_) => {
                probe.requests(FAILING_REQUESTS).timeout(SILENCE).concurrency(CONCURRENCY)
            }
            Expected::Even(..) => patient(probe).concurrency(CONCURRENCY),
            // A client stays with the pod that has answered it; connections begun before the first
            // answer are free to choose.
            Expected::One(_) => patient(probe),
        };
        let (place, source) = self.caller(scenario.caller, family)?;
        Ok((facts, self.cluster.probe(place, &Probe { source, ..probe })?))
    }

    fn facts(&self, scenario: &Scenario, family: Family) -> Result<Facts> {
        let of_pods = |select: &dyn Fn(&Pod) -> bool| -> BTreeMap<String, String> {
            let pods = self.pods.iter().filter(|pod| select(pod));
            pods.map(|pod| (pod.name.clone(), pod.node.clone())).collect()
        };
        let mut node_addresses = BTreeMap::new();
        for node in self.cluster.nodes() {
            let addresses = self.cluster.addresses(node)?.iter().copied().collect();
            node_addresses.insert(node.to_owned(), addresses);
        }
        Ok(Facts {
            ready: of_pods(&|pod| pod.web && pod.ready),
            nodes: of_pods(&|_| true),
            to: self.target(scenario, family)?,
            pod_port: scenario.pod_port(),
            own: self.own_addresses(scenario.caller, family)?,
            node_addresses,
        })
    }

    /// Where a scenario calls.
    pub fn target(&self, scenario: &Scenario, family: Family) -> Result<SocketAddr> {
        let frontend = |kind| self.tables.frontend(scenario.service, family, kind);
        let (address, port) = match scenario.target {
            Target::ClusterIp => frontend("ClusterIP")?,
            Target::ExternalIp => frontend("ExternalIP")?,
            Target::LoadBalancer => frontend("LoadBalancer")?,
            Target::Localhost => (Some(family.localhost()), frontend("NodePort")?.1),
            Target::NodePort(node) => (Some(self.address(node, family)?), frontend("NodePort")?.1),
            Target::Pod(pod) => (Some(self.address(pod, family)?), HTTP),
        };
        let address = address.with_context(|| format!("{} has no address", scenario.service))?;
        Ok(SocketAddr::new(address, port))
    }

    fn address(&self, place: &str, family: Family) -> Result<IpAddr> {
        let mut addresses = self.cluster.addresses(place)?.iter();
        let address = addresses.find(|address| family.has(**address));
        address.copied().with_context(|| format!("{place} has no {} address", family.name()))
    }

    /// Where a caller is, and the address it calls from if that is not the kernel's choice.
    fn caller(&self, caller: Caller, family: Family) -> Result<(&'static str, Option<IpAddr>)> {
        Ok(match caller {
            Caller::Pod => (SHELL, None),
            Caller::Node(node) => (node, None),
            Caller::Client => (CLIENT, None),
            Caller::Stranger => (CLIENT, Some(self.strangers_address(family)?)),
        })
    }

    /// The addresses that are a caller's own. A node calls its pods from their bridge.
    fn own_addresses(&self, caller: Caller, family: Family) -> Result<BTreeSet<IpAddr>> {
        Ok(match caller {
            Caller::Pod => [self.address(SHELL, family)?].into(),
            Caller::Client => [self.address(CLIENT, family)?].into(),
            Caller::Stranger => [self.strangers_address(family)?].into(),
            Caller::Node(node) => {
                let bridge = self.cluster.bridge_addresses(node)?;
                let all = self.cluster.addresses(node)?.iter().copied().chain(bridge);
                all.filter(|address| family.has(*address)).collect()
            }
        })
    }

    fn strangers_address(&self, family: Family) -> Result<IpAddr> {
        let mut addresses = self.cluster.addresses(CLIENT)?.iter();
        let second = addresses.by_ref().filter(|address| family.has(**address)).nth(1);
        second.copied().context("the client has no second address")
    }

    /// What node1's tables say.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The nodes' agents.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// Ready web pods.
    pub fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.web && pod.ready).count()
    }

    /// Brings up a pod that the manifests are about to speak of.
    pub fn start_pod(&mut self, pod: &Pod) -> Result<()> {
        self.cluster.add_pod_at(&pod.node, &pod.name, pod.host)?;
        self.servers.extend(server(&self.cluster, pod)?);
        Ok(())
    }

    /// Takes a pod away that the manifests no longer speak of.
    pub fn end_pod(&mut self, name: &str) -> Result<()> {
        self.servers.remove(name);
        Ok(self.cluster.remove_pod(name)?)
    }

    /// Waits until every node's tables have the pods that the manifests speak of now. Returns how
    /// long that took.
    pub fn follow(&mut self) -> Result<Duration> {
        let started = Instant::now();
        self.pods = self.manifests.pods()?;
        let (ready, family) = (self.ready(), self.families()[0]);
        for agent in &self.agents {
            while tables(agent)?.endpoints("web", family) != ready {
                if started.elapsed() > FOLLOWING {
                    bail!("the agent of {} does not follow the manifests", agent.node());
                }
            }
        }
        self.tables = tables(&self.agents[0])?;
        Ok(started.elapsed())
    }

    /// A client that calls without pause until it is stopped, from a pod or from outside.
    pub fn start_calling(
        &self,
        scenario: &Scenario,
        family: Family,
    ) -> Result<lb_testbed::RunningProbe> {
        let probe = Probe::tcp(self.target(scenario, family)?).until_stopped().recording();
        let (place, source) = self.caller(scenario.caller, family)?;
        Ok(self.cluster.start_probe(place, &Probe { source, ..probe.timeout(PATIENCE) })?)
    }
}

fn tables(agent: &Agent) -> Result<Tables> {
    Tables::read(&agent.inspect(&["services", "--json"])?)
}

/// The web pods answer on all their ports; the shell only calls.
fn server(cluster: &Cluster, pod: &Pod) -> Result<Option<(String, Worker)>> {
    if !pod.web {
        return Ok(None);
    }
    let worker = cluster.serve(&pod.name, &[HTTP, METRICS], &[DNS])?;
    Ok(Some((pod.name.clone(), worker)))
}
