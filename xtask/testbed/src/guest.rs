//! The first process of an emulated machine that exists to run tests: it mounts what a system has,
//! loads modules, runs one program after the other, tells what came of each, and turns the machine
//! off. All that it knows stands in [`PLAN`]; what programs print and what it says itself goes out
//! by [`OUTPUT`], so that the kernel's own console cannot get in between.
//!
//! Who makes the machine and reads what it says is `cargo xtask test kernels`.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::reboot::{RebootMode, reboot},
    unistd::sync,
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{During, Result},
    worker::in_full,
};

/// The argument by which the program of test workers is this instead.
pub const VERB: &str = "guest";
/// Where the machine's [`Plan`] is.
pub const PLAN: &str = "/plan.json";
/// The device that everything is said by.
pub const OUTPUT: &str = "/dev/ttyS1";

/// What a line of ours begins with.
const MARK: &str = "guest: ";
/// Kind and place of what is mounted, in order.
const MOUNTS: [(&str, &str); 7] = [
    ("devtmpfs", "/dev"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("bpf", "/sys/fs/bpf"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
];

/// What the machine is to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Files of modules, each after those that it needs.
    pub modules: Vec<PathBuf>,
    /// Programs with their arguments.
    pub programs: Vec<Vec<String>>,
}

/// What it tells, a line each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Word {
    /// It is up, with this kernel.
    Up(String),
    /// The program at this place of the plan has ended, well or not.
    Ended(usize, bool),
    /// The plan could not be carried out.
    Failed(String),
    /// All programs have ended.
    Done,
}

impl Word {
    /// What a line of the machine's output says; `None`: it is a program's.
    pub fn of(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(MARK)?.trim_end()).ok()
    }

    /// The line that says it, after the end of any other.
    fn tell(&self, mut output: &File) -> Result<()> {
        let text = serde_json::to_string(self).during("write", "a word")?;
        writeln!(output, "\n{MARK}{text}").during("write to", OUTPUT)
    }
}

/// Does what the plan says. Returns only where no machine could be turned off.
pub fn main() -> ExitCode {
    let done = obey();
    sync();
    if let Err(error) = done {
        // Without a word of ours the machine counts as broken.
        eprintln!("{}", in_full(&error));
    }
    match reboot(RebootMode::RB_POWER_OFF) {
        Ok(never) => match never {},
        Err(error) => eprintln!("cannot turn the machine off: {error}"),
    }
    ExitCode::FAILURE
}

fn obey() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).during("create", place)?;
        mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>)
            .during("mount", place)?;
    }
    let output = OpenOptions::new().write(true).open(OUTPUT).during("open", OUTPUT)?;
    let release = "/proc/sys/kernel/osrelease";
    let release = fs::read_to_string(release).during("read", release)?;
    Word::Up(release.trim().to_owned()).tell(&output)?;
    let last = match carry_out(&output) {
        Ok(()) => Word::Done,
        Err(error) => Word::Failed(in_full(&error)),
    };
    last.tell(&output)
}

fn carry_out(output: &File) -> Result<()> {
    let plan = fs::read(PLAN).during("read", PLAN)?;
    let plan: Plan = serde_json::from_slice(&plan).during("understand", PLAN)?;
    for module in &plan.modules {
        load(module)?;
    }
    for (at, program) in plan.programs.iter().enumerate() {
        let [name, arguments @ ..] = program.as_slice() else { continue };
        let mut command = Command::new(name);
        command.args(arguments);
        command.stdout(output.try_clone().during("share", OUTPUT)?);
        command.stderr(output.try_clone().during("share", OUTPUT)?);
        let status = command.status().during("run", name)?;
        Word::Ended(at, status.success()).tell(output)?;
    }
    Ok(())
}

fn load(module: &Path) -> Result<()> {
    let file = File::open(module).during("open", module.display())?;
    finit_module(file, c"", ModuleInitFlags::empty()).during("load", module.display())
}
