//! The workers of test programs, which cannot be told to be anything but tests.

use std::process::ExitCode;

use lb_testbed::worker;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some(worker::VERB), Some(order)) => worker::main(&order),
        _ => {
            eprintln!("lb-testbed is started by tests; there is nothing to call it for by hand");
            ExitCode::from(64)
        }
    }
}
