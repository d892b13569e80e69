//! Whether the loop keeps up: for how long something has been waiting to be written.
//!
//! Every turn of the loop begins with something new. What a turn does not write, because it fails
//! or hangs, waits from its beginning on; an idle loop has nothing waiting. The health ports read.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// How long something may wait. It is twice the 30 seconds after which kube-proxy syncs in any
/// case, so probes and load balancers that were set up for it find the patience they know.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Shared between the loop and those who are asked how it is.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Beat>);

#[derive(Clone, Copy, Debug, Default)]
struct Beat {
    /// Since when something has been waiting.
    waiting: Option<Instant>,
    written: Option<SystemTime>,
}

/// How the loop is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Nothing waits for longer than [`PATIENCE`]; or nothing was ever written, which is a start.
    pub healthy: bool,
    /// When the last write succeeded.
    pub written: Option<SystemTime>,
}

impl Pulse {
    /// There is something new to write.
    pub fn queued(&self, now: Instant) {
        self.beat().waiting.get_or_insert(now);
    }

    /// All there was has been written.
    pub fn written(&self, now: SystemTime) {
        *self.beat() = Beat { waiting: None, written: Some(now) };
    }

    /// How the loop is.
    pub fn condition(&self, now: Instant) -> Condition {
        let Beat { waiting, written } = *self.beat();
        let late = |since: Instant| now.saturating_duration_since(since) > PATIENCE;
        Condition { healthy: written.is_none() || !waiting.is_some_and(late), written }
    }

    fn beat(&self) -> MutexGuard<'_, Beat> {
        // Whoever panicked beside it, it is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        Queued(u64),
        Written,
    }
    use Step::{Queued, Written};

    #[track_caller]
    fn check(steps: &[Step], asked_at_s: u64, healthy: bool) {
        let start = Instant::now();
        let pulse = Pulse::default();
        for step in steps {
            match step {
                Queued(second) => pulse.queued(start + Duration::from_secs(*second)),
                Written => pulse.written(SystemTime::UNIX_EPOCH),
            }
        }
        let condition = pulse.condition(start + Duration::from_secs(asked_at_s));
        assert_eq!(condition.healthy, healthy);
    }

    #[test]
    fn what_waits_for_more_than_a_minute_is_unhealthy() {
        check(&[Written], 1000, true);
        check(&[Queued(0), Written], 1000, true);
        check(&[Queued(0), Written, Queued(10)], 70, true);
        check(&[Queued(0), Written, Queued(10)], 71, false);
        check(&[Queued(0), Written, Queued(500)], 520, true);
    }

    #[test]
    fn it_waits_since_the_first_time_it_was_not_written() {
        check(&[Written, Queued(10), Queued(60)], 71, false);
        check(&[Written, Queued(10), Queued(60), Written], 1000, true);
    }

    #[test]
    fn a_start_is_healthy_however_long_it_takes() {
        check(&[], 1000, true);
        check(&[Queued(0)], 1000, true);
    }
}
