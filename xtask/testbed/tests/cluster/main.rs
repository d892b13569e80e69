//! The testbed itself: what it makes carries traffic as the picture says, shows who talked to
//! whom, and leaves nothing behind. Needs root; fails without.

#![expect(clippy::expect_used, reason = "a test that cannot go on panics")]

mod leftovers;
mod peers;
mod reach;
mod workers;

// Those of the bench, which as a part of a program nobody can depend on.
#[expect(dead_code, reason = "the bench names them in its tables")]
#[path = "../../../src/bench/peers/mod.rs"]
mod rule_sets;
#[path = "../../../src/bench/services.rs"]
mod services;

use lb_testbed::{Cluster, Families, Launcher};

fn launcher() -> Launcher {
    Launcher::new(env!("CARGO_BIN_EXE_lb-testbed"))
}

/// Two nodes with a pod each.
fn two_nodes(families: Families) -> Cluster {
    let mut cluster =
        Cluster::builder(launcher()).families(families).nodes(2).build().expect("a cluster");
    cluster.add_pod("node1", "a").expect("pod a");
    cluster.add_pod("node2", "b").expect("pod b");
    cluster
}
