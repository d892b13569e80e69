//! Requests a second: connect, request, response, and again, through a service and directly to its
//! one endpoint, in turn, so that whatever else goes on at the machine meets both.
//!
//! Nodes, pods and the client are network namespaces. Clients and servers are programs of ours,
//! which share the processors with the kernel's work that is to be compared; how much of their time
//! they took themselves is part of the result, as it hides differences in the rest. So is how much
//! of the machine's time other programs took: where that is much, the spreads tell little but that.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use lb_testbed::{CLIENT, Cluster, Families, Launcher, Probe, Worker};

use super::{
    report::Row,
    samples::{Comparison, Summary},
    services::{Endpoint, Port, Protocol, Service},
};
use crate::interrupt::Interrupt;

/// The port that services lead to, and the one that is called directly: were it one, a direct
/// connection could have the very addresses and ports of one that came through a NodePort.
const SERVED: u16 = 8080;
const DIRECT: u16 = 8081;
/// Callers at a time: enough to keep both processors of a small machine busy.
const CALLERS: u32 = 4;
/// What is thrown away before the first round.
const WARM_UP: Duration = Duration::from_millis(300);

/// How long it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Rounds: one call through the service, one directly.
    pub rounds: u32,
    /// The length of each call.
    pub call: Duration,
}

/// Who calls what, and what instead.
struct Path {
    what: &'static str,
    caller: &'static str,
    service: SocketAddr,
    direct: SocketAddr,
}

/// The cluster that is called in.
pub struct Stage {
    paths: Vec<Path>,
    services: Vec<Service>,
    servers: Vec<Worker>,
    /// The namespaces.
    pub cluster: Cluster,
}

/// What came of one path.
pub struct Outcome {
    /// Requests a second, and times a request took.
    pub rows: Vec<Row>,
    /// Of the requests a second.
    pub comparison: Comparison,
}

/// Processor time in ticks: of clients and servers, and of the machine.
#[derive(Clone, Copy)]
struct Ticks {
    user: u64,
    system: u64,
    machine_user: u64,
    machine: u64,
}

impl Stage {
    /// Two nodes, the pods, and a way from the client to the pods, which by way of the first node
    /// leads to the second one's too: the way that packets to its NodePorts take.
    pub fn raise(workers: Launcher) -> Result<Self> {
        let mut cluster = Cluster::builder(workers).families(Families::V4).nodes(2).build()?;
        let mut servers = Vec::new();
        for (node, pod) in [("node1", "caller"), ("node1", "near"), ("node2", "far")] {
            cluster.add_pod(node, pod)?;
            servers.push(cluster.serve(pod, &[SERVED, DIRECT], &[])?);
        }
        let address = |name: &str| -> Result<IpAddr> {
            cluster.addresses(name)?.first().copied().context("a place without address")
        };
        let (node, near, far) = (address("node1")?, address("near")?, address("far")?);
        cluster.route(far.into(), "node1")?;
        let service = |name: &str, last, node_port, endpoint, node| Service {
            name: name.to_owned(),
            cluster_ips: vec![[10, 96, 0, last].into()],
            ports: vec![Port { number: 80, protocol: Protocol::Tcp, node_port: Some(node_port) }],
            endpoints: vec![Endpoint { address: (endpoint, SERVED).into(), node }],
        };
        let services = vec![
            service("near", 10, 30_100, near, "node1"),
            service("far", 11, 30_101, far, "node2"),
        ];
        let path = |what, caller, service: (IpAddr, u16), direct: IpAddr| Path {
            what,
            caller,
            service: service.into(),
            direct: (direct, DIRECT).into(),
        };
        let paths = vec![
            path("ClusterIP from a pod", "caller", (services[0].cluster_ips[0], 80), near),
            path("NodePort, backend there", CLIENT, (node, 30_100), near),
            path("NodePort, backend elsewhere", CLIENT, (node, 30_101), far),
        ];
        Ok(Self { paths, services, servers, cluster })
    }

