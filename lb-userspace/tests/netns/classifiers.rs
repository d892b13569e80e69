//! What is attached at the traffic-control layer of a node's devices, as the kernel lists it: links
//! or filters of ours, and filters of others.

use std::process::{Command, Output};

use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;

use crate::stage::Stage;

const NODE: &str = "node1";
const DIRECTIONS: [&str; 2] = ["ingress", "egress"];

/// How an agent attaches its programs there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By links.
    Links,
    /// By filters, as it does before Linux 6.6.
    Filters,
}

impl Way {
    pub const ALL: [Self; 2] = [Self::Links, Self::Filters];

    /// Makes the node's agents take it.
    pub fn impose(self, stage: &Stage) {
        if self == Self::Filters {
            // An agent asks at `lo` whether the kernel has links: here it hears that it has none.
            let node = stage.cluster.netns(NODE).unwrap();
            node.links(async |links| links.rename("lo", "loopback").await).unwrap();
        }
    }

    /// That so many programs are there this way, and none the other.
    pub fn only(self, count: usize) -> [usize; 2] {
        Self::ALL.map(|way| if way == self { count } else { 0 })
    }
}

/// How many programs of this name a device has for packets arriving, by [`Way`].
pub fn ours(stage: &Stage, program: &str, device: &str) -> [usize; 2] {
    let node = stage.cluster.netns(NODE).unwrap();
    let linked = node.enter(|| Ok(SchedClassifier::query_tcx(device, TcAttachType::Ingress)));
    // A device that is gone has none.
    let linked = linked.unwrap().map(|(_, programs)| programs).unwrap_or_default();
    let linked = linked.iter().filter(|info| info.name_as_str() == Some(program)).count();
    let named = |filter: &&Value| filter["options"]["bpf_name"] == program;
    [linked, filters(stage, device, DIRECTIONS[0]).iter().filter(named).count()]
}

/// Puts filters of somebody else's on a device, both ways, before and behind ours. They match
/// nothing.
pub fn plant(stage: &Stage, device: &str) {
    done(stage, &format!("qdisc add dev {device} clsact"), &[]);
    for direction in DIRECTIONS {
        // Ours stand at 20942 and 20943, and have this handle there.
        for priority in [1, 20_941, 20_944, 60_000] {
            let place = format!("dev {device} {direction} pref {priority} handle 0x51ce");
            done(stage, &format!("filter add {place} bpf bytecode"), &["1,6 0 0 0"]);
        }
    }
}

/// The filters of others on a device, both ways, as the kernel describes them.
pub fn planted(stage: &Stage, device: &str) -> Vec<Value> {
    let all = DIRECTIONS.iter().flat_map(|direction| filters(stage, device, direction));
    all.filter(|filter| filter["options"]["bytecode"].is_object()).collect()
}

/// Filters of one direction; none if there is no such device.
fn filters(stage: &Stage, device: &str, direction: &str) -> Vec<Value> {
    let output = tc(stage, &format!("-json filter show dev {device} {direction}"), &[]);
    match output.status.success() {
        true => serde_json::from_slice(&output.stdout).unwrap(),
        false => Vec::new(),
    }
}

/// `tc` on the node, with these words and then these.
#[track_caller]
pub fn done(stage: &Stage, words: &str, further: &[&str]) {
    let output = tc(stage, words, further);
    assert!(output.status.success(), "tc {words}: {output:?}");
}

fn tc(stage: &Stage, words: &str, further: &[&str]) -> Output {
    let mut command = Command::new("tc");
    command.args(words.split(' ')).args(further);
    let node = stage.cluster.netns(NODE).unwrap();
    node.enter(|| Ok(command.output().unwrap())).unwrap()
}
