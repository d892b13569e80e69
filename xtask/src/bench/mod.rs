//! `cargo xtask bench`: what it costs. Everything is measured beside something it is held against, in
//! the same run and in turn, several times; what is reported is the median and how far the samples
//! spread. One file a measurement; what needs the inside of the agent is measured by
//! lb-userspace/benches/measure, which is started from here.
//!
//! The figures of one run may be held against each other, those of two machines may not.

mod compare;
mod frames;
mod limits;
mod machine;
mod manifests;
mod memory;
mod model;
mod packets;
mod peers;
mod programming;
mod programs;
mod render;
mod report;
mod requests;
mod samples;
mod scale;
mod services;
mod upgrades;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use clap::ValueEnum;

use self::{
    compare::Difference,
    machine::Machine,
    programs::Programs,
    report::{Budget, Report, Section},
};
use crate::{interrupt::Interrupt, rights, workspace};

const MIB: f64 = (1 << 20) as f64;
/// An agent with very many services, on a machine that has other work to do.
const READY_WITHIN: Duration = Duration::from_secs(300);

/// What a measurement gives: its table, and which of the budgets were held.
type Measured = (Section, Vec<Budget>);

/// What `--help` says last.
const WHERE: &str = "\
The full run writes docs/bench.json, and of it docs/bench.md with its drawings, docs/cluster-cost.md
and the figures in README. A run that is --quick, has --only or compares is shown, and written only
where --out says.";

/// Settings of the verb.
#[derive(clap::Args)]
#[command(after_help = WHERE)]
pub struct Args {
    /// Fewer and shorter rounds, and 1,000 services where else there are 10,000: three minutes
    #[arg(long)]
    quick: bool,
    /// Only one kind of measurement
    #[arg(long, value_enum, value_name = "KIND")]
    only: Option<Only>,
    /// Write the report into this folder: bench.json, bench.md and the drawings in bench/
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure nothing: make the pages beside this bench.json anew
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only", "out", "compare"])]
    render: Option<PathBuf>,
    /// Say what has become worse since this bench.json, and fail if anything has: measured now, or
    /// in the second file, if there is one
    #[arg(long, num_args = 1..=2, value_names = ["OLD", "NEW"])]
    compare: Vec<PathBuf>,
    /// With --compare: changes up to this many percent, or within the spread of the samples if that
    /// is wider, are taken for noise
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, requires = "compare")]
    tolerance: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Nanoseconds a packet
    Packets,
    /// Packets a second
    Frames,
    /// Objects in memory to tables in the kernel, beside the peers' rules
    Programming,
    /// The kernel's for tables and rules, and an agent's own
    Memory,
    /// 100,000 services, a million endpoints
    Scale,
    /// Requests a second, beside direct connections and kube-proxy's rules
    Requests,
    /// Connections that fail while agents are killed and replaced
    Upgrades,
}

/// The verb. It fails if something could not be measured, or has become worse than in a report
/// that it is to be compared with; a budget that is not held is reported.
pub fn run(args: &Args) -> Result<()> {
    if let Some(json) = &args.render {
        return render::again(json);
    }
    let old = args.compare.first().map(|path| render::read(path)).transpose()?;
    let new = match args.compare.get(1) {
        Some(path) => render::read(path)?,
        None => measure(args)?,
    };
    let whole = !args.quick && args.only.is_none() && args.compare.is_empty();
    if let Some(folder) = args.out.clone().or_else(|| whole.then(render::docs)) {
        render::write(&folder, &new)?;
    }
    let Some(old) = old else { return Ok(()) };
    let difference = Difference::between(&old, &new, args.tolerance);
    print!("{}", difference.text());
    difference.verdict()
}

/// Measures, and keeps what was found until then if anything fails.
fn measure(args: &Args) -> Result<Report> {
    rights::demand(rights::NAMESPACES)?;
    rights::mount_bpffs()?;
    let programs = Programs::build()?;
    let began = Instant::now();
    let mut report = Report {
        machine: Machine::look(),
        kernel_object: programs.origin()?,
        quick: args.quick,
        command: args.command(),
        took_s: 0.0,
        sections: Vec::new(),
        budgets: Vec::new(),
    };
    println!("\n{}", report.heading());
    let done = measure_all(&mut report, args, &programs);
    report.took_s = began.elapsed().as_secs_f64();
    print!("{}", report.budgets());
    if let Err(error) = done {
        let folder = workspace::root().join("target/bench");
        render::write(&folder, &report)?;
        return Err(error.context(format!("what was measured is in {}", folder.display())));
    }
    Ok(report)
}

/// Everything that is wanted, shown as it is found.
fn measure_all(report: &mut Report, args: &Args, programs: &Programs) -> Result<()> {
    let interrupt = Interrupt::listen()?;
    let quick = args.quick;
    let wanted = |only| args.only.is_none_or(|wanted| wanted == only);
    if wanted(Only::Requests) {
        report.add_all(requests::measure(programs, quick, &interrupt)?);
    }
    if wanted(Only::Packets) {
        report.add(packets::measure(programs, quick)?);
        report.add(packets::calls(programs, quick)?);
        interrupt.check()?;
    }
    if wanted(Only::Memory) {
        report.add_all(memory::measure(programs, quick, &interrupt)?);
    }
    if wanted(Only::Programming) {
        report.add_all(programming::measure(programs, quick, &interrupt)?);
    }
    if wanted(Only::Upgrades) {
        report.add(upgrades::measure(programs, quick, &interrupt)?);
    }
    if wanted(Only::Frames) {
        report.add(frames::measure(programs, quick)?);
        interrupt.check()?;
    }
    if wanted(Only::Scale) {
        report.add(limits::measure(programs, quick)?);
        interrupt.check()?;
        report.add_all(scale::measure(programs, quick, &interrupt)?);
    }
    Ok(())
}

impl Args {
    /// The command that measures the same.
    fn command(&self) -> String {
        let quick = self.quick.then(|| " --quick".to_owned());
        let kind = self.only.as_ref().and_then(ValueEnum::to_possible_value);
        let only = kind.map(|kind| format!(" --only {}", kind.get_name()));
        ["cargo xtask bench".to_owned()].into_iter().chain(quick).chain(only).collect()
    }
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
