//! Everybody who calls while agents come and go: a pod by the ClusterIP, where the socket hooks
//! answer, and a client outside by the NodePort, where flows are remembered; each with a connection
//! an exchange and with one for all of them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use lb_testbed::{CLIENT, Cluster, Probe, Report, RunningProbe};

use super::{CALLER, CLUSTER_IPS, NODE};

/// NodePorts of the service.
pub const HTTP: u16 = 30_080;
pub const DNS: u16 = 30_053;
/// Longer than a busy machine lets a client wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub struct Callers(Vec<(String, RunningProbe)>);

/// What one of them has to tell.
pub struct Told {
    /// Who.
    pub who: String,
    /// Those that were answered and those that were not.
    pub exchanges: u64,
    /// Those that were not; a lasting connection that ends is one.
    pub failed: u64,
    /// How they failed.
    pub errors: BTreeMap<String, u64>,
    /// The longest that was answered.
    pub longest_ms: f64,
}

impl Callers {
    /// All of them, calling until they are stopped.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let mut running = Vec::new();
        for v6 in [false, true] {
            for (who, from, probe) in family(cluster, v6)? {
                let who = format!("{who}, IPv{}", if v6 { 6 } else { 4 });
                let probe = probe.until_stopped().timeout(PATIENCE);
                running.push((who, cluster.start_probe(from, &probe)?));
            }
        }
        Ok(Self(running))
    }

    /// Ends them.
    pub fn stop(self) -> Result<Vec<Told>> {
        let told = |(who, probe): (String, RunningProbe)| Ok(Told::of(who, probe.stop()?));
        self.0.into_iter().map(told).collect()
    }
}

type Caller = (&'static str, &'static str, Probe);

fn family(cluster: &Cluster, v6: bool) -> Result<[Caller; 6]> {
    let cluster_ip: IpAddr = CLUSTER_IPS[usize::from(v6)].parse()?;
    let mut addresses = cluster.addresses(NODE)?.iter().filter(|ip| ip.is_ipv6() == v6);
    let node = *addresses.next().context("a node without address")?;
    let [inside, inside_dns] = [80, 53].map(|port| SocketAddr::new(cluster_ip, port));
    let [outside, outside_dns] = [HTTP, DNS].map(|port| SocketAddr::new(node, port));
    Ok([
        ("ClusterIP, TCP, new connections", CALLER, Probe::tcp(inside)),
        ("ClusterIP, TCP, lasting ones", CALLER, Probe::tcp(inside).reusing().concurrency(2)),
        ("ClusterIP, UDP", CALLER, Probe::udp_unconnected(inside_dns).reusing()),
        ("NodePort, TCP, new connections", CLIENT, Probe::tcp(outside)),
        ("NodePort, TCP, lasting ones", CLIENT, Probe::tcp(outside).reusing().concurrency(2)),
        ("NodePort, UDP", CLIENT, Probe::udp(outside_dns).reusing()),
    ])
}

impl Told {
    fn of(who: String, report: Report) -> Self {
        Self {
            who,
            exchanges: report.answered() + report.failed(),
            failed: report.failed(),
            longest_ms: report.latency.max_us / 1e3,
            errors: report.errors,
        }
    }
}
