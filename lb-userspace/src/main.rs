//! `sluice`: a service load balancer in eBPF.

use std::process::ExitCode;

use clap::Parser;
use lb_userspace::cli::{Cli, WRONG_USAGE};

fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            // To standard output or error, as it is help or a complaint.
            _ = error.print();
            if error.use_stderr() { ExitCode::from(WRONG_USAGE) } else { ExitCode::SUCCESS }
        }
    }
}
