//! Very many Services: 100,000 with a million endpoints. What it takes to load them, to change one, to
//! compare the tables with what was written; and whether a whole agent serves the last of them.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use lb_testbed::{AgentOptions, CLIENT, Cluster, Families, Probe};

use super::{
    MIB, Measured, READY_WITHIN,
    manifests::Manifests,
    memory::{Memory, size_flags},
    programming::{Extent, Found, MS, US, less, one, processor_s},
    programs::Programs,
    report::{Row, Section},
    samples::{Summary, percentile},
    services::{self, Endpoint, Family, Port, Protocol, Service},
};
use crate::interrupt::Interrupt;

const NODE: &str = "node1";
const POD: &str = "last";
const CALLER: &str = "caller";
const SERVED: u16 = 8080;
const NODE_PORT: u16 = 32_767;
const ENDPOINTS: u32 = 10;
/// Where endpoints are counted from.
const PODS: u32 = u32::from_be_bytes([10, 128, 0, 0]);
const CALLS: u64 = 50;

/// Measures.
pub fn measure(programs: &Programs, quick: bool, interrupt: &Interrupt) -> Result<Vec<Measured>> {
    let services = if quick { 20_000 } else { 100_000 };
    let (loads, changes) = if quick { (1, 200) } else { (5, 2_000) };
    let extent = Extent { services, endpoints: ENDPOINTS, loads, changes, audits: 5 };
    let mut rows = inside(&Found::of(programs, extent)?);
    interrupt.check()?;
    let small = Extent { services: 10_000, endpoints: 4, loads: 1, changes: 0, audits: 5 };
    rows.extend(audits(&Found::of(programs, small)?, "at 10000 services x 4"));
    interrupt.check()?;
    rows.extend(whole(programs, services)?);
    let notes = vec![
        format!("{services} services x {ENDPOINTS} endpoints; table sizes are set accordingly"),
        "the agent follows manifests; the last service, which has a NodePort and an endpoint on \
         this node, answers over both paths and families, or there would be no report"
            .to_owned(),
        "of an agent's start, most is reading the manifests".to_owned(),
        "comparing goes by portions: rows 256 services at a time, with news in between; entries of \
         hash tables at once"
            .to_owned(),
    ];
    let title = format!("Scale: {services} services x {ENDPOINTS}");
    Ok(vec![(Section { title, notes, rows, plots: Vec::new() }, Vec::new())])
}

fn inside(found: &Found) -> Vec<Row> {
    let Found { creation, load, change, tables, .. } = found;
    let all: f64 = tables.full.iter().map(|table| table.bytes).sum();
    let calls: f64 = change.calls.iter().sum();
    let mut rows = vec![
        Row::new("programs and empty tables made", "ms", Summary::of(creation).times(MS)),
        Row::new("everything loaded", "ms", Summary::of(&load.total).times(MS)),
        Row::new("everything loaded, of that model", "ms", Summary::of(&load.model).times(MS)),
        Row::new("everything loaded, of that plan", "ms", Summary::of(&load.plan).times(MS)),
        Row::new("everything loaded, of that write", "ms", Summary::of(&load.write).times(MS)),
        Row::new("one endpoint changed", "us", Summary::of(&change.total).times(US)),
        Row::new("one endpoint changed, p99", "us", one(percentile(&change.total, 99) * US)),
        less("system calls to tables for those changes", "", one(calls)),
        Row::new("all tables", "MiB", one(all / MIB)),
    ];
    rows.extend(audits(found, "at this size"));
    rows
}

fn audits(found: &Found, size: &str) -> Vec<Row> {
    let row = |what: &str, samples: &[f64]| {
        let what = format!("tables compared with what was written, {size}: {what}");
        Row::new(what, "ms", Summary::of(samples).times(MS))
    };
    vec![row("rows", &found.audit.rows), row("entries", &found.audit.entries)]
}

/// A whole agent.
fn whole(programs: &Programs, services: u32) -> Result<Vec<Row>> {
    let mut cluster =
        Cluster::builder(programs.workers.clone()).families(Families::Both).nodes(1).build()?;
    cluster.add_pod(NODE, CALLER)?;
    cluster.add_pod(NODE, POD)?;
    let server = cluster.serve(POD, &[SERVED], &[])?;
    let last = last(&cluster)?;
    let manifests = Manifests::new(cluster.folder())?;
    let many: Vec<_> = (0..services - 1).map(crowded).chain([last.clone()]).collect();
    manifests.write(&many)?;
    drop(many);
    let mut options = AgentOptions::new(&programs.sluice, manifests.folder());
    options.ready_within = Some(READY_WITHIN);
    for (flag, value) in size_flags(services, ENDPOINTS) {
        options = options.argument(flag).argument(value.to_string());
    }
    let mut rows = Vec::new();
    // The second finds everything in the tables.
    for when in ["agent's first start", "agent's next start, which adopts the tables"] {
        let started = Instant::now();
        let agent = cluster.start_agent(NODE, &options)?;
        let start = started.elapsed();
        let processor = processor_s(agent.pid())?;
        call(&cluster, &last)?;
        let memory = Memory::of(agent.pid())?;
        agent.stop()?;
        let mut row = |what: &str, unit, value: f64| {
            rows.push(Row::new(format!("{when}: {what}"), unit, one(value)));
        };
        row("until the tables are as they should be", "ms", start.as_secs_f64() * 1e3);
        row("processor time until then", "ms", processor * 1e3);
        row("resident", "MiB", memory.resident as f64 / MIB);
        row("its own", "MiB", memory.own as f64 / MIB);
        row("most that was ever resident", "MiB", memory.peak as f64 / MIB);
    }
    drop(server);
    Ok(rows)
}

/// A service that is only there to be there, with its endpoints.
fn crowded(number: u32) -> Service {
    let mut service = services::other(number, &[Family::V4]);
    let endpoint = |pod| {
        let address = IpAddr::from(Ipv4Addr::from_bits(PODS + pod));
        Endpoint { address: (address, SERVED).into(), node: "elsewhere" }
    };
    service.endpoints = (number * ENDPOINTS..(number + 1) * ENDPOINTS).map(endpoint).collect();
    service
}

/// The one that is called, of both families.
fn last(cluster: &Cluster) -> Result<Service> {
    let endpoint = |address: &IpAddr| Endpoint { address: (*address, SERVED).into(), node: NODE };
    Ok(Service {
        name: "zz-last".to_owned(),
        cluster_ips: ["10.96.0.10", "fd00:96::10"]
            .map(str::parse)
            .into_iter()
            .collect::<Result<_, _>>()?,
        ports: vec![Port { number: 80, protocol: Protocol::Tcp, node_port: Some(NODE_PORT) }],
        endpoints: cluster.addresses(POD)?.iter().map(endpoint).collect(),
    })
}

/// Every call to the last service must be answered: by its ClusterIP, and by its NodePort from
/// outside.
fn call(cluster: &Cluster, last: &Service) -> Result<()> {
    let nodes = cluster.addresses(NODE)?;
    for family in [Family::V4, Family::V6] {
        let vip = last.cluster_ip(family).context("no ClusterIP")?;
        let node = nodes.iter().copied().find(|address| Family::of(*address) == family);
        let node = node.context("no address of the node")?;
        for (from, to) in [(CALLER, (vip, 80)), (CLIENT, (node, NODE_PORT))] {
            let to = SocketAddr::from(to);
            let report = cluster.probe(from, &Probe::tcp(to).requests(CALLS).most_failures(1))?;
            ensure!(report.failed() == 0, "{to} from {from}: {:?}", report.errors);
        }
    }
    Ok(())
}
