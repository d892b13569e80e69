//! What every test here stands on: a small cluster, servers in its pods, and an API server beside
//! the nodes.
//!
//! A pod answers on TCP [`HTTP`]; Services have one port, `http`, 80.

pub use crate::watched::{
    CALLER, HTTP, PATIENCE, SLUICE, WEB, assert_unharmed, endpoint, service, slice, sorted,
    until_within,
};

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use lb_testbed::{
    Agent, AgentOptions, CONTROL, Cluster, Families, Launcher, Probe, Report, RunningProbe, Worker,
    api::{ApiServer, Interrupt, Request, Verb},
};
use serde_json::{Value, json};

/// Resources, by their plural.
pub const SERVICES: &str = "services";
pub const SLICES: &str = "endpointslices";
pub const NODES: &str = "nodes";
/// The address of `gone`, which goes in the course of many.
pub const GONE: &str = "10.96.0.11";

/// How long a call that is to fail may take, and one that is tried again.
const SILENCE: Duration = Duration::from_millis(700);
/// How long one that is to be answered may take, on a busy machine.
const ANSWER: Duration = Duration::from_secs(5);
const API_PORT: u16 = 6443;

/// See [`Stage::site`].
pub struct Site {
    pub node: String,
    pub agent: Agent,
    pub api: ApiServer,
}

impl Site {
    /// Does this to all of the agent's streams.
    pub fn interrupt(&self, interrupt: &Interrupt) {
        [SERVICES, SLICES, NODES]
            .iter()
            .for_each(|kind| self.api.interrupt(kind, interrupt.clone()));
    }
}

/// See the module. Dropped, all of it goes.
pub struct Stage {
    servers: Vec<Worker>,
    pub api: ApiServer,
    pub cluster: Cluster,
}

impl Stage {
    /// Nodes, each with its Node object; `node1` has the pods `one`, `two`, `three` and the caller.
    pub fn new(nodes: u8) -> Self {
        let launcher = Launcher::beside_tests().unwrap();
        let cluster = Cluster::builder(launcher).families(Families::V4).nodes(nodes).with_control();
        let cluster = cluster.build().unwrap();
        let api = server(&cluster, API_PORT);
        let mut stage = Self { servers: Vec::new(), api, cluster };
        for pod in ["one", "two", "three"] {
            stage.add_pod("node1", pod);
        }
        stage.cluster.add_pod("node1", CALLER).unwrap();
        stage.put_nodes(&stage.api);
        stage
    }

    /// Makes a pod that serves.
    pub fn add_pod(&mut self, node: &str, pod: &str) {
        self.cluster.add_pod(node, pod).unwrap();
        self.servers.push(self.cluster.serve(pod, &[HTTP], &[]).unwrap());
    }

    /// A node with an API server of its own and an agent that follows it. The server knows `web`,
    /// with the pods `one` and `two`, and a Service `gone`.
    pub fn site(&self, number: u16, token: Option<&Path>) -> Site {
        let node = format!("node{number}");
        let api = server(&self.cluster, API_PORT + number);
        self.put_nodes(&api);
        for (name, address) in [("web", WEB), ("gone", GONE)] {
            api.put(SERVICES, service(name, address));
            api.put(SLICES, self.slice(name, &["one", "two"]));
        }
        let options = AgentOptions::kubernetes(SLUICE, self.kubeconfig(&api, token));
        let agent = self.cluster.start_agent(&node, &options).unwrap();
        Site { node, agent, api }
    }

    fn put_nodes(&self, api: &ApiServer) {
        for node in self.cluster.nodes() {
            api.put(NODES, self.node(node, json!({})));
        }
    }

    /// A Node object with its real address.
    pub fn node(&self, name: &str, labels: Value) -> Value {
        let address = self.address(name);
        json!({
            "metadata": {"name": name, "labels": labels},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        })
    }

    /// The Service `web`, and `gone`, both with these pods.
    pub fn put_web(&self, pods: &[&str]) {
        self.api.put(SERVICES, service("web", WEB));
        self.api.put(SERVICES, service("gone", GONE));
        self.put_endpoints("web", pods);
        self.put_endpoints("gone", pods);
    }

    /// A Service's only EndpointSlice, with these pods.
    pub fn put_endpoints(&self, service: &str, pods: &[&str]) {
        self.api.put(SLICES, self.slice(service, pods));
    }

