//! `cargo xtask test`: the ladder of proof, each rung resting on the one below.
//!
//! | rung | what | needs |
//! | --- | --- | --- |
//! | unit | every crate's own tests, on this machine's processor | nothing |
//! | packets | packet tables through the kernel's test-run | root, as do those below |
//! | sockets | real sockets in a private cgroup | |
//! | netns | the testbed itself, devices, real tables and hooks, whole agents, also on an API server that fails | |
//!
//! A rung that lacks a right fails; it is never passed over. Two more stand beside the ladder:
//! `api-server`, as few machines have what it needs, whole agents on a real API server; and
//! [`kernels`], as it takes minutes and downloads a kernel.

mod kernels;
mod tally;

use crate::{command, kernel_object, rights, workspace};
use anyhow::{Context as _, Result, bail};
use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tally::Tally;

/// Features without which cargo does not so much as build the tests above the first rung.
pub const PRIVILEGED_TESTS: &str = "lb-userspace/privileged,lb-testbed/privileged";

/// The feature of those that also need the programs of a real API server.
pub const API_SERVER_TESTS: &str = "lb-userspace/k8slab";

/// The feature of those that also need SCTP sockets.
pub const SCTP_TESTS: &str = "lb-userspace/sctp";

/// The setting with the folder of a real API server's programs, also for the tests themselves.
const K8SLAB: &str = "SLUICE_K8SLAB";
/// What such a folder holds.
const K8SLAB_PROGRAMS: [&str; 2] = ["etcd", "k8slab"];

/// Settings of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// How far up the ladder: one rung, or all
    #[arg(value_enum, default_value = "all")]
    rung: Choice,
    /// Folder with etcd and k8slab, for `api-server`
    #[arg(long, env = K8SLAB, value_name = "DIR")]
    k8slab: Option<PathBuf>,
    /// Debian package of a kernel, for `kernels` [default: Debian's current one, by apt]
    #[arg(long, value_name = "FILE.deb")]
    kernel: Vec<PathBuf>,
    /// Measure instead, with release builds: latency of a change, memory, time to start
    #[arg(long)]
    measure: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    Unit,
    Packets,
    Sockets,
    Netns,
    /// The four above
    All,
    /// Not part of all: whole agents on a real API server
    ApiServer,
    /// Not part of all, as it takes minutes and downloads a kernel: program loads and SCTP sockets
    /// under other kernels, in an emulator
    Kernels,
}

/// One rung above the unit tests.
struct Rung {
    choice: Choice,
    name: &'static str,
    targets: &'static [Target],
}

const fn agent(name: &'static str) -> Target {
    Target { folder: "lb-userspace", name }
}

const PRIVILEGED: [Rung; 3] = [
    Rung { choice: Choice::Packets, name: "packets", targets: &[agent("packets")] },
    Rung { choice: Choice::Sockets, name: "sockets", targets: &[agent("sockets")] },
    Rung {
        choice: Choice::Netns,
        name: "netns",
        targets: &[
            Target { folder: "xtask/testbed", name: "cluster" },
            agent("netdev"),
            agent("tables"),
            agent("netns"),
            agent("churn"),
            agent("flood"),
            agent("kube"),
        ],
    },
];

/// A privileged test target.
struct Target {
    folder: &'static str,
    name: &'static str,
}

/// What came of one rung.
struct Outcome {
    name: &'static str,
    tally: Tally,
    took: Duration,
    failure: Option<String>,
}

/// The verb.
pub fn run(args: &Args) -> Result<()> {
    kernel_object::prepare()?;
    let wanted = |choice| args.rung == Choice::All || args.rung == choice;
    let mut outcomes = Vec::new();
    if wanted(Choice::Unit) {
        outcomes.push(climb("unit", unit));
    }
    for rung in PRIVILEGED.iter().filter(|rung| wanted(rung.choice)) {
        let targets = rung.present();
        if targets.is_empty() && args.rung == Choice::All {
            println!("\n{}: this checkout has no such tests", rung.name);
            continue;
        }
        outcomes.push(climb(rung.name, |tally| privileged(&targets, tally)));
    }
    if args.rung == Choice::ApiServer {
        outcomes.push(climb("api-server", |tally| api_server(args, tally)));
    }
    if args.rung == Choice::Kernels {
        outcomes.push(climb("kernels", |tally| kernels::run(&args.kernel, tally)));
    }
    println!();
    for outcome in &outcomes {
        println!("{}", outcome.line());
    }
    let failed = outcomes.iter().filter(|outcome| outcome.failure.is_some());
    let names: Vec<&str> = failed.map(|outcome| outcome.name).collect();
    if !names.is_empty() {
        bail!("failed: {}", names.join(", "));
    }
    Ok(())
}

/// The whole ladder.
pub fn run_all() -> Result<()> {
    run(&Args { rung: Choice::All, k8slab: None, kernel: Vec::new(), measure: false })
}

fn climb(name: &'static str, rung: impl FnOnce(&mut Tally) -> Result<()>) -> Outcome {
    let started = Instant::now();
    let mut tally = Tally::default();
    let failure = rung(&mut tally).err().map(|error| format!("{error:#}"));
    Outcome { name, tally, took: started.elapsed(), failure }
}

