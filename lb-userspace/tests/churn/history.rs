//! Which pod was in no list when, and what exchanges say about that.

use lb_testbed::Exchange;
use nix::time::{ClockId, clock_gettime};

use crate::stage::PODS;

/// A time in which a pod was in no list.
#[derive(Clone, Copy)]
struct Absence {
    /// When the write that took it out had returned.
    from_ns: u64,
    /// When the write that put it back began.
    until_ns: u64,
}

/// See the module.
#[derive(Default)]
pub struct History {
    /// By pod, in order of time; the last may be without end.
    absences: [Vec<Absence>; PODS.len()],
}

/// What came of a client's exchanges.
pub struct Met {
    /// Those answered by a pod that was out from before they began until after they ended.
    pub removed: Vec<String>,
    /// How many were answered by a pod that was out when they began, but was put back before they
    /// ended.
    pub undecided: u64,
}

impl History {
    /// A pod has been taken out.
    pub fn removed(&mut self, pod: usize, from_ns: u64) {
        self.absences[pod].push(Absence { from_ns, until_ns: u64::MAX });
    }

    /// A pod is about to be put back, or in for the first time.
    pub fn put_back(&mut self, pod: usize, until_ns: u64) {
        if let Some(absence) = self.absences[pod].last_mut() {
            absence.until_ns = until_ns;
        }
    }

    /// Looks for answers by pods that were out.
    pub fn judge(&self, exchanges: &[Exchange]) -> Met {
        let mut met = Met { removed: Vec::new(), undecided: 0 };
        for exchange in exchanges {
            let Ok(name) = &exchange.outcome else { continue };
            let pod = PODS.iter().position(|pod| pod == name).unwrap();
            match self.absence_at(pod, exchange.start_ns) {
                Some(out) if exchange.end_ns < out.until_ns => met.removed.push(format!(
                    "{name}, out for {} us, was out for {} us when an exchange began that took {} us",
                    out.until_ns.saturating_sub(out.from_ns) / 1_000,
                    (exchange.start_ns - out.from_ns) / 1_000,
                    (exchange.end_ns - exchange.start_ns) / 1_000,
                )),
                Some(_) => met.undecided += 1,
                None => (),
            }
        }
        met
    }

    fn absence_at(&self, pod: usize, time_ns: u64) -> Option<Absence> {
        let absences = &self.absences[pod];
        let begun = absences.partition_point(|absence| absence.from_ns <= time_ns);
        let last = *absences.get(begun.checked_sub(1)?)?;
        (time_ns < last.until_ns).then_some(last)
    }
}

/// The clock that exchanges go by.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    std::time::Duration::from(now).as_nanos() as u64
}

#[test]
fn only_answers_from_within_an_absence_are_wrong() {
    #[track_caller]
    fn check(pod: &str, start_ns: u64, end_ns: u64, wrong: usize, undecided: u64) {
        let mut history = History::default();
        history.removed(0, 100);
        history.put_back(0, 200);
        history.removed(0, 300);
        let met = history.judge(&[Exchange { start_ns, end_ns, outcome: Ok(pod.into()) }]);
        assert_eq!((met.removed.len(), met.undecided), (wrong, undecided), "{start_ns} {end_ns}");
    }
    check(PODS[0], 99, 150, 0, 0);
    check(PODS[0], 100, 199, 1, 0);
    check(PODS[0], 100, 200, 0, 1);
    check(PODS[0], 200, 350, 0, 0);
    check(PODS[0], 300, u64::MAX - 1, 1, 0);
    check(PODS[1], 100, 199, 0, 0);
}
