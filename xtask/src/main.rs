//! Every command that a person or CI runs: `cargo xtask <verb>`, one file a verb.

mod build_ebpf;
mod command;
mod progress;
mod setup;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, tests and shows sluice")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make this machine able to build the kernel object
    Setup,
    /// Build the kernel object
    BuildEbpf(build_ebpf::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup => setup::run(),
        Verb::BuildEbpf(args) => build_ebpf::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
