//! Whether what came of a call is what was expected. Pure: reports in, findings out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use lb_testbed::{Answer, Report, even_spread_p};

use super::scenario::{Expected, Pods, Seen};

/// Less likely than this by chance alone, and a spread counts as uneven. Not larger, because dozens
/// are looked at each time, and clients outside are spread by hash tables, whose shares are not quite
/// equal.
pub const UNEVEN_BELOW: f64 = 0.000_000_1;

/// What a judgement needs to know besides the report.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The web service's ready pods, with their nodes.
    pub ready: BTreeMap<String, String>,
    /// All pods, with their nodes.
    pub nodes: BTreeMap<String, String>,
    /// What was called.
    pub to: SocketAddr,
    /// The port at which pods are to have been called.
    pub pod_port: u16,
    /// The addresses the caller may be seen by as itself.
    pub own: BTreeSet<IpAddr>,
    /// Each node's addresses on the nodes' network.
    pub node_addresses: BTreeMap<String, BTreeSet<IpAddr>>,
}

/// One thing that was expected, and whether it held.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// What it is about.
    pub about: About,
    /// In words.
    pub expected: String,
    /// What was found instead, or in numbers.
    pub found: String,
    /// Whether it held.
    pub held: bool,
}

/// What a finding is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// How many were answered.
    Answers,
    /// Who answered.
    Who,
    /// How evenly.
    Spread,
    /// Whom the pods saw.
    Client,
    /// Whom the client believes to have called.
    Server,
    /// The pods' port.
    Port,
    /// How a call failed.
    Error,
}

/// All findings about a call.
pub fn judge(expected: Expected, facts: &Facts, report: &Report) -> Vec<Finding> {
    match expected {
        Expected::Error(name) => vec![failed(name, report)],
        Expected::Even(pods, seen) => {
            let pods = pods.of(facts);
            let mut findings = vec![answered(report), who(&pods, report)];
            if pods.len() > 1 {
                findings.push(spread(&pods, report));
            }
            findings.extend([
                client(seen, facts, report),
                server(facts, report),
                port(facts, report),
            ]);
            findings
        }
        Expected::One(seen) => vec![
            answered(report),
            one(&Pods::Ready.of(facts), report),
            client(seen, facts, report),
            server(facts, report),
            port(facts, report),
        ],
    }
}

impl Pods {
    /// Their names.
    pub fn of(self, facts: &Facts) -> BTreeSet<&str> {
        let ready = facts.ready.iter();
        match self {
            Self::Ready => ready.map(|(pod, _)| pod.as_str()).collect(),
            Self::On(node) => {
                ready.filter(|(_, at)| *at == node).map(|(pod, _)| pod.as_str()).collect()
            }
            Self::These(pods) => pods.iter().copied().collect(),
        }
    }
}

fn failed(name: &str, report: &Report) -> Finding {
    let expected = match name {
        "ETIMEDOUT" => "nobody answers (ETIMEDOUT)".to_owned(),
        _ => format!("refused at once with {name}"),
    };
    let only = report.errors.keys().eq([name]);
    Finding {
        about: About::Error,
        expected,
        found: outcome(report),
        held: report.answered() == 0 && only,
    }
}

fn answered(report: &Report) -> Finding {
    Finding {
        about: About::Answers,
        expected: "every request is answered".into(),
        found: outcome(report),
        held: report.answered() > 0 && report.failed() == 0,
    }
}

fn outcome(report: &Report) -> String {
    let mut words = vec![format!("{} answered", report.answered())];
    words.extend(report.errors.iter().map(|(name, count)| format!("{count} {name}")));
    words.join(", ")
}

fn who(pods: &BTreeSet<&str>, report: &Report) -> Finding {
    let by_pod = report.by_pod();
    let others: Vec<_> = by_pod.keys().filter(|pod| !pods.contains(*pod)).copied().collect();
    let silent: Vec<_> = pods.iter().filter(|pod| !by_pod.contains_key(*pod)).copied().collect();
    let mut found = Vec::new();
    if !others.is_empty() {
        found.push(format!("also {}", others.join(", ")));
    }
    if !silent.is_empty() {
        found.push(format!("not {}", silent.join(", ")));
    }
    let names = listed(pods);
    Finding {
        about: About::Who,
        expected: format!("by {names} and nobody else"),
        held: found.is_empty(),
        found: if found.is_empty() { "so it is".into() } else { found.join("; ") },
    }
}

fn spread(pods: &BTreeSet<&str>, report: &Report) -> Finding {
    let by_pod = report.by_pod();
    let counts: Vec<u64> =
        pods.iter().map(|pod| by_pod.get(pod).copied().unwrap_or_default()).collect();
    let p = even_spread_p(&counts);
    Finding {
        about: About::Spread,
        expected: format!("evenly (chi-squared, p > {UNEVEN_BELOW})"),
        found: format!("p = {p:.3}"),
        held: p > UNEVEN_BELOW,
    }
}

fn one(pods: &BTreeSet<&str>, report: &Report) -> Finding {
    let by_pod = report.by_pod();
    let found: Vec<_> = by_pod.keys().copied().collect();
    Finding {
        about: About::Who,
        expected: format!("always by the same of {}", listed(pods)),
        held: found.len() == 1 && found.iter().all(|pod| pods.contains(pod)),
        found: found.join(", "),
    }
}

fn client(seen: Seen, facts: &Facts, report: &Report) -> Finding {
    let empty = BTreeSet::new();
    let right = |answer: &Answer| match seen {
        Seen::OwnOnlyAt(node) if facts.nodes.get(&answer.pod).map(String::as_str) != Some(node) => {
            facts.node_addresses.get(node).unwrap_or(&empty).contains(&answer.peer)
        }
        Seen::Own | Seen::OwnOnlyAt(_) => facts.own.contains(&answer.peer),
    };
    let wrong = report.answers.iter().filter(|answer| !right(answer));
    let wrong: BTreeSet<String> =
        wrong.map(|answer| format!("{} saw {}", answer.pod, answer.peer)).collect();
    let peers: Vec<String> = report.by_peer().keys().map(IpAddr::to_string).collect();
    let expected = match seen {
        Seen::Own => "pods see the client's own address".to_owned(),
        Seen::OwnOnlyAt(node) => {
            format!("pods on {node} see the client's own address, others {node}'s")
        }
    };
    Finding {
        about: About::Client,
        expected,
        held: wrong.is_empty(),
        found: if wrong.is_empty() { peers.join(", ") } else { joined(wrong) },
    }
}

fn server(facts: &Facts, report: &Report) -> Finding {
    let froms: BTreeSet<SocketAddr> = report.answers.iter().map(|answer| answer.from).collect();
    Finding {
        about: About::Server,
        expected: format!("the client sees nothing but {}", facts.to),
        held: froms.iter().all(|from| *from == facts.to),
        found: joined(froms),
    }
}

fn port(facts: &Facts, report: &Report) -> Finding {
    let ports: BTreeSet<u16> = report.answers.iter().map(|answer| answer.local.port()).collect();
    Finding {
        about: About::Port,
        expected: format!("pods are called at port {}", facts.pod_port),
        held: ports.iter().all(|port| *port == facts.pod_port),
        found: joined(ports),
    }
}

fn joined<T: ToString>(items: BTreeSet<T>) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}

fn listed(pods: &BTreeSet<&str>) -> String {
    pods.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
