//! Waiting until no program can still read what a plan took out of use.
//!
//! The wait takes milliseconds and blocks, so it has a thread of its own; requests that arrive
//! meanwhile share the next wait.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use tracing::warn;

/// How long to wait where the kernel cannot tell: programs run for microseconds, and a system call
/// that a hook belongs to does not outlast this on a machine that still works.
const QUARANTINE: Duration = Duration::from_secs(1);

/// Asks for grace periods.
#[derive(Clone, Debug)]
pub struct Grace(Sender<Duration>);

impl Grace {
    /// Asks for one that begins after `delay`. The answer comes in the way that [`serve`] was told.
    pub fn request(&self, delay: Duration) {
        // Nobody serves any more only when the agent is about to end.
        _ = self.0.send(delay);
    }
}

/// A pair for the thread that waits, and for who asks.
pub fn pair() -> (Grace, Receiver<Duration>) {
    let (sender, receiver) = channel();
    (Grace(sender), receiver)
}

/// Serves requests until nobody can ask any more or `over` answers `false`. `over` is called after
/// each period; `wait` is the kernel's way, if it has one.
pub fn serve(
    requests: &Receiver<Duration>,
    wait: Option<fn() -> std::io::Result<()>>,
    over: impl Fn() -> bool,
) {
    while let Ok(first) = requests.recv() {
        let delay = requests.try_iter().fold(first, Duration::max);
        thread::sleep(delay);
        match wait.map(|wait| wait()) {
            Some(Ok(())) => (),
            Some(Err(error)) => {
                warn!("waiting for running programs: {error}; waiting {QUARANTINE:?} instead");
                thread::sleep(QUARANTINE);
            }
            None => thread::sleep(QUARANTINE),
        }
        if !over() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn requests_that_arrive_together_share_a_wait() {
        let (grace, requests) = pair();
        (0..3).for_each(|_| grace.request(Duration::ZERO));
        drop(grace);
        let waits = Cell::new(0);
        serve(&requests, Some(|| Ok(())), || {
            waits.set(waits.get() + 1);
            true
        });
        assert_eq!(waits.get(), 1);
    }
}