    /// The same as an object.
    pub fn slice(&self, service: &str, pods: &[&str]) -> Value {
        let mut nodes = BTreeMap::new();
        nodes.extend(self.cluster.pods());
        let endpoints = pods.iter().map(|pod| endpoint(&self.address(pod), nodes[pod]));
        slice(service, endpoints.collect())
    }

    /// A place's address.
    pub fn address(&self, place: &str) -> String {
        self.cluster.addresses(place).unwrap()[0].to_string()
    }

    /// A kubeconfig for a server.
    pub fn kubeconfig(&self, api: &ApiServer, token: Option<&Path>) -> PathBuf {
        let path = self.cluster.folder().join(format!("kubeconfig-{}", api.address().port()));
        api.write_kubeconfig(&path, token).unwrap();
        path
    }

    /// How to start an agent.
    pub fn options(&self) -> AgentOptions {
        AgentOptions::kubernetes(SLUICE, self.kubeconfig(&self.api, None))
    }

    /// Starts an agent and waits until it has programmed the kernel.
    pub fn start(&self, node: &str) -> Agent {
        self.cluster.start_agent(node, &self.options()).unwrap()
    }

    /// Starts an agent and does not wait.
    pub fn begin(&self, node: &str) -> Agent {
        let mut options = self.options();
        options.ready_within = None;
        self.cluster.start_agent(node, &options).unwrap()
    }

    /// Calls over TCP, a new connection each time.
    fn call(&self, timeout: Duration, place: &str, to: &str, requests: u64) -> Report {
        let to = SocketAddr::new(to.parse().unwrap(), 80);
        let probe = Probe::tcp(to).requests(requests).timeout(timeout);
        self.cluster.probe(place, &probe.most_failures(1)).unwrap()
    }

    /// Who answers the caller there at once, in alphabetical order; `None` if a call failed.
    pub fn who(&self, to: &str) -> Option<Vec<String>> {
        self.who_within(SILENCE, CALLER, to)
    }

    fn who_within(&self, timeout: Duration, place: &str, to: &str) -> Option<Vec<String>> {
        // One of three pods is missed by all of them once in some four million times.
        let report = self.call(timeout, place, to, 40);
        let pods = || report.by_pod().keys().map(|pod| (*pod).to_owned()).collect();
        (report.failed() == 0).then(pods)
    }

    /// Asserts who answers the caller there.
    #[track_caller]
    pub fn assert_who(&self, to: &str, expected: Option<&[&str]>) {
        self.assert_who_from(CALLER, to, expected);
    }

    /// Asserts who answers a place there.
    #[track_caller]
    pub fn assert_who_from(&self, place: &str, to: &str, expected: Option<&[&str]>) {
        let timeout = if expected.is_some() { ANSWER } else { SILENCE };
        let who = self.who_within(timeout, place, to);
        assert_eq!(who, expected.map(sorted), "{to} from {place}");
    }

    /// Starts to call `web` without pause.
    pub fn traffic(&self, from: &str) -> RunningProbe {
        let to = SocketAddr::new(WEB.parse::<IpAddr>().unwrap(), 80);
        let probe = Probe::tcp(to).until_stopped().timeout(Duration::from_secs(5));
        self.cluster.start_probe(from, &probe).unwrap()
    }

    /// Requests for objects that have come since, of a verb.
    pub fn since(&self, since: Instant, verb: Verb) -> Vec<Request> {
        let requests = self.api.requests().into_iter();
        requests.filter(|request| request.at >= since && request.verb == verb).collect()
    }
}

fn server(cluster: &Cluster, port: u16) -> ApiServer {
    let address = SocketAddr::new(cluster.addresses(CONTROL).unwrap()[0], port);
    ApiServer::start_in(cluster.netns(CONTROL).unwrap(), address).unwrap()
}

/// Waits until an agent watches all that it is to watch.
#[track_caller]
pub fn until_watched(api: &ApiServer) {
    let watched = || [SERVICES, SLICES, NODES].iter().all(|kind| api.streams(kind) > 0);
    assert!(until(watched), "nobody watches");
}

/// Waits until something is so; false if it never was.
pub fn until(is_so: impl FnMut() -> bool) -> bool {
    until_within(PATIENCE, is_so).is_some()
}

/// Waits until an agent's log has a line with all of these parts.
#[track_caller]
pub fn until_logged(agent: &Agent, parts: &[&str]) {
    let logged = || {
        let log = agent.own_log().unwrap();
        log.lines().any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(until(logged), "no line with {parts:?} in:\n{}", agent.own_log().unwrap());
}
