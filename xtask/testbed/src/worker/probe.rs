//! A client: makes its exchanges, on as many threads as asked for, and tallies them.

use std::{
    io::{self, Read},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    time::{ClockId, clock_gettime},
};

use super::{Amount, Line, Probe, Report, report::Tally, tell, transport::Client};
use crate::error::{During, Result};

/// Makes all exchanges and returns what came of them.
pub(super) fn probe(order: &Probe) -> Result<Report> {
    let started_ns = now_ns()?;
    let progress = Progress::new(order, started_ns);
    if order.amount == Amount::UntilStopped {
        // Not joined: it waits for the end of standard input, which may come after the report.
        let (stop, ended) = (Arc::clone(&progress.stop), Arc::clone(&progress.ended));
        thread::spawn(move || {
            heed(&ended);
            stop.store(true, Ordering::Relaxed);
        });
    }
    tell(&Line::Ready)?;
    let tallies = thread::scope(|scope| {
        let threads: Vec<_> = (0..order.concurrency.max(1))
            .map(|_| scope.spawn(|| exchanges(order, &progress)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
            .collect::<Result<Vec<Tally>>>()
    })?;
    let elapsed = Duration::from_nanos(now_ns()? - started_ns);
    Ok(Tally::report(tallies, elapsed))
}

/// Answers each byte of standard input with how far the client is, until there are no more.
fn heed(ended: &AtomicU64) {
    while io::stdin().lock().read(&mut [0]).is_ok_and(|length| length > 0) {
        // Who does not read it is gone, which standard input will tell.
        let _ = tell(&Line::Ended(ended.load(Ordering::Relaxed)));
    }
}

/// What tells a client's threads whether to go on.
struct Progress {
    amount: Amount,
    most_failures: u64,
    started_ns: u64,
    begun: AtomicU64,
    ended: Arc<AtomicU64>,
    failed: AtomicU64,
    stop: Arc<AtomicBool>,
}

impl Progress {
    fn new(order: &Probe, started_ns: u64) -> Self {
        Self {
            amount: order.amount,
            most_failures: order.most_failures,
            started_ns,
            begun: AtomicU64::new(0),
            ended: Default::default(),
            failed: AtomicU64::new(0),
            stop: Default::default(),
        }
    }

    /// Whether to make another exchange at this time.
    fn another(&self, now_ns: u64) -> bool {
        if self.failed.load(Ordering::Relaxed) >= self.most_failures {
            return false;
        }
        match self.amount {
            Amount::Requests(requests) => self.begun.fetch_add(1, Ordering::Relaxed) < requests,
            Amount::For(time) => u128::from(now_ns - self.started_ns) < time.as_nanos(),
            Amount::UntilStopped => !self.stop.load(Ordering::Relaxed),
        }
    }
}

fn exchanges(order: &Probe, progress: &Progress) -> Result<Tally> {
    let mut client = Client::new(order);
    let mut tally = Tally::new(order.record);
    let mut start_ns = now_ns()?;
    while progress.another(start_ns) {
        let result = client.exchange();
        let end_ns = now_ns()?;
        if result.is_err() {
            progress.failed.fetch_add(1, Ordering::Relaxed);
        }
        tally.add(start_ns, end_ns, result.map_err(|error| error_name(&error)));
        progress.ended.fetch_add(1, Ordering::Relaxed);
        start_ns = end_ns;
    }
    Ok(tally)
}

/// The name of the error number, as everybody knows it. A wait that ended without an answer is
/// ETIMEDOUT, whichever call waited.
pub(super) fn error_name(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "ETIMEDOUT".into(),
        kind => match error.raw_os_error() {
            Some(number) => format!("{:?}", Errno::from_raw(number)),
            None => format!("{kind:?}"),
        },
    }
}

/// The monotonic clock, which is the same in every process.
fn now_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).during("read", "the clock")?;
    Ok(Duration::from(now).as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_names_people_know() {
        for (error, expected) in [
            (io::Error::from_raw_os_error(111), "ECONNREFUSED"),
            (io::Error::from_raw_os_error(113), "EHOSTUNREACH"),
            (io::Error::from_raw_os_error(11), "ETIMEDOUT"),
            (io::ErrorKind::TimedOut.into(), "ETIMEDOUT"),
            (io::ErrorKind::UnexpectedEof.into(), "UnexpectedEof"),
        ] {
            assert_eq!(error_name(&error), expected);
        }
    }

    #[test]
    fn a_client_stops_when_its_amount_is_reached() {
        let probe = Probe::tcp(([127, 0, 0, 1], 1).into());
        let progress = Progress::new(&probe.clone().requests(2), 0);
        assert_eq!([0, 0, 0].map(|now| progress.another(now)), [true, true, false]);
        let progress = Progress::new(&probe.clone().lasting(Duration::from_nanos(10)), 100);
        assert_eq!([100, 109, 110].map(|now| progress.another(now)), [true, true, false]);
        let progress = Progress::new(&probe.clone().until_stopped().most_failures(2), 0);
        assert!(progress.another(u64::MAX));
        progress.failed.store(2, Ordering::Relaxed);
        assert!(!progress.another(0));
        let progress = Progress::new(&probe.until_stopped(), 0);
        progress.stop.store(true, Ordering::Relaxed);
        assert!(!progress.another(0));
    }
}