    /// The services that manifests must have.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Calls along every path, with so many services in the tables.
    pub fn measure(
        &self,
        services: u32,
        extent: Extent,
        interrupt: &Interrupt,
    ) -> Result<Vec<Outcome>> {
        let measure = |path: &Path| self.along(path, services, extent, interrupt);
        self.paths.iter().map(measure).collect()
    }

    fn along(
        &self,
        path: &Path,
        services: u32,
        extent: Extent,
        interrupt: &Interrupt,
    ) -> Result<Outcome> {
        for to in [path.direct, path.service] {
            self.call(path, to, WARM_UP)?;
        }
        let before = self.ticks()?;
        let (mut service, mut direct) = (Vec::new(), Vec::new());
        for round in 0..extent.rounds {
            interrupt.check()?;
            // Who goes first takes turns too.
            let mut sides = [(path.direct, &mut direct), (path.service, &mut service)];
            sides.rotate_left(round as usize % 2);
            for (to, found) in sides {
                found.push(self.call(path, to, extent.call)?);
            }
        }
        let after = self.ticks()?;
        let all = |of: fn(&Called) -> f64, called: &[Called]| -> Vec<f64> {
            called.iter().map(of).collect()
        };
        let compare = |of| Comparison::of(&all(of, &service), &all(of, &direct));
        let row = |what: &str, unit, of: fn(&Called) -> f64| {
            let what = format!("{}, {services} services: {what}", path.what);
            Row::new(what, unit, Summary::of(&all(of, &service))).beside(compare(of))
        };
        let rows = vec![
            row("requests", "/s", |called| called.per_second),
            row("p50", "us", |called| called.p50_us),
            row("p99", "us", |called| called.p99_us),
            Row::new(
                format!("{}, {services} services: workers' own time", path.what),
                "%",
                Summary::of(&[after.own_percent_since(before)]),
            ),
            Row::new(
                format!("{}, {services} services: other programs", path.what),
                "%",
                Summary::of(&[after.others_percent_since(before)]),
            ),
        ];
        Ok(Outcome { rows, comparison: compare(|called| called.per_second) })
    }

    /// One call, all of whose requests must be answered.
    fn call(&self, path: &Path, to: SocketAddr, length: Duration) -> Result<Called> {
        let probe = Probe::tcp(to).lasting(length).concurrency(CALLERS).most_failures(100);
        let report = self.cluster.probe(path.caller, &probe)?;
        if report.failed() > 0 {
            let (failed, made) = (report.failed(), report.failed() + report.answered());
            bail!("{}: {failed} of {made} requests to {to} failed: {:?}", path.what, report.errors);
        }
        Ok(Called {
            per_second: report.answered() as f64 / report.elapsed.as_secs_f64(),
            p50_us: report.latency.p50_us,
            p99_us: report.latency.p99_us,
        })
    }

    /// Processor time of the servers so far, and of all clients that have ended.
    fn ticks(&self) -> Result<Ticks> {
        // In /proc/PID/stat, counted from behind the name: user, system, and both of children.
        let (mut user, mut system) = ticks_of("self", 13)?;
        for server in &self.servers {
            let (more_user, more_system) = ticks_of(&server.pid().to_string(), 11)?;
            (user, system) = (user + more_user, system + more_system);
        }
        // The first line of /proc/stat: user, nice and further kinds of time of all processors.
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let machine: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let machine_user = machine.iter().take(2).sum();
        Ok(Ticks { user, system, machine_user, machine: machine.iter().sum() })
    }
}

fn ticks_of(process: &str, field: usize) -> Result<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a process without state")?;
    let mut fields = fields.split(' ').skip(field).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok((user, system)),
        _ => bail!("a process without times"),
    }
}

/// What came of one call.
struct Called {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Ticks {
    /// What part of the workers' time was not the kernel's.
    fn own_percent_since(self, before: Self) -> f64 {
        let (user, system) = (self.user - before.user, self.system - before.system);
        percent(user, user + system)
    }

    /// What part of the machine's time went to the code of other programs.
    fn others_percent_since(self, before: Self) -> f64 {
        let all = self.machine_user - before.machine_user;
        percent(all.saturating_sub(self.user - before.user), self.machine - before.machine)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
