//! How long to wait before the next attempt. Pure: time and chance are arguments.
//!
//! Two things are weighed. A picture must be exact soon after a server is back, so who asks a
//! server that is not there asks often: a refused connection costs it nothing. And when it is back,
//! a thousand agents must not come at once: every pause is spread over half its length, so attempts
//! of different nodes are in no step, and a server that answers, but with an error, is left alone
//! for longer and longer, at least for as long as it says.

use std::time::Duration;

use super::failure::{Class, Failure};

const SHORTEST_UNREACHABLE: Duration = Duration::from_millis(100);
const SHORTEST_REFUSED: Duration = Duration::from_millis(250);
/// Between attempts to reach a server that went away not long ago.
const STEP_UNREACHABLE: Duration = Duration::from_secs(1);
/// The longer it is away, the longer the pauses: at most this part of the time.
const PART_OF_ABSENCE: u32 = 50;
const LONGEST_UNREACHABLE: Duration = Duration::from_secs(10);
const LONGEST_REFUSED: Duration = Duration::from_secs(30);
/// A watch that ended by the server's will: it may be about to stop, with all its watches at once.
const LONGEST_AFTER_END: Duration = Duration::from_millis(500);
/// Versions expire for all clients at the same moment.
const LONGEST_BEFORE_RELIST: Duration = Duration::from_millis(500);

/// Counts failures since the last success, each sort for itself: a server that was away for long
/// and comes back with an error has answered with an error only once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    unreachable: u32,
    refused: u32,
    expired: u32,
}

impl Backoff {
    /// Something succeeded.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The pause after a failure. `away`: how long nothing has succeeded; `chance`: from 0 to 1.
    pub(super) fn after(&mut self, failure: &Failure, away: Duration, chance: f64) -> Duration {
        let longest = match failure.class() {
            Class::Unreachable => {
                let longest = (away / PART_OF_ABSENCE).clamp(STEP_UNREACHABLE, LONGEST_UNREACHABLE);
                (SHORTEST_UNREACHABLE * doubled(&mut self.unreachable)).min(longest)
            }
            Class::Expired => match doubled(&mut self.expired) {
                1 => return LONGEST_BEFORE_RELIST.mul_f64(chance),
                more => (SHORTEST_REFUSED * more).min(LONGEST_REFUSED),
            },
            Class::Refused | Class::Rejected => {
                (SHORTEST_REFUSED * doubled(&mut self.refused)).min(LONGEST_REFUSED)
            }
        };
        let spread = longest.mul_f64(0.5 + chance / 2.0);
        match failure.retry_after() {
            Some(asked) => spread.max(asked.mul_f64(1.0 + chance)),
            None => spread,
        }
    }

    /// The pause after a watch that the server ended, after `lasted` of the `agreed` time.
    pub(super) fn after_end(lasted: Duration, agreed: Duration, chance: f64) -> Duration {
        // What ends when it was agreed to end is in no step with others.
        if lasted >= agreed { Duration::ZERO } else { LONGEST_AFTER_END.mul_f64(chance) }
    }
}

/// Two to the power of the failures before this one, which is counted.
fn doubled(failures: &mut u32) -> u32 {
    let doubled = 2u32.saturating_pow((*failures).min(16));
    *failures = failures.saturating_add(1);
    doubled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after_s: Option<u64>) -> Failure {
        let retry_after = retry_after_s.map(Duration::from_secs);
        Failure::Refused { operation: "list", status, message: String::new(), retry_after }
    }

    fn silent() -> Failure {
        Failure::Silent { operation: "list", waited: Duration::ZERO }
    }

    /// The pauses in milliseconds when the same thing fails again and again.
    #[track_caller]
    fn check(failure: &Failure, away_s: u64, chance: f64, expected: &[u128]) {
        let mut backoff = Backoff::default();
        let away = Duration::from_secs(away_s);
        let found: Vec<_> =
            expected.iter().map(|_| backoff.after(failure, away, chance).as_millis()).collect();
        assert_eq!(found, expected, "{failure:?}");
    }

    #[test]
    fn pauses_double_up_to_a_limit() {
        check(&silent(), 0, 1.0, &[100, 200, 400, 800, 1000, 1000]);
        check(&refused(500, None), 0, 1.0, &[250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000]);
    }

    #[test]
    fn every_pause_is_spread_over_half_its_length() {
        check(&silent(), 0, 0.0, &[50, 100, 200, 400, 500, 500]);
        check(&refused(503, None), 0, 0.0, &[125, 250, 500]);
    }

    #[test]
    fn a_server_that_is_long_away_is_asked_less_often() {
        let last = |away| check(&silent(), away, 1.0, &[100, 200, 400, 800]);
        last(60);
        let mut backoff = Backoff::default();
        (0..20).for_each(|_| _ = backoff.after(&silent(), Duration::ZERO, 1.0));
        let mut after = |away| backoff.after(&silent(), Duration::from_secs(away), 1.0).as_millis();
        assert_eq!([after(60), after(300), after(3600)], [1200, 6000, 10_000]);
    }

    #[test]
    fn the_server_is_given_the_time_it_asks_for() {
        check(&refused(429, Some(3)), 0, 0.0, &[3000, 3000]);
        check(&refused(429, Some(3)), 0, 0.5, &[4500, 4500]);
        check(&refused(429, None), 0, 1.0, &[250]);
    }

    #[test]
    fn an_expired_version_is_no_failure_unless_it_happens_again() {
        check(&refused(410, None), 0, 1.0, &[500, 500, 1000]);
        check(&refused(410, None), 0, 0.0, &[0, 250]);
    }

    #[test]
    fn a_long_absence_does_not_count_against_the_first_answer() {
        let mut backoff = Backoff::default();
        (0..99).for_each(|_| _ = backoff.after(&silent(), Duration::ZERO, 1.0));
        let mut after = |failure| backoff.after(&failure, Duration::ZERO, 1.0).as_millis();
        assert_eq!(after(refused(503, None)), 250);
        assert_eq!(after(refused(410, None)), 500);
        assert_eq!(after(silent()), 1000);
    }

    #[test]
    fn success_begins_anew() {
        let mut backoff = Backoff::default();
        (0..9).for_each(|_| _ = backoff.after(&silent(), Duration::ZERO, 1.0));
        backoff.reset();
        assert_eq!(backoff.after(&silent(), Duration::ZERO, 1.0).as_millis(), 100);
    }

    #[test]
    fn only_a_watch_that_ended_early_is_waited_after() {
        let agreed = Duration::from_secs(300);
        assert_eq!(Backoff::after_end(agreed, agreed, 1.0), Duration::ZERO);
        assert_eq!(Backoff::after_end(agreed / 2, agreed, 1.0), LONGEST_AFTER_END);
    }
}
