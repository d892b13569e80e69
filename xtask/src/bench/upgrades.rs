//! What clients notice of an agent that is killed, and of programs that are replaced: both happen
//! again and again while everybody calls, over connections made anew and over some that last from
//! the first moment to the last.
//!
//! Each upgrade starts an agent with another setting than the last, so the programs that take over
//! differ from those that were there; that every link changed its program each time is checked.

mod callers;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use lb_testbed::{Agent, AgentOptions, Cluster, Families, Worker};
use serde_json::{Value, json};

use self::callers::{Callers, Told};
use super::{
    Measured,
    programs::Programs,
    report::{Bar, Better, Budget, Row, Section},
    samples::Summary,
};
use crate::interrupt::Interrupt;

const NODE: &str = "node1";
const CALLER: &str = "caller";
const PODS: [(&str, &str); 2] = [(NODE, "near"), ("node2", "far")];
const HTTP: u16 = 8080;
const DNS: u16 = 5353;
const CLUSTER_IPS: [&str; 2] = ["10.96.0.10", "fd00:96::a"];
/// How long callers go on with an agent, and without one, before the next event.
const A_WHILE: Duration = Duration::from_millis(150);

/// How an agent ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// By SIGKILL, at whatever it is doing.
    Killed,
    /// As it is told to, to make room for the next version.
    Upgraded,
}

/// Two nodes, the first of which has agents, and pods that answer on both.
struct Stage {
    cluster: Cluster,
    _servers: Vec<Worker>,
    options: AgentOptions,
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool, interrupt: &Interrupt) -> Result<Measured> {
    let times = if quick { 5 } else { 100 };
    let stage = Stage::raise(programs)?;
    let mut agent = stage.start(0)?;
    let callers = Callers::start(&stage.cluster)?;
    let mut starts = Vec::new();
    let ends = [End::Killed, End::Upgraded];
    for (number, end) in ends.into_iter().flat_map(|end| vec![end; times]).enumerate() {
        interrupt.check()?;
        thread::sleep(A_WHILE);
        let before = replaced(&agent)?;
        match end {
            End::Killed => agent.kill()?,
            End::Upgraded => agent.stop()?,
        };
        thread::sleep(A_WHILE);
        let began = Instant::now();
        let setting = if end == End::Upgraded { number } else { 0 };
        agent = stage.start(setting)?;
        starts.push(began.elapsed().as_secs_f64() * 1e3);
        let after = replaced(&agent)?;
        if before.len() != after.len() || before.iter().any(|program| after.contains(program)) {
            bail!("not every program was replaced: {before:?}, then {after:?}");
        }
    }
    thread::sleep(A_WHILE);
    let told = callers.stop()?;
    agent.stop()?;
    Ok(judged(times, &told, &starts))
}

fn judged(times: usize, told: &[Told], starts: &[f64]) -> Measured {
    let mut rows = Vec::new();
    for Told { who, exchanges, failed, longest_ms, .. } in told {
        let row =
            |what, unit, value| Row::new(format!("{who}: {what}"), unit, Summary::of(&[value]));
        rows.push(row("exchanges", "", *exchanges as f64));
        rows.push(row("failed or cut", "", *failed as f64).better(Better::Less));
        rows.push(row("longest exchange", "ms", *longest_ms));
    }
    rows.push(Row::new("an agent's start until tables are taken over", "ms", Summary::of(starts)));
    let failed: u64 = told.iter().map(|told| told.failed).sum();
    let exchanges: u64 = told.iter().map(|told| told.exchanges).sum();
    let what = format!("failed or cut over {times} kills and {times} upgrades");
    let mut budget = Budget::at_most(&what, failed as f64, 0.0, "").of(Bar::Upgrades);
    budget.measured += &format!(" of {exchanges}");
    let mut notes = vec![
        format!(
            "{times} times killed and started again, {times} times ended and started with other \
             programs, while callers go on; a connection that is cut counts as a failure"
        ),
        "a packet lost and sent again shows in the longest exchange, as 200 ms or more".to_owned(),
    ];
    notes.extend(
        told.iter()
            .filter(|told| told.failed > 0)
            .map(|told| format!("{}: {:?}", told.who, told.errors)),
    );
    let title = "Kills and upgrades under load".to_owned();
    (Section { title, notes, rows, plots: Vec::new() }, vec![budget])
}

impl Stage {
    fn raise(programs: &Programs) -> Result<Self> {
        let workers = programs.workers.clone();
        let mut cluster = Cluster::builder(workers).families(Families::Both).nodes(2).build()?;
        cluster.add_pod(NODE, CALLER)?;
        let mut servers = Vec::new();
        for (node, pod) in PODS {
            cluster.add_pod(node, pod)?;
            servers.push(cluster.serve(pod, &[HTTP], &[DNS])?);
        }
        let folder = cluster.folder().join("manifests");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("web.json"), manifests(&cluster)?.to_string())?;
        let options = AgentOptions::new(&programs.sluice, folder);
        Ok(Self { cluster, _servers: servers, options })
    }

    /// An agent with a setting by this number, which makes other programs than its neighbours do.
    fn start(&self, number: usize) -> Result<Agent> {
        let ping = if number.is_multiple_of(2) { "--vip-ping=true" } else { "--vip-ping=false" };
        Ok(self.cluster.start_agent(NODE, &self.options.clone().argument(ping))?)
    }
}

/// The programs that are attached.
fn replaced(agent: &Agent) -> Result<Vec<u64>> {
    let status: Value = serde_json::from_str(&agent.inspect(&["status", "--json"])?)?;
    let rows = status["programs"].as_array().context("a status without programs")?;
    let ids: Vec<u64> = rows.iter().filter_map(|row| row["program_id"].as_u64()).collect();
    if ids.is_empty() {
        bail!("no program is attached");
    }
    Ok(ids)
}

/// One service with both pods behind it.
fn manifests(cluster: &Cluster) -> Result<Value> {
    let mut items = vec![json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {
            "type": "NodePort", "ipFamilyPolicy": "RequireDualStack",
            "clusterIP": CLUSTER_IPS[0], "clusterIPs": CLUSTER_IPS,
            "ports": [
                {"name": "http", "port": 80, "targetPort": HTTP, "nodePort": callers::HTTP},
                {"name": "dns", "port": 53, "targetPort": DNS, "nodePort": callers::DNS,
                 "protocol": "UDP"},
            ],
        },
    })];
    for v6 in [false, true] {
        let mut endpoints = Vec::new();
        for (node, pod) in PODS {
            let addresses = cluster.addresses(pod)?.iter().filter(|ip| ip.is_ipv6() == v6);
            let addresses: Vec<_> = addresses.take(1).collect();
            endpoints.push(json!({"addresses": addresses, "nodeName": node}));
        }
        items.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": if v6 { "web-v6" } else { "web-v4" },
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": if v6 { "IPv6" } else { "IPv4" },
            "ports": [
                {"name": "http", "port": HTTP, "protocol": "TCP"},
                {"name": "dns", "port": DNS, "protocol": "UDP"},
            ],
            "endpoints": endpoints,
        }));
    }
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
}
