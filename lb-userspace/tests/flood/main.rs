//! A flood of first packets from sources that do not exist, as fast as this machine makes them, at
//! the NodePorts that a thousand connections came through and go on exchanging through: none of them
//! is cut.
//!
//! Frames are made inside the kernel, so that the flood takes as much of what the node can do as it
//! can get. At tc and at XDP, both families, backends here and elsewhere.
//!
//! Needs the rights to load and attach programs and to make network namespaces; fails, naming what
//! is missing, where it has not. `SLUICE_FLOOD_SECONDS` makes it last longer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../packets/chunk.rs"]
#[expect(dead_code, reason = "the packet tests send SCTP")]
mod chunk;
#[path = "../packets/frame.rs"]
#[expect(dead_code, reason = "the packet tests make packets of it, too")]
mod frame;
#[path = "../packets/message.rs"]
#[expect(dead_code, reason = "the packet tests send messages")]
mod message;
#[path = "../node/mod.rs"]
#[expect(dead_code, reason = "others ask more of it")]
mod node;
#[path = "../raw/mod.rs"]
#[expect(dead_code, reason = "others take what is sent, too")]
mod raw;
mod stage;

use std::{
    env, thread,
    time::{Duration, Instant},
};

use lb_testbed::{Probe, RunningProbe};
use lb_userspace::kernel::XdpMode;
use raw::generator::Generator;
use stage::{CONNECTIONS, Stage};

const SECONDS: &str = "SLUICE_FLOOD_SECONDS";
const SHORT: f64 = 5.0;
/// Frames between two looks at the clock.
const BURST: u32 = 20_000;
/// Fewer prove nothing: room and tokens of provisional flows are to be used up again and again.
const FEWEST: u64 = 4 * lb_common::limits::provisional(stage::FLOWS) as u64;
/// How long a flood may take to open as many flows as prove something.
const MOST: Duration = Duration::from_secs(60);
/// How long a client waits: what a flood delays is not what it cuts. TCP's first retransmissions,
/// some of which may be lost as well, take less.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long connecting may take, and how often to look.
const CONNECTING: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[test]
fn a_flood_at_tc_cuts_no_connection() {
    withstand(XdpMode::Off);
}

#[test]
fn a_flood_at_xdp_cuts_no_connection() {
    withstand(XdpMode::Native);
}

fn withstand(mode: XdpMode) {
    let lasting = env::var(SECONDS).map_or(SHORT, |text| text.parse().unwrap());
    let stage = Stage::new(mode);
    let mut clients: Vec<RunningProbe> = stage
        .frontends()
        .into_iter()
        .map(|to| {
            let each = CONNECTIONS as u32 / stage.frontends().len() as u32;
            let probe = Probe::tcp(to).reusing().until_stopped().concurrency(each);
            stage.cluster.start_probe("client", &probe.timeout(PATIENCE)).unwrap()
        })
        .collect();
    let begun = Instant::now();
    while stage.confirmed() < CONNECTIONS {
        assert!(begun.elapsed() < CONNECTING, "{} connections", stage.confirmed());
        thread::sleep(LOOK_EVERY);
    }
    let generators: Vec<Generator<'_>> = stage.generators();
    let (begun, mut sent) = (Instant::now(), 0);
    // A busy machine takes longer to use everything up.
    let is_enough = || stage.opened() > FEWEST || begun.elapsed() > MOST;
    while begun.elapsed().as_secs_f64() < lasting || !is_enough() {
        for generator in &generators {
            generator.send(BURST).unwrap();
            sent += u64::from(BURST);
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let confirmed = stage.confirmed();
    clients.iter_mut().for_each(|client| client.go_on(CONNECTIONS as u64).unwrap());
    let reports: Vec<_> = clients.into_iter().map(|client| client.stop().unwrap()).collect();
    println!("{mode:?}: {sent} first packets in {took:.1} s, {:.0} a second", sent as f64 / took);
    let mut answered = 0;
    for (report, to) in reports.iter().zip(stage.frontends()) {
        println!(
            "{to}: {} exchanges, p50 {:.1} ms, longest {:.0} ms, {} failed {:?}",
            report.answered(),
            report.latency.p50_us / 1e3,
            report.latency.max_us / 1e3,
            report.failed(),
            report.errors,
        );
        answered += report.answered();
    }
    for (counter, count) in stage.counters() {
        println!("{:33} {count:9}", counter.label());
    }
    assert!(reports.iter().all(|report| report.failed() == 0), "connections were cut");
    assert!(confirmed >= CONNECTIONS, "{confirmed} connections are still known");
    assert!(answered >= 2 * CONNECTIONS as u64, "nothing was exchanged");
    assert!(stage.opened() > FEWEST, "only {} flows were opened", stage.opened());
}
