//! What every test here stands on: a small cluster, servers in its pods, and a folder of manifests.
//!
//! Manifests are written as YAML in one line. A pod answers on TCP [`HTTP`] and UDP [`DNS`], and
//! its endpoints have a port `http` and a port `dns`.

use std::{
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::PathBuf,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use lb_testbed::{
    Agent, AgentOptions, Builder, Cluster, Families, Launcher, Place, Probe, Report, Worker,
};
use serde_json::Value;

/// The program.
pub const SLUICE: &str = env!("CARGO_BIN_EXE_sluice");
/// Port of the pods' TCP servers.
pub const HTTP: u16 = 8080;
/// Port of the pods' UDP servers.
pub const DNS: u16 = 5353;
/// The file that most tests write.
pub const MAIN: &str = "main.yaml";
/// Ports of a Service that has one, in what is written into its `spec`.
pub const HTTP_PORT: &str = "ports: [{name: http, port: 80}]";

/// How long something that an agent has heard of may take to be so, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a call that is to fail may take, and one that is tried again.
const SILENCE: Duration = Duration::from_millis(700);
/// How long one that is to be answered may take, on a busy machine.
const ANSWER: Duration = Duration::from_secs(5);

/// See the module. Dropped, all of it goes.
pub struct Stage {
    servers: Vec<(String, Worker)>,
    manifests: PathBuf,
    pub cluster: Cluster,
}

impl Stage {
    /// Nodes of one family, IPv4, without pods.
    pub fn new(nodes: u8) -> Self {
        Self::of(Families::V4, nodes)
    }

    /// Nodes without pods.
    pub fn of(families: Families, nodes: u8) -> Self {
        Self::on(
            Cluster::builder(Launcher::beside_tests().unwrap()).families(families).nodes(nodes),
        )
    }

    /// Nodes without pods whose devices behave as network cards do.
    pub fn like_hardware(families: Families, nodes: u8) -> Self {
        let builder = Cluster::builder(Launcher::beside_tests().unwrap()).like_hardware();
        Self::on(builder.families(families).nodes(nodes))
    }

    fn on(builder: Builder) -> Self {
        let cluster = builder.build().unwrap();
        let manifests = cluster.folder().join("manifests");
        fs::create_dir(&manifests).unwrap();
        Self { servers: Vec::new(), manifests, cluster }
    }

    /// With a pod that serves.
    pub fn with(mut self, node: &str, pod: &str) -> Self {
        self.add_pod(node, pod);
        self
    }

    /// Makes a pod that serves.
    pub fn add_pod(&mut self, node: &str, pod: &str) {
        self.cluster.add_pod(node, pod).unwrap();
        let server = self.cluster.serve(pod, &[HTTP], &[DNS]).unwrap();
        self.servers.push((pod.to_owned(), server));
    }

    /// Puts a file of these documents into the folder, in one step as a careful writer does.
    pub fn write(&self, file: &str, documents: &[String]) {
        let new = self.manifests.join(format!(".{file}.new"));
        fs::write(&new, documents.join("\n---\n")).unwrap();
        fs::rename(new, self.manifests.join(file)).unwrap();
    }

    /// An EndpointSlice a family, with these pods.
    pub fn endpoints(&self, service: &str, pods: &[&str]) -> String {
        self.slices(service, pods, &[])
    }

    /// The same, with some that are not ready.
    pub fn slices(&self, service: &str, ready: &[&str], unready: &[&str]) -> String {
        let ready = ready.iter().map(|pod| (*pod, "ready: true"));
        let pods: Vec<_> = ready.chain(unready.iter().map(|pod| (*pod, "ready: false"))).collect();
        self.conditions(service, &pods)
    }

    /// The same, with these conditions.
    pub fn conditions(&self, service: &str, pods: &[(&str, &str)]) -> String {
        let mut documents = Vec::new();
        for (family, is_v4) in [("IPv4", true), ("IPv6", false)] {
            let mut endpoints = String::new();
            for (pod, conditions) in pods {
                let Some(address) = self.address(pod, is_v4) else { continue };
                let node = self.node_of(pod);
                write!(
                    endpoints,
                    "{{addresses: ['{address}'], nodeName: {node}, conditions: {{{conditions}}}}}, "
                )
                .unwrap();
            }
            documents.push(format!(
                "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: \
                 {service}-{}, labels: {{kubernetes.io/service-name: {service}}}}}, addressType: \
                 {family}, ports: [{{name: http, port: {HTTP}}}, {{name: dns, port: {DNS}, \
                 protocol: UDP}}], endpoints: [{endpoints}]}}",
                family.to_lowercase(),
            ));
        }
        documents.join("\n---\n")
    }

    /// A place's address of a family.
    pub fn address(&self, place: &str, is_v4: bool) -> Option<IpAddr> {
        let mut addresses = self.cluster.addresses(place).unwrap().iter();
        addresses.find(|address| address.is_ipv4() == is_v4).copied()
    }

    fn node_of<'a>(&'a self, pod: &'a str) -> &'a str {
        let mut pods = self.cluster.pods();
        // A node is where it is itself.
        pods.find(|(name, _)| *name == pod).map_or(pod, |(_, node)| node)
    }

    /// In a pod's network, in a cgroup that the agent has nothing to do with: no socket hook sees who
    /// is there.
    pub fn unseen(&self, pod: &str) -> Place {
        let outside = self.cluster.place("client").unwrap();
        Place { cgroup: outside.cgroup, ..self.cluster.place(pod).unwrap() }
    }

    /// Starts an agent with nothing special about it.
    pub fn start(&self, node: &str) -> Agent {
        self.start_with(node, &[])
    }

    /// Starts an agent with further arguments.
    pub fn start_with(&self, node: &str, arguments: &[&str]) -> Agent {
        let mut options = AgentOptions::new(SLUICE, &self.manifests);
        options.arguments.extend(arguments.iter().map(Into::into));
        self.cluster.start_agent(node, &options).unwrap()
    }

    /// Runs `sluice` on a node to its end.
    pub fn sluice(&self, node: &str, arguments: &[&str]) -> Output {
        let place = self.cluster.place(node).unwrap();
        let arguments = arguments.iter().map(Into::into).collect();
        self.cluster.launcher().command(&place, SLUICE, arguments, true).unwrap().output().unwrap()
    }

    /// The folder of manifests.
    pub fn manifests(&self) -> &str {
        self.manifests.to_str().unwrap()
    }

    /// Calls over TCP, a new connection each time.
    pub fn call(&self, place: &str, to: &str, requests: u64) -> Report {
        self.call_within(ANSWER, place, to, requests)
    }

    fn call_within(&self, timeout: Duration, place: &str, to: &str, requests: u64) -> Report {
        let probe = Probe::tcp(to.parse().unwrap()).requests(requests).timeout(timeout);
        self.cluster.probe(place, &probe.most_failures(1)).unwrap()
    }

    /// Who answers there at once, in alphabetical order; `None` if a call failed.
    pub fn who(&self, place: &str, to: &str) -> Option<Vec<String>> {
        self.who_within(SILENCE, place, to)
    }

    fn who_within(&self, timeout: Duration, place: &str, to: &str) -> Option<Vec<String>> {
        // Each of two pods is missed by all of them once in 2^23.
        let report = self.call_within(timeout, place, to, 24);
        let pods = || report.by_pod().keys().map(|pod| (*pod).to_owned()).collect();
        (report.failed() == 0).then(pods)
    }

    /// Asserts who answers there.
    #[track_caller]
    pub fn assert_who(&self, place: &str, to: &str, expected: Option<&[&str]>) {
        let timeout = if expected.is_some() { ANSWER } else { SILENCE };
        let expected = expected.map(|pods| pods.iter().map(|pod| (*pod).to_owned()).collect());
        assert_eq!(self.who_within(timeout, place, to), expected, "{to} from {place}");
    }

    /// Waits until exactly these pods answer there, and tells how long it took.
    #[track_caller]
    pub fn until_who(&self, place: &str, to: &str, expected: Option<&[&str]>) -> Duration {
        let wanted = expected.map(|pods| pods.iter().map(|pod| (*pod).to_owned()).collect());
        let took = until(|| self.who(place, to) == wanted);
        took.unwrap_or_else(|| panic!("{to} from {place}: {:?}", self.who(place, to)))
    }
}

/// A Service with this much in its `spec`.
pub fn service(name: &str, spec: &str) -> String {
    service_of(&format!("name: {name}"), spec, "")
}

/// A Service with this much in its `metadata`, `spec` and `status`.
pub fn service_of(metadata: &str, spec: &str, status: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{{metadata}}}, spec: {{{spec}}}, status: \
         {{{status}}}}}"
    )
}

