//! Every command that a person or CI runs: `cargo xtask <verb>`, one file a verb.

mod artifacts;
mod bench;
mod build_ebpf;
mod ci;
mod command;
mod demo;
mod image;
mod interrupt;
mod kernel_object;
mod lint;
mod progress;
mod render;
mod rights;
mod setup;
mod test;
mod tidy;
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
    /// Show all of it on a cluster of network namespaces
    Demo(demo::Args),
    /// Run a command in a place of a cluster that `demo --keep` left standing
    Enter(demo::EnterArgs),
    /// Work inside a place of a cluster; started by other verbs
    #[command(hide = true)]
    Worker {
        /// What to do
        order: String,
    },
    /// Make deploy/install.yaml of the kustomizations
    Render(render::Args),
    /// Make a container image of the agent
    Image(image::Args),
    /// Measure it beside what it is held against
    Bench(bench::Args),
    /// Run the tests: unit, packets, sockets, netns; api-server and kernels on request
    Test(test::Args),
    /// Check formatting and lints
    Lint,
    /// Check sizes, imports between rooms, and words
    Tidy,
    /// Everything that must hold before a change is taken
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup => setup::run(),
        Verb::BuildEbpf(args) => build_ebpf::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Enter(args) => demo::enter(args),
        Verb::Worker { order } => return lb_testbed::worker::main(&order),
        Verb::Bench(args) => bench::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Render(args) => render::run(&args),
        Verb::Image(args) => image::run(&args),
        Verb::Lint => lint::run(),
        Verb::Tidy => tidy::run(),
        Verb::Ci => ci::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
