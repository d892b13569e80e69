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
mod scale;
mod services;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use lb_testbed::{Agent, AgentOptions};

use self::{
    machine::Machine,
    manifests::Manifests,
    programs::Programs,
    report::{Budget, Report, Section},
    requests::{Extent, Stage},
};
use crate::{interrupt::Interrupt, rights};

const MIB: f64 = (1 << 20) as f64;
/// Budgets: parts of the requests a second that a direct connection makes.
const CLUSTER_IP: f64 = 0.97;
const NODE_PORT: f64 = 0.95;
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
    /// Objects in memory to tables in the kernel, beside the peers' rules
    Programming,
    /// The kernel's for tables and rules, and an agent's own
    Memory,
    /// 100,000 services, a million endpoints
    Scale,
    /// Whole agents: requests a second
    Agents,
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
        report.add_all(programming::measure(&programs, args.quick, &interrupt)?);
    }
    if wanted(Only::Memory) {
        report.add_all(memory::measure(&programs, args.quick, &interrupt)?);
    }
    if wanted(Only::Scale) {
        report.add_all(scale::measure(&programs, args.quick, &interrupt)?);
    }
    if wanted(Only::Agents) {
        agents(&mut report, &programs, &interrupt)?;
    }
    print!("{}", report.budgets());
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

impl Report {
    /// Takes several in.
    fn add_all(&mut self, all: Vec<Measured>) {
        all.into_iter().for_each(|one| self.add(one));
    }

    /// Takes a section in and shows it.
    fn add(&mut self, (section, budgets): Measured) {
        print!("{}", section.text());
        self.sections.push(section);
        self.budgets.extend(budgets);
    }
}

/// Requests a second through whole agents, with few services and many.
fn agents(report: &mut Report, programs: &Programs, interrupt: &Interrupt) -> Result<()> {
    let (sizes, extent) = match report.quick {
        true => ([10, 1_000], Extent { rounds: 9, call: Duration::from_millis(400) }),
        false => ([10, 10_000], Extent { rounds: 31, call: Duration::from_millis(700) }),
    };
    let stage = Stage::raise(programs.workers.clone())?;
    let manifests = Manifests::new(stage.cluster.folder())?;
    let mut options = AgentOptions::new(&programs.sluice, manifests.folder());
    options.ready_within = Some(READY_WITHIN);
    let mut requests = requests_section(extent);
    let mut budgets = Vec::new();
    for services in sizes {
        manifests.write(&services::list(services, &[services::Family::V4], stage.services()))?;
        let agent = stage.cluster.start_agent("node1", &options)?;
        let other = stage.cluster.start_agent("node2", &options)?;
        let outcomes = stage.measure(services, extent, interrupt)?;
        let limits = [
            ("ClusterIP / direct", Some(CLUSTER_IP)),
            ("NodePort, backend there / direct", Some(NODE_PORT)),
            ("NodePort, backend elsewhere / direct", None),
        ];
        for (outcome, (what, limit)) in outcomes.into_iter().zip(limits) {
            let what = format!("requests a second, {what}, {services} services");
            budgets.extend(limit.map(|limit| Budget::at_least(&what, &outcome.comparison, limit)));
            requests.rows.extend(outcome.rows);
        }
        [agent, other].into_iter().map(Agent::stop).collect::<Result<Vec<_>, _>>()?;
    }
    report.add((requests, budgets));
    Ok(())
}

fn requests_section(extent: Extent) -> Section {
    let Extent { rounds, call } = extent;
    Section {
        title: "Requests a second".to_owned(),
        notes: vec![
            format!("{rounds} rounds of {call:?} on each side; IPv4, a connection a request"),
            "baseline: directly to the same server, by plain routing, from the same caller".into(),
            "packets between namespaces have partial checksums, so XDP leaves them to tc".into(),
        ],
        rows: Vec::new(),
        plots: Vec::new(),
    }
}
