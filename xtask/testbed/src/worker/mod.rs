//! The work done inside the cluster's places: servers that tell who they are and whom they saw,
//! and clients that count who answered.
//!
//! Each worker is a process of its own, as cgroup hooks go by the cgroup in which a socket was
//! made and namespaces by the thread. It is a re-execution of a program that calls [`main`]:
//! xtask, or this crate's own binary for test programs, which cannot have subcommands. The order
//! to a worker is one argument, its answers are lines on standard output, all JSON. What is here
//! runs in the worker; [`crate::process`] is the other end.

mod container;
mod http;
mod load;
mod order;
mod probe;
mod report;
mod respond;
mod seen;
mod serve;
mod transport;

use std::{
    ffi::OsString,
    io::{self, Write},
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use nix::sys::{prctl::set_pdeathsig, signal::Signal};

pub use container::{Container, Volume};
pub use order::{Amount, Load, Order, Pattern, Place, Probe, Respond, Serve, Task, Transport};
pub use report::{Answer, Exchange, Latency, Loaded, Report};
pub use seen::Seen;

use crate::{
    cgroup,
    error::{During, Error, Result},
    netns,
};

/// The argument before the order.
pub const VERB: &str = "worker";

/// A line from a worker.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Line {
    /// It has begun: a server answers, a client sends.
    Ready,
    /// How many exchanges a client has ended; it was asked.
    Ended(u64),
    /// A client's result.
    Report(Report),
    /// The result of a client that measures.
    Loaded(Loaded),
    /// It could not do its work.
    Failed(String),
}

/// Does what the order says and returns when that is done, which a server's never is.
pub fn main(order: &str) -> ExitCode {
    match obey(order) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If nobody reads it the exit status still tells.
            let _ = tell(&Line::Failed(in_full(&error)));
            ExitCode::FAILURE
        }
    }
}

fn obey(order: &str) -> Result<()> {
    let order: Order = serde_json::from_str(order).during("understand", "the order")?;
    if order.dies_with_parent {
        set_pdeathsig(Signal::SIGKILL).during("tie", "the worker to its parent")?;
    }
    // The cgroup first: from then on every socket belongs to it.
    cgroup::join(&order.place.cgroup)?;
    netns::join(&order.place.netns)?;
    match order.task {
        Task::Serve(serve) => serve::serve(&serve),
        Task::Probe(probe) => tell(&Line::Report(probe::probe(&probe)?)),
        Task::Respond(respond) => respond::respond(&respond),
        Task::Load(load) => tell(&Line::Loaded(load::load(&load)?)),
        Task::Run { program, arguments, container: None } => Err(run(&program, &arguments)),
        Task::Run { program, arguments, container: Some(container) } => {
            Err(container.run(&program, &arguments))
        }
    }
}

/// Becomes another program; returns only if that fails.
fn run(program: &OsString, arguments: &[OsString]) -> Error {
    let source = Command::new(program).args(arguments).exec();
    Error::System { operation: "run", object: program.display().to_string(), source }
}

fn tell(line: &Line) -> Result<()> {
    let text = serde_json::to_string(line).during("write", "an answer")?;
    let mut output = io::stdout().lock();
    writeln!(output, "{text}").and_then(|()| output.flush()).during("write", "an answer")
}

/// An error with its causes in one line.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
