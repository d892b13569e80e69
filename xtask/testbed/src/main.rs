//! The workers of test programs, which cannot be told to be anything but tests; and the first process
//! of emulated machines, which has to be a program.

use std::process::ExitCode;

use lb_testbed::{guest, worker};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some(worker::VERB), Some(order)) => worker::main(&order),
        (Some(guest::VERB), None) => guest::main(),
        _ => {
            eprintln!("lb-testbed is started by tests; there is nothing to call it for by hand");
            ExitCode::from(64)
        }
    }
}
