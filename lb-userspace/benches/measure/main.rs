//! Measurements inside the agent's own crate, for `cargo xtask bench`, which starts this, adds
//! what is measured from outside, and makes tables of all of it. Writes one JSON value to standard
//! output: raw samples, in nanoseconds unless their name says otherwise, and nothing is judged.
//!
//! The node, its packets and its services are those of the packet tests.

mod baseline;
mod calls;
mod frames;
mod limits;
mod packets;
mod population;
mod programming;
mod sync;

#[path = "../../tests/packets/chunk.rs"]
#[expect(dead_code, reason = "the tests send SCTP")]
mod chunk;
#[path = "../../tests/packets/frame.rs"]
#[expect(dead_code, reason = "the tests read packets, too")]
mod frame;
#[path = "../../tests/packets/message.rs"]
#[expect(dead_code, reason = "the tests read messages, too")]
mod message;
#[path = "../../tests/node/mod.rs"]
#[expect(dead_code, reason = "the tests ask more of it")]
mod node;
#[path = "../../tests/raw/mod.rs"]
#[expect(dead_code, reason = "the tests send more")]
mod raw;
#[path = "../../tests/packets/rig/mod.rs"]
#[expect(dead_code, reason = "the tests ask more of it")]
mod rig;

use anyhow::Result;
use clap::{Parser, Subcommand};

use self::node::{ageing, service};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// What `cargo bench` adds to every command line
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Where the kernel object comes from
    Origin,
    /// What a packet costs, by test-run
    Packets(packets::Args),
    /// What the socket hooks add to calls
    Calls(calls::Args),
    /// Makes one call again and again
    #[command(hide = true)]
    Call(calls::OneArgs),
    /// How many packets a second arrive
    Frames(frames::Args),
    /// What it takes to bring objects in memory into the kernel
    Programming(programming::Args),
    /// How many services and endpoints fit
    Limits(limits::Args),
}

fn main() -> Result<()> {
    let samples = match Cli::parse().verb {
        Verb::Origin => lb_userspace::kernel::ORIGIN.into(),
        Verb::Packets(args) => packets::measure(&args)?,
        Verb::Calls(args) => calls::measure(&args)?,
        Verb::Call(args) => calls::one(&args)?,
        Verb::Frames(args) => frames::measure(&args)?,
        Verb::Programming(args) => programming::measure(&args)?,
        Verb::Limits(args) => limits::measure(&args)?,
    };
    println!("{samples}");
    Ok(())
}
