//! `cargo xtask demo`: a tour of a real cluster that fits into one machine. Three nodes out of
//! network namespaces, six pods of a web service, a client outside, the real agent on each node,
//! and a real connection for everything that is claimed.

mod change;
mod expect;
mod keep;
mod manifests;
mod scenario;
mod show;
mod stage;
mod tables;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use lb_testbed::{Families, Launcher};

use self::{
    change::CHANGES,
    expect::{About, Facts, Finding, judge},
    scenario::{NOT_PROXIED, SCENARIOS, Scenario, after_a_change},
    stage::{Plan, Stage},
    tables::Family,
};
use crate::{command, interrupt::Interrupt, kernel_object, rights, workspace};

/// A second sample, after one that looked uneven, is larger by this: chance evens out, a fault
/// does not.
const SECOND_SAMPLE: u64 = 3;

/// Settings of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Leave the cluster standing afterwards, until Enter or Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Requests whose spread is judged
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(600..))]
    requests: u64,
    /// Address families of the cluster
    #[arg(long, value_enum, default_value = "both")]
    family: FamilyChoice,
    /// Give the nodes devices like network cards and let XDP take what it can; on plain veth
    /// devices agents leave everything to tc
    #[arg(long)]
    xdp: bool,
    /// Use this agent instead of building one
    #[arg(long, value_name = "PATH")]
    sluice: Option<PathBuf>,
    /// Further arguments for the agents
    #[arg(last = true)]
    agent_arguments: Vec<OsString>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum FamilyChoice {
    V4,
    V6,
    Both,
}

impl From<FamilyChoice> for Families {
    fn from(choice: FamilyChoice) -> Self {
        match choice {
            FamilyChoice::V4 => Self::V4,
            FamilyChoice::V6 => Self::V6,
            FamilyChoice::Both => Self::Both,
        }
    }
}

/// Settings of the verb that runs a command in a standing cluster.
#[derive(clap::Args)]
pub struct EnterArgs {
    /// The cluster's name, as `demo --keep` shows it
    cluster: String,
    /// `client`, a node or a pod
    place: String,
    /// The command
    #[arg(last = true)]
    command: Vec<OsString>,
}

/// Runs a command in a place of a cluster that `demo --keep` left standing.
pub fn enter(args: EnterArgs) -> Result<()> {
    let launcher = Launcher::this_program()?;
    let status = lb_testbed::enter(&launcher, &args.cluster, &args.place, args.command)?;
    if !status.success() {
        bail!("it ended with {status}");
    }
    Ok(())
}

/// The tour. Fails if anything is not as it should be.
pub fn run(args: &Args) -> Result<()> {
    rights::demand(rights::NAMESPACES)?;
    let sluice = match &args.sluice {
        Some(path) => path.clone(),
        None => build_agent()?,
    };
    let interrupt = Interrupt::listen()?;
    let bar = progress();
    let plan = Plan {
        families: args.family.into(),
        like_hardware: args.xdp,
        sluice,
        examples: workspace::root().join("deploy/examples"),
        agent_arguments: args.agent_arguments.clone(),
    };
    let stage = Stage::raise(&plan, &|doing| bar.set_message(doing.to_owned()))?;
    let mut tour =
        Tour { stage, bar, requests: args.requests, interrupt, held: 0, off: Vec::new() };
    tour.introduce();
    tour.scenarios(SCENARIOS)?;
    tour.not_proxied();
    tour.changes()?;
    tour.packet_filters()?;
    tour.bar.finish_and_clear();
    tour.summary();
    if args.keep {
        keep::keep(&tour.stage, &tour.interrupt)?;
    }
    match tour.off.len() {
        0 => Ok(()),
        off => bail!("{off} of {} expectations did not hold", off + tour.held),
    }
}

/// Builds the agent with the same cargo, into the folder this program is in.
fn build_agent() -> Result<PathBuf> {
    kernel_object::prepare()?;
    let mut build = command::cargo();
    build.args(["build", "--quiet", "--package", "lb-userspace", "--bin", "sluice"]);
    command::run(&mut build)?;
    let here = std::env::current_exe()?;
    let sluice = here.with_file_name("sluice");
    if !sluice.is_file() {
        bail!("cargo has not put sluice beside {}", here.display());
    }
    Ok(sluice)
}

fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

struct Tour {
    stage: Stage,
    bar: ProgressBar,
    requests: u64,
    interrupt: Interrupt,
    held: usize,
    off: Vec<String>,
}

impl Tour {
    fn print(&self, text: &str) {
        self.bar.suspend(|| print!("{text}"));
    }

