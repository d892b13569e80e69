//! `cargo xtask bench`: what it costs. Everything is measured beside something it is held against, in
//! the same run and in turn, several times; what is reported is the median and how far the samples
//! spread. One file a measurement; what needs the inside of the agent is measured by
//! lb-userspace/benches/measure, which is started from here.
//!
//! The figures of one run may be held against each other, those of two machines may not.

mod machine;
mod manifests;
mod memory;
mod packets;
mod peers;
mod programming;
mod programs;
mod report;
mod requests;
mod samples;
mod services;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lb_testbed::AgentOptions;

use self::{
    machine::Machine,
    manifests::Manifests,
    memory::Memory,
    programs::Programs,
    report::{Budget, Report, Row, Section},
    samples::Summary,
};
use crate::{interrupt::Interrupt, rights};

const MIB: f64 = (1 << 20) as f64;
const RESIDENT_MIB: f64 = 64.0;
/// With its four endpoints.
const KERNEL_BYTES_A_SERVICE: f64 = 128.0 + 4.0 * 16.0;
/// An agent with very many services.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// What a measurement gives: its table, and which of the budgets were held.
type Measured = (Section, Vec<Budget>);

/// Settings of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Fewer and shorter rounds, and 1,000 services where else there are 10,000: three minutes
    #[arg(long)]
    quick: bool,
    /// Only one kind of measurement
    #[arg(long, value_enum, value_name = "KIND")]
    only: Option<Only>,
    /// Also write the report to a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Only {
    /// Nanoseconds a packet
    Packets,
    /// Objects in memory to tables in the kernel
    Programming,
    /// Whole agents: memory
    Agents,
    /// Requests a second, beside direct connections and kube-proxy's rules
    Requests,
}

/// The verb. It fails if something could not be measured; a budget that is not held is reported.
pub fn run(args: &Args) -> Result<()> {
    rights::demand(rights::NAMESPACES)?;
    rights::mount_bpffs()?;
    let programs = Programs::build()?;
    let interrupt = Interrupt::listen()?;
    let mut report = Report {
        machine: Machine::look(),
        kernel_object: programs.origin()?,
        quick: args.quick,
        sections: Vec::new(),
        budgets: Vec::new(),
    };
    println!("\n{}", report.heading());
    let wanted = |only| args.only.is_none_or(|wanted| wanted == only);
    if wanted(Only::Packets) {
        report.add(packets::measure(&programs, args.quick)?);
        report.add(packets::calls(&programs, args.quick)?);
        interrupt.check()?;
    }
    if wanted(Only::Programming) {
        report.add(programming::measure(&programs, args.quick)?);
        interrupt.check()?;
    }
    if wanted(Only::Agents) {
        agents(&mut report, &programs, &interrupt)?;
    }
    if wanted(Only::Requests) {
        let found = requests::measure(&programs, args.quick, &interrupt)?;
        found.into_iter().for_each(|one| report.add(one));
    }
    print!("{}", report.budgets());
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

impl Report {
    /// Takes a section in and shows it.
    fn add(&mut self, (section, budgets): Measured) {
        print!("{}", section.text());
        self.sections.push(section);
        self.budgets.extend(budgets);
    }
}

/// What whole agents take, with few services and many.
fn agents(report: &mut Report, programs: &Programs, interrupt: &Interrupt) -> Result<()> {
    let mut cluster = lb_testbed::Cluster::builder(programs.workers.clone()).nodes(1).build()?;
    cluster.add_pod("node1", "pod")?;
    let manifests = Manifests::new(cluster.folder())?;
    let mut options = AgentOptions::new(&programs.sluice, manifests.folder());
    options.ready_within = Some(READY_WITHIN);
    let mut memory = Vec::new();
    for services in [10, if report.quick { 1_000 } else { 10_000 }] {
        interrupt.check()?;
        manifests.write(&services::list(services, &[services::Family::V4], &[]))?;
        let started = Instant::now();
        let agent = cluster.start_agent("node1", &options)?;
        memory.push((services, started.elapsed(), Memory::of(agent.pid())?));
        agent.stop()?;
    }
    report.add(memory_section(&memory));
    Ok(())
}

fn memory_section(found: &[(u32, Duration, Memory)]) -> Measured {
    let mut rows = Vec::new();
    for (services, start, memory) in found {
        let mut row = |what: &str, unit, value: f64| {
            let what = format!("{what}, {services} services");
            rows.push(Row::new(what, unit, Summary::of(&[value])));
        };
        row("agent, resident", "MiB", memory.resident as f64 / MIB);
        row("agent, resident, without tables and program text", "MiB", memory.own as f64 / MIB);
        row("agent, most that was ever resident", "MiB", memory.peak as f64 / MIB);
        row("all tables", "MiB", memory.tables as f64 / MIB);
        row("agent's start until the tables are filled", "ms", start.as_secs_f64() * 1e3);
    }
    let mut budgets = Vec::new();
    if let Some((services, _, memory)) = found.last() {
        let what = format!("agent, resident, {services} services x {}", services::ENDPOINTS);
        let resident = memory.resident as f64 / MIB;
        budgets.push(Budget::at_most(&what, resident, RESIDENT_MIB, "MiB"));
    }
    if let [(_, _, few), .., (services, _, many)] = found {
        let grown = many.tables.saturating_sub(few.tables) as f64 / f64::from(*services);
        let what = "kernel memory a service beyond the tables' first size";
        budgets.push(Budget::at_most(what, grown, KERNEL_BYTES_A_SERVICE, "B"));
    }
    let notes = vec!["manifests as a file of YAML; tables of their default sizes".to_owned()];
    (Section { title: "Memory and start".to_owned(), notes, rows, plots: Vec::new() }, budgets)
}
