//! Memory: the kernel's for tables, beside what it takes for the peers' rules of the same Services;
//! and an agent's own.

mod account;
mod tables;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lb_testbed::{AgentOptions, Cluster, Families};

use super::{
    MIB, Measured, READY_WITHIN,
    machine::field,
    manifests::Manifests,
    programs::Programs,
    report::{Bar, Budget, Row, Section},
    samples::Summary,
    services::{self, ENDPOINTS, Family},
};
use crate::interrupt::Interrupt;

const NODE: &str = "node1";
const RESIDENT_MIB: f64 = 64.0;
/// The size that the budget for residents is for.
const BUDGETED: u32 = 10_000;
/// How long an agent is given after its start to give back what only the start needed.
const SETTLING: Duration = Duration::from_secs(3);

/// Measures.
pub fn measure(programs: &Programs, quick: bool, interrupt: &Interrupt) -> Result<Vec<Measured>> {
    let sizes: &[u32] = if quick { &[1_000, BUDGETED] } else { &[1_000, BUDGETED, 100_000] };
    let kernel = tables::measure(programs, quick, interrupt)?;
    Ok(vec![kernel, agents(programs, sizes, interrupt)?])
}

/// Whole agents, that follow a file of manifests.
fn agents(programs: &Programs, sizes: &[u32], interrupt: &Interrupt) -> Result<Measured> {
    let (mut rows, mut budgets) = (Vec::new(), Vec::new());
    for services in sizes {
        interrupt.check()?;
        let cluster = Cluster::builder(programs.workers.clone()).families(Families::V4).nodes(1);
        let cluster = cluster.build()?;
        let manifests = Manifests::new(cluster.folder())?;
        manifests.write(&services::list(*services, &[Family::V4], &[]))?;
        let mut options = AgentOptions::new(&programs.sluice, manifests.folder());
        options.ready_within = Some(READY_WITHIN);
        for (flag, value) in size_flags(*services, ENDPOINTS) {
            options = options.argument(flag).argument(value.to_string());
        }
        let started = Instant::now();
        let agent = cluster.start_agent(NODE, &options)?;
        let start = started.elapsed();
        std::thread::sleep(SETTLING);
        let memory = Memory::of(agent.pid())?;
        agent.stop()?;
        let with = format!("{services} services x {ENDPOINTS}");
        let mut row = |what: &str, unit, value: f64| {
            rows.push(Row::new(format!("{what}, {with}"), unit, Summary::of(&[value])));
        };
        let resident = memory.resident as f64 / MIB;
        row("agent, resident", "MiB", resident);
        row("agent, resident, its own", "MiB", memory.own as f64 / MIB);
        row("agent, most that was ever resident", "MiB", memory.peak as f64 / MIB);
        row("all tables", "MiB", memory.tables as f64 / MIB);
        row("agent's start until the tables are filled", "ms", start.as_secs_f64() * 1e3);
        if *services == BUDGETED {
            let what = format!("agent, resident, {with}");
            budgets.push(Budget::at_most(&what, resident, RESIDENT_MIB, "MiB").of(Bar::Resident));
        }
    }
    let notes = vec![
        format!("manifests as a file of YAML; looked at {SETTLING:?} after the start"),
        "resident: with program text, and with the rows of tables that the agent has written and \
         maps; its own: without"
            .to_owned(),
    ];
    let title = "Memory of an agent".to_owned();
    Ok((Section { title, notes, rows, plots: Vec::new() }, budgets))
}

/// The flags without which so many Services do not fit, with room for an eighth more.
pub fn size_flags(services: u32, endpoints: u32) -> Vec<(&'static str, u32)> {
    let more = |count: u32| count + count / 8;
    let all = services * endpoints;
    // The defaults, which stay where they are enough.
    let flags = [
        ("--max-services", more(services), 1 << 16),
        ("--max-frontends", more(2 * services), 1 << 17),
        ("--max-backends", more(all), 1 << 18),
        ("--max-slots", more(all), 1 << 22),
    ];
    let needed = flags.into_iter().filter(|(_, needed, default)| needed > default);
    needed.map(|(flag, needed, _)| (flag, needed)).collect()
}

/// What one agent takes, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident, all of it; rows of tables that it has written are part of it.
    pub resident: u64,
    /// Resident, its own alone.
    pub own: u64,
    /// The most that was ever resident.
    pub peak: u64,
    /// All tables it has open, as the kernel accounts for them.
    pub tables: u64,
}

impl Memory {
    /// Of a process.
    pub fn of(pid: u32) -> Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let status = fs::read_to_string(process.join("status")).context("the agent is gone")?;
        let kib = |name: &str| -> Result<u64> {
            let value = field(&status, name);
            let number = value.split(' ').next().unwrap_or_default().parse::<u64>();
            Ok(1024 * number.with_context(|| format!("no {name} in its status"))?)
        };
        Ok(Self {
            resident: kib("VmRSS")?,
            own: kib("RssAnon")?,
            peak: kib("VmHWM")?,
            tables: tables(&process)?,
        })
    }
}

/// The sum over all maps that a process has open, each counted once.
fn tables(process: &Path) -> Result<u64> {
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir(process.join("fdinfo"))? {
        let path: PathBuf = entry?.path();
        // A descriptor may have been closed meanwhile.
        let Ok(info) = fs::read_to_string(path) else { continue };
        if let (Ok(id), Ok(bytes)) =
            (field(&info, "map_id").parse::<u64>(), field(&info, "memlock").parse::<u64>())
        {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum())
}
