//! The cluster changes while clients call without pause: a pod is deleted, one is added, one is
//! no longer ready. No call may fail, and none that begins after a change may be answered by a
//! pod that has gone.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lb_testbed::{Exchange, Report, RunningProbe};
use nix::time::{ClockId, clock_gettime};

use super::{
    expect::{About, Finding},
    manifests::Pod,
    scenario::WHILE_IT_CHANGES,
    stage::Stage,
};

/// How long a pod goes on after its agent has heard that it is gone, as a pod that ends well does.
const GRACE: Duration = Duration::from_millis(300);

/// How many calls each client makes before and after a change.
const CALLS: u64 = 20;

/// A change of the cluster.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// A pod ends.
    Delete(&'static str),
    /// A pod begins: its name, the pod it is like, and the last byte of its addresses.
    Add(&'static str, &'static str, u8),
    /// A pod is no longer ready.
    Unready(&'static str),
}

/// The changes shown, in this order, each with the node at which the new spread is looked at.
pub const CHANGES: [(Change, &str); 3] = [
    (Change::Delete("web-2"), "node1"),
    (Change::Add("web-7", "web-6", 5), "node2"),
    (Change::Unready("web-3"), "node3"),
];

impl Change {
    /// In words.
    pub fn title(self) -> String {
        match self {
            Self::Delete(pod) => format!("pod {pod} is deleted"),
            Self::Add(pod, like, _) => format!("pod {pod} is added beside {like}"),
            Self::Unready(pod) => format!("pod {pod} is no longer ready"),
        }
    }

    /// The pod that must not answer from now on.
    fn gone(self) -> Option<&'static str> {
        match self {
            Self::Delete(pod) | Self::Unready(pod) => Some(pod),
            Self::Add(..) => None,
        }
    }
}

/// Makes a change under the eyes of clients, and tells what they met.
pub fn make(stage: &mut Stage, change: Change) -> Result<Vec<Finding>> {
    let family = stage.families()[0];
    let mut calling = WHILE_IT_CHANGES
        .iter()
        .map(|scenario| stage.start_calling(scenario, family))
        .collect::<Result<Vec<_>>>()?;
    go_on(&mut calling)?;
    match change {
        Change::Delete(pod) => stage.manifests.delete(pod)?,
        Change::Unready(pod) => stage.manifests.set_ready(pod, false)?,
        Change::Add(pod, like, host) => {
            let model = stage.manifests.pods()?.into_iter().find(|one| one.name == like);
            let model = model.with_context(|| format!("there is no pod {like}"))?;
            stage.start_pod(&Pod { name: pod.into(), host, ..model })?;
            stage.manifests.add_like(like, pod, host)?;
        }
    }
    let took = stage.follow()?;
    let followed_ns = now_ns()?;
    std::thread::sleep(GRACE);
    go_on(&mut calling)?;
    if let Change::Delete(pod) = change {
        stage.end_pod(pod)?;
        go_on(&mut calling)?;
    }
    let reports =
        calling.into_iter().map(|probe| Ok(probe.stop()?)).collect::<Result<Vec<Report>>>()?;
    let mut findings = vec![Finding {
        about: About::Server,
        expected: "every node's tables follow".into(),
        found: format!("seen after {} ms", took.as_millis()),
        held: true,
    }];
    findings.extend(met(&reports, change.gone(), followed_ns));
    Ok(findings)
}

/// Waits until all of them have gone on for a while.
fn go_on(calling: &mut [RunningProbe]) -> Result<()> {
    Ok(calling.iter_mut().try_for_each(|client| client.go_on(CALLS))?)
}

/// What clients met that called without pause.
fn met(reports: &[Report], gone: Option<&str>, followed_ns: u64) -> Vec<Finding> {
    let made: u64 = reports.iter().map(|report| report.answered() + report.failed()).sum();
    let failed: u64 = reports.iter().map(Report::failed).sum();
    let errors: Vec<&str> =
        reports.iter().flat_map(|report| report.errors.keys().map(String::as_str)).collect();
    let mut findings = vec![Finding {
        about: About::Answers,
        expected: "meanwhile no connection fails".into(),
        found: format!("{failed} of {made} failed {}", errors.join(", ")).trim_end().into(),
        held: failed == 0 && made > 0,
    }];
    if let Some(gone) = gone {
        let exchanges = reports.iter().flat_map(|report| &report.exchanges);
        let later: Vec<&Exchange> =
            exchanges.filter(|exchange| exchange.start_ns > followed_ns).collect();
        let wrong = later.iter().filter(|one| one.outcome.as_deref() == Ok(gone)).count();
        findings.push(Finding {
            about: About::Who,
            expected: format!("none that begins afterwards reaches {gone}"),
            found: format!("{wrong} of {}", later.len()),
            held: wrong == 0 && !later.is_empty(),
        });
    }
    findings
}

fn now_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(Duration::from(now).as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of exchanges that begin at these times and end so.
    fn report(exchanges: &[(u64, Result<&str, &str>)]) -> Report {
        let mut report = Report::default();
        for (start_ns, outcome) in exchanges {
            let outcome = outcome.map(str::to_owned).map_err(str::to_owned);
            if let Err(name) = &outcome {
                *report.errors.entry(name.clone()).or_default() += 1;
            }
            report.exchanges.push(Exchange { start_ns: *start_ns, end_ns: start_ns + 1, outcome });
        }
        report
    }

    #[track_caller]
    fn check(exchanges: &[(u64, Result<&str, &str>)], gone: Option<&str>, held: &[bool]) {
        let mut report = report(exchanges);
        // Answers are tallied apart from exchanges; one stands for all.
        report.answers = vec![lb_testbed::Answer {
            pod: "web-1".into(),
            peer: std::net::Ipv4Addr::LOCALHOST.into(),
            local: (std::net::Ipv4Addr::LOCALHOST, 1).into(),
            from: (std::net::Ipv4Addr::LOCALHOST, 1).into(),
            count: 1,
        }];
        let found: Vec<bool> = met(&[report], gone, 100).iter().map(|one| one.held).collect();
        assert_eq!(found, held, "{exchanges:?}");
    }

    #[test]
    fn a_failure_and_an_answer_from_the_dead_are_noticed() {
        check(&[(50, Ok("web-2")), (150, Ok("web-1"))], Some("web-2"), &[true, true]);
        check(&[(50, Ok("web-1")), (150, Ok("web-2"))], Some("web-2"), &[true, false]);
        check(&[(50, Err("ETIMEDOUT")), (150, Ok("web-1"))], Some("web-2"), &[false, true]);
        check(&[(50, Ok("web-1"))], Some("web-2"), &[true, false]);
        check(&[(50, Ok("web-1"))], None, &[true]);
    }
}