/// Waits until something is so; tells how long it took, or `None` if it never was.
pub fn until(is_so: impl FnMut() -> bool) -> Option<Duration> {
    until_within(PATIENCE, is_so)
}

/// The same, for what may take longer.
pub fn until_within(patience: Duration, mut is_so: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    loop {
        if is_so() {
            return Some(begun.elapsed());
        }
        if begun.elapsed() > patience {
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Waits until an agent's log has a line with all of these parts, and returns it.
#[track_caller]
pub fn until_logged(agent: &Agent, parts: &[&str]) -> String {
    let find = || {
        let log = agent.own_log().unwrap();
        log.lines().find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
    };
    let mut found = None;
    until(|| {
        found = find();
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("no line with {parts:?} in:\n{}", agent.own_log().unwrap()))
}

/// What `sluice inspect --json` says of an agent's tables.
pub fn inspect(agent: &Agent, what: &str) -> Value {
    serde_json::from_str(&agent.inspect(&[what, "--json"]).unwrap()).unwrap()
}

/// Waits until an agent's tables list exactly these endpoints of a Service's port, and tells how
/// long it took.
#[track_caller]
pub fn until_endpoints(
    agent: &Agent,
    service_port: &str,
    expected: &[impl AsRef<str>],
) -> Duration {
    let took =
        until(|| endpoints(agent, service_port).iter().eq(expected.iter().map(AsRef::as_ref)));
    took.unwrap_or_else(|| panic!("{service_port}: {:?}", endpoints(agent, service_port)))
}

fn endpoints(agent: &Agent, service_port: &str) -> Vec<String> {
    let rows = inspect(agent, "services");
    let of = |row: &Value| {
        let list = row["endpoints"].as_array().unwrap();
        list.iter().map(|one| one.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let rows = rows.as_array().unwrap().iter();
    let mut found: Vec<_> =
        rows.filter(|row| row["service"] == service_port).flat_map(of).collect();
    found.sort();
    found
}

/// What a command wrote to standard error, and its exit code.
pub fn complaint(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
