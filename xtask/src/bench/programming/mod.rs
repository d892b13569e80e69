//! From objects in memory to the kernel: all Services at once, and one endpoint's change, beside the
//! programs that kube-proxy has its rules taken by; and what a whole agent takes for many changes.
//!
//! A peer's time is the program's alone, from its start to its end, given the text: what kube-proxy
//! takes to make that text is left out. Ours begins with the objects and ends with the tables.

mod agent;
mod inside;

use anyhow::{Context as _, Result};
use lb_testbed::{Cluster, Families};

pub use self::{
    agent::processor_s,
    inside::{Extent, Found, Table},
};
use super::{
    Measured,
    peers::Peer,
    programs::Programs,
    report::{Axis, Bar, Better, Budget, Line, Plot, Row, Section},
    samples::{Comparison, Summary, percentile},
    services::{self, ENDPOINTS, Family, Service, Site},
};
use crate::interrupt::Interrupt;

/// The size that budgets are for.
const BUDGETED: u32 = 10_000;
pub const MS: f64 = 1e-6;
pub const US: f64 = 1e-3;
const PEERS: [Peer; 2] = [Peer::Iptables, Peer::Nftables];

/// How often what is measured with so many services.
#[derive(Clone, Copy, Debug)]
struct Effort {
    services: u32,
    rounds: u32,
    /// In each round.
    changes: u32,
    /// Of each peer, in the order of [`PEERS`].
    peers: [PeerEffort; PEERS.len()],
}

/// In how many of the rounds a peer takes part, and how many changes it takes in each: with many
/// services they take seconds, and all services more than a minute.
#[derive(Clone, Copy, Debug)]
struct PeerEffort {
    rounds: u32,
    changes: u32,
}

/// Samples of a peer, in nanoseconds.
#[derive(Clone, Debug, Default)]
struct Beside {
    load: Vec<f64>,
    change: Vec<f64>,
}

/// What was found with so many services.
struct Size {
    services: u32,
    ours: Found,
    theirs: [Beside; PEERS.len()],
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool, interrupt: &Interrupt) -> Result<Vec<Measured>> {
    let effort = |services, rounds, changes, peers: [(u32, u32); PEERS.len()]| {
        let peers = peers.map(|(rounds, changes)| PeerEffort { rounds, changes });
        Effort { services, rounds, changes, peers }
    };
    let efforts = match quick {
        true => vec![
            effort(10, 5, 100, [(5, 3); 2]),
            effort(1_000, 5, 100, [(1, 3); 2]),
            effort(BUDGETED, 5, 200, [(0, 0); 2]),
        ],
        false => vec![
            effort(10, 7, 600, [(7, 10); 2]),
            effort(1_000, 7, 600, [(5, 6); 2]),
            effort(BUDGETED, 7, 600, [(5, 3), (1, 3)]),
            effort(30_000, 5, 600, [(1, 3), (0, 0)]),
        ],
    };
    let cluster =
        Cluster::builder(programs.workers.clone()).families(Families::V4).nodes(1).build()?;
    let mut sizes = Vec::new();
    for effort in efforts {
        sizes.push(size(programs, &cluster, effort, interrupt)?);
    }
    drop(cluster);
    let whole = agent::measure(programs, quick, interrupt)?;
    Ok(vec![section(&sizes), (whole, Vec::new())])
}

fn size(
    programs: &Programs,
    cluster: &Cluster,
    effort: Effort,
    interrupt: &Interrupt,
) -> Result<Size> {
    let Effort { services, rounds, changes, peers } = effort;
    let all = services::list(services, &[Family::V4], &[]);
    let extent = Extent { services, endpoints: ENDPOINTS, loads: 1, changes, audits: 0 };
    let mut found = Size { services, ours: Found::default(), theirs: Default::default() };
    for round in 0..rounds {
        interrupt.check()?;
        found.ours.absorb(Found::of(programs, extent)?);
        for ((peer, effort), theirs) in PEERS.into_iter().zip(peers).zip(&mut found.theirs) {
            if round < effort.rounds {
                beside(cluster, peer, &all, effort.changes, theirs, interrupt)?;
            }
        }
    }
    Ok(found)
}

/// Everything into a peer's rules, and then changes that take an endpoint away and give it back.
fn beside(
    cluster: &Cluster,
    peer: Peer,
    all: &[Service],
    changes: u32,
    found: &mut Beside,
    interrupt: &Interrupt,
) -> Result<()> {
    let node = cluster.addresses("node1")?.first().copied().context("a node without address")?;
    let site = Site::of(node);
    let netns = cluster.netns("node1")?;
    let mut work = || -> Result<()> {
        interrupt.check()?;
        peer.foundation(&site).apply()?;
        found.load.push(peer.full(all, &site).apply()?.as_nanos() as f64);
        let mut now = all.to_vec();
        for number in 0..changes {
            interrupt.check()?;
            let at = number as usize / 2 * 7_919 % now.len();
            let before = all[at].clone();
            let mut less = before.clone();
            less.endpoints.pop();
            let (from, to) = if number % 2 == 0 { (before, less) } else { (less, before) };
            now[at] = to.clone();
            let took = peer.change(&now, &from, &to, &site).apply()?;
            found.change.push(took.as_nanos() as f64);
        }
        // What is left of it must not stand beside the other's.
        peer.foundation(&site).apply()?;
        Ok(())
    };
    netns.enter(|| Ok(work()))??;
    Ok(())
}

