//! `cargo xtask test kernels`: what depends on the kernel most, under kernels other than this
//! machine's. Each is booted in an emulator with test programs of this workspace in its memory
//! (`lb_testbed::guest` is its first process): one loads every program of the object, one talks over
//! real SCTP sockets, which are a module that few machines have.
//!
//! A kernel holds only if it says of every program that it ended well, with as many tests passed as
//! the program has. Needs no rights, but Debian: the emulator and the kernels are its packages.

mod debian;
mod image;
mod machine;
mod modules;
mod report;

use super::{PRIVILEGED_TESTS, SCTP_TESTS, Tally};
use crate::{artifacts::Artifacts, command, workspace};
use anyhow::{Context as _, Result, bail};
use lb_testbed::guest::{PLAN, Plan, Word};
use report::{Expected, Report};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// Test targets of the agent, with what picks among their tests.
pub const PROGRAMS: [(&str, &[&str]); 2] = [("tables", &["programs::"]), ("associations", &[])];
/// Programs that these start; the second is the machine's first process besides.
const SLUICE: &str = "sluice";
const TESTBED: &str = "lb-testbed";

/// A test program and its arguments.
struct Program {
    path: PathBuf,
    filter: &'static [&'static str],
    expected: Expected,
}

/// Runs the programs under the kernels of these Debian packages, or else under Debian's current one.
pub fn run(packages: &[PathBuf], tally: &mut Tally) -> Result<()> {
    debian::get_emulator()?;
    let packages = match packages {
        [] => vec![debian::current_kernel()?],
        given => given.to_vec(),
    };
    let (started, programs) = build()?;
    let mut failed = Vec::new();
    for package in &packages {
        let name = package.file_stem().unwrap_or_default().to_string_lossy();
        println!("\n{name}");
        let begun = Instant::now();
        let mut report = Report::default();
        let ended = boot(package, &started, &programs, &mut report);
        *tally += report.total();
        let expected: Vec<_> = programs.iter().map(|program| program.expected.clone()).collect();
        let verdict = ended.and_then(|()| report.judge(&expected));
        let took = begun.elapsed().as_secs();
        match verdict {
            Ok(release) => println!("{name}: Linux {release} holds, {took} s"),
            Err(error) => {
                println!("{name}: FAILED after {took} s: {error:#}");
                failed.push(name);
            }
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join(", "));
    }
    Ok(())
}

/// What the test programs start, and they themselves with what is expected of them.
fn build() -> Result<([PathBuf; 2], Vec<Program>)> {
    let mut cargo = command::cargo();
    cargo.args(["build", "--locked", "--workspace"]);
    cargo.args(["--features", PRIVILEGED_TESTS, "--features", SCTP_TESTS]);
    cargo.args(["--bin", SLUICE, "--bin", TESTBED]);
    for (target, _) in PROGRAMS {
        cargo.args(["--test", target]);
    }
    let built = Artifacts::build(&mut cargo)?;
    let mut programs = Vec::new();
    for (target, filter) in PROGRAMS {
        let path = built.find(target)?;
        let mut list = Command::new(&path);
        list.args(filter).args(["--list", "--format", "terse"]);
        let expected = Expected::new(target, &command::capture(&mut list)?)?;
        programs.push(Program { path, filter, expected });
    }
    Ok(([built.find(SLUICE)?, built.find(TESTBED)?], programs))
}

/// Boots the kernel of a package and has the report read all that is said.
fn boot(
    package: &Path,
    started: &[PathBuf; 2],
    programs: &[Program],
    report: &mut Report,
) -> Result<()> {
    let kernel = debian::unpack(package)?;
    let modules = modules::needed(&kernel.modules)?;
    let mut image = image::Image::default();
    for program in programs.iter().map(|program| &program.path).chain(started) {
        image.program(program)?;
    }
    let mut inside = Vec::new();
    for module in &modules {
        let place = Path::new("/modules").join(module.file_name().context("a module's name")?);
        image.file(&place, fs::read(module).with_context(|| module.display().to_string())?);
        inside.push(place);
    }
    let plan = Plan { modules: inside, programs: programs.iter().map(Program::command).collect() };
    image.file(Path::new(PLAN), serde_json::to_vec(&plan)?);
    let memory = folder().join("initramfs.cpio");
    fs::write(&memory, image.archive()?).with_context(|| memory.display().to_string())?;
    let [_, init] = started;
    let machine = machine::Machine { kernel: &kernel.image, memory: &memory, init };
    let mut read = |line: &str| {
        report.read(line);
        if let Some(Word::Up(release)) = Word::of(line) {
            println!("  Linux {release} is up");
        } else if Word::of(line).is_none() && !line.is_empty() {
            println!("  {line}");
        }
    };
    let ended = machine.run(&mut read);
    if ended.is_err() || !report.is_done() {
        println!("what its kernel said last:{}", machine.last_words());
    }
    ended
}

/// What is kept between runs: packages, unpacked and as they came.
fn folder() -> PathBuf {
    workspace::root().join("target/kernels")
}

impl Program {
    fn command(&self) -> Vec<String> {
        let mut command = vec![self.path.to_string_lossy().into_owned()];
        command.extend(self.filter.iter().map(|&part| part.to_owned()));
        // They share what there is once a machine.
        command.push("--test-threads=1".to_owned());
        command
    }
}