fn unit(tally: &mut Tally) -> Result<()> {
    let mut cargo = command::cargo();
    cargo.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    counted(&mut cargo, tally)
}

fn privileged(targets: &[&Target], tally: &mut Tally) -> Result<()> {
    if targets.is_empty() {
        bail!("this checkout has no such tests");
    }
    prepare(&[], &["--bin", "sluice", "--bin", "lb-testbed"])?;
    let mut cargo = with_privileged("test");
    cargo.arg("--no-fail-fast");
    for target in targets {
        cargo.args(["--test", target.name]);
    }
    // These tests share what there is once a machine: pins, cgroups, one kernel's tables.
    cargo.args(["--", "--test-threads=1"]);
    some(&mut cargo, tally)
}

/// The tests against a real API server, or the measurements there.
fn api_server(args: &Args, tally: &mut Tally) -> Result<()> {
    let whole =
        |folder: &&Path| K8SLAB_PROGRAMS.iter().all(|program| folder.join(program).is_file());
    let Some(folder) = args.k8slab.as_deref().filter(whole) else {
        bail!("--k8slab must name a folder with the programs {}", K8SLAB_PROGRAMS.join(" and "));
    };
    let profile: &[&str] = if args.measure { &["--release"] } else { &[] };
    let programs = ["--bin", "sluice", "--bin", "lb-testbed", "--example", "reflector"];
    prepare(profile, &programs)?;
    let mut cargo = with_privileged("test");
    cargo.args(profile).args(["--features", API_SERVER_TESTS, "--test", "k8slab"]);
    cargo.args(["--", "--test-threads=1"]);
    if args.measure {
        cargo.args(["--ignored", "--nocapture"]);
    }
    cargo.env(K8SLAB, folder.canonicalize()?);
    some(&mut cargo, tally)
}

/// What privileged tests need and start.
fn prepare(profile: &[&str], programs: &[&str]) -> Result<()> {
    rights::demand(rights::NAMESPACES)?;
    rights::mount_bpffs()?;
    command::run(with_privileged("build").args(profile).args(programs))
}

/// Runs tests, of which there has to be at least one.
fn some(cargo: &mut Command, tally: &mut Tally) -> Result<()> {
    counted(cargo, tally)?;
    if tally.passed == 0 {
        bail!("no test ran");
    }
    Ok(())
}

/// Cargo on the whole workspace, so that no dependency is built a second time for other features,
/// with every privileged target open.
fn with_privileged(verb: &str) -> Command {
    let mut cargo = command::cargo();
    cargo.args([verb, "--locked", "--workspace"]);
    cargo.args(["--features", PRIVILEGED_TESTS]);
    cargo
}

/// Runs tests, showing what they print and counting what they say of themselves.
fn counted(command: &mut Command, tally: &mut Tally) -> Result<()> {
    println!("\n{}", command::shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command::shown(command)))?;
    let output = child.stdout.take().context("a child without output")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.count(&line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{} failed ({status})", command::shown(command));
    }
    Ok(())
}

impl Rung {
    /// Those of its targets that this checkout has.
    fn present(&self) -> Vec<&'static Target> {
        let there = |target: &&Target| {
            let package = workspace::root().join(target.folder);
            package.join("tests").join(target.name).join("main.rs").is_file()
        };
        self.targets.iter().filter(there).collect()
    }
}

impl Outcome {
    fn line(&self) -> String {
        let Tally { programs, passed, failed, ignored } = self.tally;
        let verdict = match &self.failure {
            None => "ok".to_owned(),
            Some(reason) => format!("FAILED: {reason}"),
        };
        format!(
            "{:8} {passed:5} passed {failed:3} failed {ignored:3} ignored  in {programs:2} programs, \
             {:4} s  {verdict}",
            self.name,
            self.took.as_secs(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{PRIVILEGED, kernels, workspace};
    use std::fs;

    /// Names of the test targets that a manifest builds only with a feature.
    fn on_request<'a>(manifest: &'a str, feature: &str) -> impl Iterator<Item = &'a str> {
        let feature = format!("\"{feature}\"");
        let targets = manifest.split("[[test]]").skip(1);
        targets.filter(move |target| target.contains(&feature)).filter_map(|target| {
            let line = target.lines().find_map(|line| line.strip_prefix("name = "));
            line.map(|name| name.trim_matches('"'))
        })
    }

    #[test]
    fn every_privileged_target_stands_on_a_rung() {
        for folder in ["lb-userspace", "xtask/testbed"] {
            let manifest = workspace::root().join(folder).join("Cargo.toml");
            for name in on_request(&fs::read_to_string(manifest).unwrap(), "privileged") {
                let mut targets = PRIVILEGED.iter().flat_map(|rung| rung.targets);
                let stands = targets.any(|target| target.folder == folder && target.name == name);
                assert!(stands, "{folder}: nobody would run the test target {name}");
            }
        }
    }

    #[test]
    fn what_needs_sctp_runs_where_it_is() {
        let manifest = workspace::root().join("lb-userspace/Cargo.toml");
        for name in on_request(&fs::read_to_string(manifest).unwrap(), "sctp") {
            let stands = kernels::PROGRAMS.iter().any(|(target, _)| *target == name);
            assert!(stands, "nobody would run the test target {name}");
        }
    }
}
