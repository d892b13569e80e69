//! Endpoints change hundreds of times a second while clients call without pause: no exchange fails,
//! none that begins after a pod's removal took effect reaches that pod, none meets a backend that
//! is not there.
//!
//! The agent's parts are driven in this process and not through an agent, so that it is known to
//! the nanosecond when a change took effect: when writing the tables returned.
//!
//! Needs the rights to load and attach programs and to make network namespaces; fails, naming what
//! is missing, where it has not. `SLUICE_CHURN_SECONDS` makes it last longer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod changer;
mod history;
mod paths;
mod stage;

use std::{env, time::Duration};

use changer::Changer;
use lb_common::counter::Counter;
use lb_testbed::{Report, RunningProbe};
use stage::Stage;

const SECONDS: &str = "SLUICE_CHURN_SECONDS";
const SHORT: u64 = 5;
/// The same in every run, and printed: what it picks can be picked again.
const SEED: u64 = 0x51ce;
/// How many wrong answers of a client are shown.
const EXAMPLES: usize = 3;

#[test]
fn no_client_notices_that_endpoints_change() {
    let lasting = env::var(SECONDS).map_or(SHORT, |text| text.parse().unwrap());
    let stage = Stage::new();
    let mut changer = Changer::new(&stage, SEED);
    let paths = paths::all(&stage);
    let clients: Vec<RunningProbe> = paths
        .iter()
        .map(|path| stage.cluster.start_probe(path.from, &path.probe).unwrap())
        .collect();
    let made = changer.run(Duration::from_secs(lasting));
    let reports: Vec<Report> = clients.into_iter().map(|client| client.stop().unwrap()).collect();
    println!("seed {SEED:#x}: {made}");

    let history = changer.into_history();
    let mut complaints = Vec::new();
    for (path, report) in paths.iter().zip(&reports) {
        let met = history.judge(&report.exchanges);
        println!(
            "{:33} {:6} answered, {} failed {:?}, {} by the removed, {} undecided, longest {:.1} ms",
            path.name,
            report.answered(),
            report.failed(),
            report.errors,
            met.removed.len(),
            met.undecided,
            report.latency.max_us / 1e3,
        );
        met.removed.iter().take(EXAMPLES).for_each(|line| println!("    {line}"));
        for (is, fault) in [
            (report.answered() == 0, "was never answered"),
            (report.failed() > 0, "failed"),
            (!met.removed.is_empty(), "met a removed pod"),
        ] {
            complaints.extend(is.then(|| format!("{} {fault}", path.name)));
        }
    }
    // A packet that was dropped may have been sent again: its client tells nothing of it.
    for (counter, count) in stage.counters() {
        println!("{:33} {count:6}", counter.label());
        complaints.extend(is_fault(counter).then(|| format!("{} is {count}", counter.label())));
    }
    made.assert_enough();
    assert_eq!(complaints, [] as [String; 0]);
}

/// Whether a service that always has endpoints must never count this.
fn is_fault(counter: Counter) -> bool {
    let good = [
        Counter::SocketTranslated,
        Counter::FlowHit,
        Counter::FlowNew,
        Counter::FlowMoved,
        Counter::FlowEnded,
        Counter::FlowEvicted,
    ];
    !good.contains(&counter)
}