    /// Counts findings and remembers what did not hold.
    fn count(&mut self, title: &str, findings: &[Finding]) {
        for finding in findings {
            if finding.held {
                self.held += 1;
            } else {
                self.off.push(format!("{title}: {} ({})", finding.expected, finding.found));
            }
        }
    }

    fn introduce(&self) {
        let (services, endpoints) = self.stage.tables().size();
        let nodes: Vec<&str> = self.stage.cluster.nodes().collect();
        let pods = self.stage.cluster.pods().count();
        let name = self.stage.cluster.name();
        if self.stage.cluster.mounted_bpffs() {
            self.print("bpffs was not mounted and now is, at /sys/fs/bpf\n");
        }
        self.print(&format!(
            "Cluster {name}: {} with {pods} pods, and a client outside.\n\
             Each node's kernel has {services} service ports with {endpoints} endpoints.\n",
            nodes.join(", ")
        ));
    }

    fn scenarios(&mut self, scenarios: &[Scenario]) -> Result<()> {
        let mut example = "";
        for scenario in scenarios {
            for family in self.stage.families_of(scenario) {
                self.interrupt.check()?;
                if scenario.example != example {
                    example = scenario.example;
                    self.print(&format!("{}\n", show::example(example)));
                }
                self.bar.set_message(format!("{} ({})", scenario.title, family.name()));
                self.scenario(scenario, *family)
                    .with_context(|| format!("{} ({})", scenario.title, family.name()))?;
            }
        }
        Ok(())
    }

    fn scenario(&mut self, scenario: &Scenario, family: Family) -> Result<()> {
        let (facts, report, findings) = self.play(scenario, family, self.requests)?;
        self.print(&show::scenario(scenario, family, &facts, &report, &findings));
        let title = format!("{} ({})", scenario.title, family.name());
        let only_uneven = findings.iter().all(|one| one.held || one.about == About::Spread);
        if !only_uneven || findings.iter().all(|one| one.held) {
            self.count(&title, &findings);
            return Ok(());
        }
        // Among many samples chance alone makes one look uneven now and then.
        self.print("    once more, with a larger sample, in which chance has less room:\n");
        let requests = self.requests * SECOND_SAMPLE;
        let (facts, report, findings) = self.play(scenario, family, requests)?;
        self.print(&show::scenario(scenario, family, &facts, &report, &findings));
        self.count(&title, &findings);
        Ok(())
    }

    fn play(
        &self,
        scenario: &Scenario,
        family: Family,
        requests: u64,
    ) -> Result<(Facts, lb_testbed::Report, Vec<Finding>)> {
        let (facts, report) = self.stage.play(scenario, family, requests)?;
        let findings = judge(scenario.expected, &facts, &report);
        Ok((facts, report, findings))
    }

    fn not_proxied(&mut self) {
        for (example, service) in NOT_PROXIED {
            let there = self.stage.tables().has(service);
            let finding = Finding {
                about: About::Who,
                expected: format!("{service} is not in the tables: it is a matter of DNS"),
                found: if there { "it is".into() } else { "so it is".into() },
                held: !there,
            };
            self.print(&format!("{}\n\n{}", show::example(example), show::line(&finding)));
            self.count(service, &[finding]);
        }
    }

    fn changes(&mut self) -> Result<()> {
        for (change, node) in CHANGES {
            self.interrupt.check()?;
            let title = change.title();
            self.bar.set_message(title.clone());
            let findings = change::make(&mut self.stage, change).context(title.clone())?;
            self.print(&show::change(&title, &findings));
            self.count(&title, &findings);
            let family = self.stage.families()[0];
            for scenario in after_a_change(node) {
                self.scenario(&scenario, family)?;
            }
        }
        Ok(())
    }

    fn packet_filters(&mut self) -> Result<()> {
        let found = self.stage.cluster.firewall_tables()?;
        let tables: Vec<String> = found
            .iter()
            .map(|(place, table)| format!("{place}: {} {}", table.tool, table.name))
            .collect();
        let finding = Finding {
            about: About::Server,
            expected: "no namespace has an iptables, ip6tables or nft table".into(),
            found: if tables.is_empty() { "looked in each".into() } else { tables.join(", ") },
            held: tables.is_empty(),
        };
        self.print(&show::change("packet filters", std::slice::from_ref(&finding)));
        self.count("packet filters", &[finding]);
        Ok(())
    }

    fn summary(&self) {
        println!();
        for off in &self.off {
            println!("  off: {off}");
        }
        println!("{} expectations held, {} did not.", self.held, self.off.len());
    }
}