fn section(sizes: &[Size]) -> Measured {
    let (mut rows, mut budgets) = (Vec::new(), Vec::new());
    for size in sizes {
        let with = format!("{} services x {ENDPOINTS}", size.services);
        let Found { creation, load, change, .. } = &size.ours;
        rows.push(Row::new(
            format!("programs and empty tables made, {with}"),
            "ms",
            Summary::of(creation).times(MS),
        ));
        rows.extend(compared(
            &format!("everything loaded, {with}"),
            "ms",
            MS,
            &load.total,
            |b| &b.load,
            size,
        ));
        rows.extend(parts(size, &format!("everything loaded, {with}")));
        rows.extend(compared(
            &format!("one endpoint changed, {with}"),
            "us",
            US,
            &change.total,
            |b| &b.change,
            size,
        ));
        let worst = percentile(&change.total, 99) * US;
        let p99 = Row::new(format!("one endpoint changed, {with}, p99"), "us", one(worst));
        rows.push(p99);
        let ops = Row::new(
            format!("one endpoint changed, {with}: operations"),
            "",
            Summary::of(&change.ops),
        );
        rows.push(ops);
        if size.services == BUDGETED {
            let loaded = Summary::of(&load.total).median * MS;
            let calls: f64 = change.calls.iter().sum();
            budgets.extend([
                Budget::of(Bar::Load, format!("load {with} from memory"), loaded),
                Budget::of(Bar::Change, format!("one endpoint changed at {with}, p99"), worst),
                Budget::of(Bar::ChangeCalls, Bar::ChangeCalls.what(), calls),
            ]);
        }
    }
    let notes = vec![
        "sluice: from objects in memory to tables; a peer: only the program that takes the rules, \
         not what kube-proxy does to make them"
            .to_owned(),
        "a peer's ratio is its time to sluice's".to_owned(),
        counts(sizes),
        "making programs and tables is not in the loading: it is done at a node's first start"
            .to_owned(),
    ];
    let title = "Programming".to_owned();
    (Section { title, notes, rows, plots: plots(sizes) }, budgets)
}

/// How often peers took part.
fn counts(sizes: &[Size]) -> String {
    let mut told = Vec::new();
    for Size { services, theirs, .. } in sizes {
        for (peer, Beside { load, change }) in PEERS.into_iter().zip(theirs) {
            let (name, loads, changes) = (peer.name(), load.len(), change.len());
            told.push(match loads {
                0 => format!("{name} with {services} not at all"),
                _ => format!("{name} with {services} {loads} times, and {changes} changes"),
            });
        }
    }
    format!("peers took all services in one transaction: {}", told.join("; "))
}

fn compared(
    what: &str,
    unit: &str,
    factor: f64,
    ours: &[f64],
    of: fn(&Beside) -> &Vec<f64>,
    size: &Size,
) -> Vec<Row> {
    let scaled = |samples: &[f64]| -> Vec<f64> { samples.iter().map(|one| one * factor).collect() };
    let ours = scaled(ours);
    let mut rows = vec![Row::new(format!("{what}: sluice"), unit, Summary::of(&ours))];
    for (peer, theirs) in PEERS.into_iter().zip(&size.theirs) {
        let theirs = scaled(of(theirs));
        if !theirs.is_empty() {
            let row = Row::new(format!("{what}: {}", peer.name()), unit, Summary::of(&theirs));
            rows.push(row.beside(Comparison::of(&theirs, &ours)).better(Better::More));
        }
    }
    rows
}

/// Where the time of loading goes.
fn parts(size: &Size, what: &str) -> Vec<Row> {
    let load = &size.ours.load;
    let parts = [("model", &load.model), ("plan", &load.plan), ("write", &load.write)];
    let row = |(part, samples): (&str, &Vec<f64>)| {
        Row::new(format!("{what}, of that {part}"), "ms", Summary::of(samples).times(MS))
    };
    parts.map(row).into()
}

fn plots(sizes: &[Size]) -> Vec<Plot> {
    let plot = |title: &str,
                y: &str,
                factor,
                ours: fn(&Found) -> &Vec<f64>,
                theirs: fn(&Beside) -> &Vec<f64>| {
        let mut lines = vec![line("sluice", sizes, |size| ours(&size.ours), factor)];
        for (index, peer) in PEERS.into_iter().enumerate() {
            lines.push(line(peer.name(), sizes, |size| theirs(&size.theirs[index]), factor));
        }
        Plot { title: title.to_owned(), x: Axis::log("services"), y: Axis::log(y), lines }
    };
    vec![
        plot("Loading all services", "ms", MS, |found| &found.load.total, |beside| &beside.load),
        plot(
            "One endpoint changed",
            "us",
            US,
            |found| &found.change.total,
            |beside| &beside.change,
        ),
    ]
}

fn line<'a>(
    name: &str,
    sizes: &'a [Size],
    of: impl Fn(&'a Size) -> &'a Vec<f64>,
    factor: f64,
) -> Line {
    let points = sizes.iter().filter(|size| !of(size).is_empty());
    let points = points.map(|size| (size.services.into(), Summary::of(of(size)).times(factor)));
    Line { name: name.to_owned(), points: points.collect() }
}

/// A single value.
pub fn one(value: f64) -> Summary {
    Summary::of(&[value])
}

/// A row that is better when it is lower, though its unit does not say so.
pub fn less(what: impl Into<String>, unit: &str, found: Summary) -> Row {
    Row::new(what, unit, found).better(Better::Less)
}
