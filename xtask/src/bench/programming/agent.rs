//! What a whole agent takes to follow very many changes, one endpoint each, told by an API server:
//! processor time, and bytes on the wire. The server stands in the bench's own process.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lb_testbed::{Agent, AgentOptions, ApiServer, CONTROL, Cluster, Families};
use serde_json::{Value, json};

use super::{
    super::{
        READY_WITHIN,
        programs::Programs,
        report::{Row, Section},
        services::{self, ENDPOINTS, Family, Service},
    },
    less, one,
};
use crate::interrupt::Interrupt;

const NODE: &str = "node1";
const API: u16 = 6443;
/// As large clusters see it in a roll-out; far from what an agent can take.
const EVERY: Duration = Duration::from_millis(1);
/// Written by the kernel in hundredths of a second whatever its own clock.
const TICKS_A_SECOND: f64 = 100.0;
const COUNTED: &str = "kubeproxy_sync_proxy_rules_endpoint_changes_total ";
const PATIENCE: Duration = Duration::from_secs(60);

/// What an agent has taken until now.
#[derive(Clone, Copy)]
struct Taken {
    cpu_s: f64,
    received: u64,
    changes: u64,
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool, interrupt: &Interrupt) -> Result<Section> {
    let changes = if quick { 1_000 } else { 10_000 };
    let mut rows = Vec::new();
    for services in [10, 10_000] {
        interrupt.check()?;
        rows.extend(follow(programs, services, changes)?);
    }
    let notes = vec![
        format!(
            "{changes} changes, one every {EVERY:?}, each a new EndpointSlice with one endpoint \
                 less or more"
        ),
        "an API server of the testbed tells them as JSON over HTTP/1 without TLS".to_owned(),
        "processor time of the agent's process; what it has the kernel do is in it".to_owned(),
    ];
    let title = "An agent that follows changes".to_owned();
    Ok(Section { title, notes, rows, plots: Vec::new() })
}

fn follow(programs: &Programs, services: u32, changes: u32) -> Result<Vec<Row>> {
    let cluster = Cluster::builder(programs.workers.clone()).families(Families::V4).nodes(1);
    let cluster = cluster.with_control().build()?;
    let first = |place| -> Result<_> {
        cluster.addresses(place)?.first().copied().context("a place without address")
    };
    let api = ApiServer::start_in(cluster.netns(CONTROL)?, SocketAddr::new(first(CONTROL)?, API))?;
    api.put(
        "nodes",
        json!({
            "metadata": {"name": NODE},
            "status": {"addresses": [{"type": "InternalIP", "address": first(NODE)?.to_string()}]},
        }),
    );
    let all = services::list(services, &[Family::V4], &[]);
    for service in &all {
        api.put("services", object(service));
        api.put("endpointslices", slice(service, ENDPOINTS as usize));
    }
    let kubeconfig = cluster.folder().join("kubeconfig");
    api.write_kubeconfig(&kubeconfig, None)?;
    let mut options = AgentOptions::kubernetes(&programs.sluice, &kubeconfig);
    options.ready_within = Some(READY_WITHIN);
    let agent = cluster.start_agent(NODE, &options)?;

    let before = Taken::by(&cluster, &agent)?;
    let started = Instant::now();
    for number in 0..changes {
        // Each service in turn, so that no change takes back one that was just told.
        let (turn, at) = (number as usize / all.len(), number as usize * 7_919 % all.len());
        let endpoints = ENDPOINTS as usize - (turn + 1) % 2;
        api.put("endpointslices", slice(&all[at], endpoints));
        thread::sleep((started + EVERY * number).saturating_duration_since(Instant::now()));
    }
    let after = settled(&cluster, &agent, before.changes + u64::from(changes))?;
    let took = started.elapsed();
    agent.stop()?;

    let with = format!("{services} services x {ENDPOINTS}");
    let cpu = after.cpu_s - before.cpu_s;
    let each = f64::from(changes);
    let bytes = (after.received - before.received) as f64 / each;
    let seen = (after.changes - before.changes) as f64;
    Ok(vec![
        Row::new(format!("{with}: processor time of all changes"), "s", one(cpu)),
        Row::new(format!("{with}: processor time a change"), "us", one(1e6 * cpu / each)),
        Row::new(format!("{with}: received a change"), "B", one(bytes)),
        less(
            format!("{with}: changes that were told and never written, as newer ones came"),
            "",
            one(each - seen),
        ),
        Row::new(format!("{with}: changes told"), "/s", one(each / took.as_secs_f64())),
    ])
}

