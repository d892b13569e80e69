//! The kernel's memory for Services: how much it grows as they come, beside the peers' rules of the
//! same Services; and what room for more of them takes.

use anyhow::{Context as _, Result};
use lb_testbed::{AgentOptions, Cluster, Families};

use super::{
    super::{
        MIB, Measured, READY_WITHIN,
        manifests::Manifests,
        peers::Peer,
        programming::{Extent, Found, Table, less, one},
        programs::Programs,
        report::{Bar, Better, Budget, Row, Section},
        samples::{Comparison, Summary},
        services::{self, ENDPOINTS, Family, Service, Site},
    },
    NODE,
    account::Account,
    size_flags,
};
use crate::interrupt::Interrupt;

/// The size that the budget is for.
const BUDGETED: u32 = 10_000;
const ROUNDS: usize = 5;

/// Measures.
pub fn measure(programs: &Programs, quick: bool, interrupt: &Interrupt) -> Result<Measured> {
    let sizes: &[u32] = if quick { &[1_000, BUDGETED] } else { &[1_000, BUDGETED, 100_000] };
    let (mut rows, mut budgets) = (Vec::new(), Vec::new());
    for services in sizes {
        interrupt.check()?;
        let grown = growth(programs, *services, ENDPOINTS)?;
        let with = format!("{services} services x {ENDPOINTS}");
        rows.push(less(format!("tables grow by, {with}: a service"), "B", one(grown)));
        if *services == BUDGETED {
            let what = format!("kernel memory a service beyond the tables' stated size, {with}");
            budgets.push(Budget::of(Bar::KernelMemory, what, grown));
        }
    }
    rows.extend(room(programs)?);
    let services = 1_000;
    rows.extend(charged(programs, services, if quick { 1 } else { ROUNDS }, interrupt)?);
    let notes = vec![
        "tables are of their default sizes; what the kernel accounts for each is in its fdinfo"
            .to_owned(),
        "charged: what a control group is charged for kernel memory, with so many services less with \
         none; rules and tables alike"
            .to_owned(),
    ];
    let title = "Kernel memory".to_owned();
    Ok((Section { title, notes, rows, plots: Vec::new() }, budgets))
}

fn found(programs: &Programs, services: u32, endpoints: u32) -> Result<Found> {
    Found::of(programs, Extent { services, endpoints, loads: 1, changes: 0, audits: 0 })
}

/// What is accounted for planned tables when they are filled, a service, beyond what it was before.
fn growth(programs: &Programs, services: u32, endpoints: u32) -> Result<f64> {
    let tables = found(programs, services, endpoints)?.tables;
    let planned = |tables: &[Table]| -> f64 {
        tables.iter().filter(|table| table.planned).map(|table| table.bytes).sum()
    };
    Ok((planned(&tables.full) - planned(&tables.empty)) / f64::from(services))
}

/// What the tables take before there are Services, and what one more place in each takes.
fn room(programs: &Programs) -> Result<Vec<Row>> {
    let tables = found(programs, 1, 1)?.tables.empty;
    let sum = |of: fn(&Table) -> bool| -> f64 {
        tables.iter().filter(|table| of(table)).map(|table| table.bytes).sum()
    };
    let mut rows = vec![
        Row::new(
            "tables for services, of default sizes, empty",
            "MiB",
            one(sum(|one| one.planned) / MIB),
        ),
        Row::new(
            "tables for flows and the rest, of default sizes, empty",
            "MiB",
            one(sum(|one| !one.planned) / MIB),
        ),
    ];
    for table in tables.iter().filter(|table| table.entries >= 1024.0) {
        let what = format!("room for one more in {}", table.name);
        rows.push(Row::new(what, "B", one(table.bytes / table.entries)));
    }
    Ok(rows)
}

/// What a control group is charged for so many Services by everybody.
fn charged(
    programs: &Programs,
    services: u32,
    rounds: usize,
    interrupt: &Interrupt,
) -> Result<Vec<Row>> {
    let all = services::list(services, &[Family::V4], &[]);
    let (mut ours, mut theirs) = (Vec::new(), [Vec::new(), Vec::new()]);
    let peers = [Peer::Iptables, Peer::Nftables];
    for _ in 0..rounds {
        interrupt.check()?;
        let Some(grown) = by_agent(programs, &all)? else { return Ok(Vec::new()) };
        ours.push(grown / f64::from(services));
        for (peer, theirs) in peers.into_iter().zip(&mut theirs) {
            if let Some(grown) = by_peer(programs, peer, &all)? {
                theirs.push(grown / f64::from(services));
            }
        }
    }
    let what = format!("charged a service, {services} services x {ENDPOINTS}");
    let mut rows = vec![less(format!("{what}: sluice"), "B", Summary::of(&ours))];
    for (peer, theirs) in peers.into_iter().zip(&theirs) {
        let row = Row::new(format!("{what}: {}", peer.name()), "B", Summary::of(theirs));
        rows.push(row.beside(Comparison::of(theirs, &ours)).better(Better::More));
    }
    Ok(rows)
}

fn node(programs: &Programs) -> Result<Cluster> {
    let cluster = Cluster::builder(programs.workers.clone()).families(Families::V4).nodes(1);
    Ok(cluster.build()?)
}

/// The kernel memory of an agent with these Services, less that of one with none.
fn by_agent(programs: &Programs, all: &[Service]) -> Result<Option<f64>> {
    let mut charged = [0.0; 2];
    for (charged, services) in charged.iter_mut().zip([&all[..1], all]) {
        let cluster = node(programs)?;
        let manifests = Manifests::new(cluster.folder())?;
        manifests.write(services)?;
        let mut options = AgentOptions::new(&programs.sluice, manifests.folder());
        options.ready_within = Some(READY_WITHIN);
        for (flag, value) in size_flags(all.len() as u32, ENDPOINTS) {
            options = options.argument(flag).argument(value.to_string());
        }
        let Some(account) = Account::open()? else { return Ok(None) };
        let before = account.bytes()?;
        let agent = cluster.start_agent(NODE, &options)?;
        *charged = account.bytes()? - before;
        agent.stop()?;
    }
    Ok(Some(charged[1] - charged[0]))
}

/// The kernel memory that a peer's rules of these Services take.
fn by_peer(programs: &Programs, peer: Peer, all: &[Service]) -> Result<Option<f64>> {
    let cluster = node(programs)?;
    let address = cluster.addresses(NODE)?.first().copied().context("a node without address")?;
    let site = Site::of(address);
    let Some(account) = Account::open()? else { return Ok(None) };
    let work = || -> Result<f64> {
        peer.foundation(&site).apply()?;
        let before = account.bytes()?;
        peer.full(all, &site).apply()?;
        Ok(account.bytes()? - before)
    };
    Ok(Some(cluster.netns(NODE)?.enter(|| Ok(work()))??))
}
