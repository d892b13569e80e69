//! The verbs of `sluice`, one file each. Only [`agent`](crate::cli::agent) does anything to stay.

mod agent;
mod check;
mod cleanup;
mod inspect;
mod mount_bpffs;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{Problems, RawAgent};

/// Exit status for settings that cannot be, as `sysexits.h` has it.
pub const WRONG_USAGE: u8 = 64;

/// Service load balancing in eBPF, for any CNI and without one
#[derive(Parser, Debug)]
#[command(name = "sluice", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Serve this node: follow services and keep the kernel's tables in step
    Agent(Box<RawAgent>),
    /// Show what the kernel's tables hold; needs no agent
    Inspect(inspect::Arguments),
    /// Validate settings and manifests, print the plan, touch nothing
    Check(Box<RawAgent>),
    /// Detach every program and remove every pin
    Cleanup(cleanup::Arguments),
    /// Mount a bpf filesystem at /sys/fs/bpf if there is none
    MountBpffs,
}

impl Cli {
    /// Does what was asked for. Failures are printed with their causes.
    pub fn run(self) -> ExitCode {
        let result = match &self.verb {
            Verb::Agent(raw) => agent::run(raw),
            Verb::Inspect(arguments) => inspect::run(arguments),
            Verb::Check(raw) => check::run(raw),
            Verb::Cleanup(arguments) => cleanup::run(arguments),
            Verb::MountBpffs => mount_bpffs::run(),
        };
        let error = match result {
            Ok(code) => return code,
            Err(error) => error,
        };
        if let Some(problems) = error.downcast_ref::<Problems>() {
            eprintln!("{problems}");
            return ExitCode::from(WRONG_USAGE);
        }
        eprintln!("error: {error}");
        error.chain().skip(1).for_each(|cause| eprintln!("  because: {cause}"));
        ExitCode::FAILURE
    }
}