/// Waits until all changes were taken in, or no more come: two of one endpoint that arrive together
/// are none.
fn settled(cluster: &Cluster, agent: &Agent, expected: u64) -> Result<Taken> {
    let give_up = Instant::now() + PATIENCE;
    let mut last = Taken::by(cluster, agent)?;
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = Taken::by(cluster, agent)?;
        if now.changes >= expected || now.changes == last.changes {
            return Ok(now);
        }
        ensure!(Instant::now() < give_up, "the agent has not kept up: {} changes", now.changes);
        last = now;
    }
}

impl Taken {
    fn by(cluster: &Cluster, agent: &Agent) -> Result<Self> {
        let process = Path::new("/proc").join(agent.pid().to_string());
        let cpu_s = processor_s(agent.pid())?;
        // Of the agent's namespace: nothing else there talks to anybody.
        let devices = fs::read_to_string(process.join("net/dev"))?;
        let eth0 = devices.lines().find_map(|line| line.trim().strip_prefix("eth0:"));
        let received = eth0.and_then(|line| line.split_whitespace().next());
        let received = received.context("the node has no eth0")?.parse()?;
        let metrics = cluster.netns(NODE)?.enter(|| Ok(get(10_249, "/metrics")))??;
        let changes = metrics.lines().find_map(|line| line.strip_prefix(COUNTED));
        let changes = changes.context("the agent does not count changes")?.trim().parse()?;
        Ok(Self { cpu_s, received, changes })
    }
}

/// Seconds of processor time that a process has taken.
pub fn processor_s(pid: u32) -> Result<f64> {
    let stat = Path::new("/proc").join(pid.to_string()).join("stat");
    let stat = fs::read_to_string(stat).context("the agent is gone")?;
    let (_, fields) = stat.rsplit_once(") ").context("a process without state")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    let ticks: f64 = ticks.collect::<Result<Vec<_>, _>>()?.iter().sum();
    Ok(ticks / TICKS_A_SECOND)
}

/// A page of the agent's, asked for from within its namespace.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => bail!("{path}: {}", answer.lines().next().unwrap_or_default()),
    }
}

fn object(service: &Service) -> Value {
    json!({
        "metadata": {"namespace": "default", "name": service.name},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": service.cluster_ips[0].to_string(),
            "clusterIPs": [service.cluster_ips[0].to_string()],
            "ipFamilies": ["IPv4"],
            "selector": {"app": service.name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
        },
    })
}

/// A slice as the control plane writes it, with the first of a service's endpoints.
fn slice(service: &Service, endpoints: usize) -> Value {
    let name = &service.name;
    let endpoint = |(number, endpoint): (usize, &services::Endpoint)| {
        json!({
            "addresses": [endpoint.address.ip().to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": endpoint.node,
            "zone": "zone-a",
            "targetRef": {
                "kind": "Pod", "namespace": "default", "name": format!("{name}-7d4b9c-{number}"),
                "uid": "2f0c2a9e-7a55-4c3e-9a52-8b0b6f8d1c11",
            },
        })
    };
    let endpoints: Vec<_> =
        service.endpoints.iter().take(endpoints).enumerate().map(endpoint).collect();
    json!({
        "metadata": {
            "namespace": "default", "name": format!("{name}-x7k2p"), "generateName": format!("{name}-"),
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}
