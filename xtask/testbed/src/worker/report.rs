//! What a client found out.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::transport::Answered;

/// A client's result.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Who answered, by all that distinguishes answers.
    pub answers: Vec<Answer>,
    /// How often what went wrong, by the name of the error number; `UnexpectedEof` and
    /// `InvalidData` for answers cut short or not from our servers.
    pub errors: BTreeMap<String, u64>,
    /// How long an exchange took, if any was answered.
    pub latency: Latency,
    /// How long all of it took.
    pub elapsed: Duration,
    /// Every exchange, in order of their start, if they were to be recorded.
    pub exchanges: Vec<Exchange>,
}

/// Answers that are alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Who answered.
    pub pod: String,
    /// The client's address as the server saw it.
    pub peer: IpAddr,
    /// Where the server was called.
    pub local: SocketAddr,
    /// Whom the client believes to have talked to: getpeername() for TCP and connected UDP, else
    /// the source of the datagram.
    pub from: SocketAddr,
    /// How many.
    pub count: u64,
}

/// Microseconds from the start of an exchange to its end.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    /// Half took no longer.
    pub p50_us: f64,
    /// Nine of ten took no longer.
    pub p90_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// What a client that measures has done.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// Requests.
    pub answered: u64,
    /// Bytes of answers that do not end.
    pub bytes: u64,
    /// How long all of it took.
    pub elapsed: Duration,
    /// How long a request took.
    pub latency: Latency,
}

/// One exchange.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// When it began, by CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Who answered, or the name of the error.
    pub outcome: Result<String, String>,
}

impl Report {
    /// How many exchanges were answered.
    pub fn answered(&self) -> u64 {
        self.answers.iter().map(|answer| answer.count).sum()
    }

    /// How many were not.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Answers by who gave them.
    pub fn by_pod(&self) -> BTreeMap<&str, u64> {
        self.tally(|answer| answer.pod.as_str())
    }

    /// Answers by the client's address as the servers saw it.
    pub fn by_peer(&self) -> BTreeMap<IpAddr, u64> {
        self.tally(|answer| answer.peer)
    }

    fn tally<'a, K: Ord>(&'a self, key: impl Fn(&'a Answer) -> K) -> BTreeMap<K, u64> {
        let mut counts = BTreeMap::new();
        for answer in &self.answers {
            *counts.entry(key(answer)).or_default() += answer.count;
        }
        counts
    }
}

/// What one of a client's threads collects.
#[derive(Debug)]
pub(super) struct Tally {
    record: bool,
    answers: BTreeMap<(String, IpAddr, SocketAddr, SocketAddr), u64>,
    errors: BTreeMap<String, u64>,
    latencies_ns: Vec<u64>,
    exchanges: Vec<Exchange>,
}

impl Tally {
    pub(super) fn new(record: bool) -> Self {
        Self {
            record,
            answers: BTreeMap::new(),
            errors: BTreeMap::new(),
            latencies_ns: Vec::new(),
            exchanges: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64, outcome: Result<Answered, String>) {
        if self.record {
            let outcome = match &outcome {
                Ok(answered) => Ok(answered.seen.pod.clone()),
                Err(name) => Err(name.clone()),
            };
            self.exchanges.push(Exchange { start_ns, end_ns, outcome });
        }
        match outcome {
            Ok(Answered { seen, from }) => {
                let key = (seen.pod, seen.peer.ip(), seen.local, from);
                *self.answers.entry(key).or_default() += 1;
                self.latencies_ns.push(end_ns - start_ns);
            }
            Err(name) => *self.errors.entry(name).or_default() += 1,
        }
    }

    /// Everything the threads collected, together.
    pub(super) fn report(tallies: Vec<Self>, elapsed: Duration) -> Report {
        let mut all = Self::new(false);
        for tally in tallies {
            for (key, count) in tally.answers {
                *all.answers.entry(key).or_default() += count;
            }
            for (name, count) in tally.errors {
                *all.errors.entry(name).or_default() += count;
            }
            all.latencies_ns.extend(tally.latencies_ns);
            all.exchanges.extend(tally.exchanges);
        }
        all.exchanges.sort_by_key(|exchange| exchange.start_ns);
        all.latencies_ns.sort_unstable();
        let answers = all.answers.into_iter().map(|((pod, peer, local, from), count)| Answer {
            pod,
            peer,
            local,
            from,
            count,
        });
        Report {
            answers: answers.collect(),
            errors: all.errors,
            latency: Latency::of(&all.latencies_ns),
            elapsed,
            exchanges: all.exchanges,
        }
    }
}

impl Latency {
    /// Of times in ascending order.
    pub(super) fn of(sorted_ns: &[u64]) -> Self {
        let at = |percent: usize| {
            let rank = (sorted_ns.len() * percent).div_ceil(100).max(1);
            sorted_ns.get(rank - 1).map_or(0.0, |ns| *ns as f64 / 1000.0)
        };
        Self { p50_us: at(50), p90_us: at(90), p99_us: at(99), max_us: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(pod: &str, peer: &str) -> Result<Answered, String> {
        let line = format!("pod={pod} peer={peer} local=10.244.1.2:8080");
        let from = "10.96.0.10:80".parse().expect("an address");
        Ok(Answered { seen: line.parse().expect(&line), from })
    }

    #[test]
    fn what_several_threads_saw_is_added_up() {
        let (mut one, mut other) = (Tally::new(true), Tally::new(true));
        one.add(0, 2_000, answered("a", "10.244.1.9:1"));
        one.add(2_000, 6_000, answered("b", "10.244.1.9:2"));
        other.add(1_000, 7_000, answered("a", "10.244.1.9:3"));
        other.add(7_000, 8_000, Err("ETIMEDOUT".into()));
        let report = Tally::report(vec![one, other], Duration::from_micros(8));
        assert_eq!(report.by_pod(), BTreeMap::from([("a", 2), ("b", 1)]));
        assert_eq!(report.by_peer().len(), 1, "the port does not tell answers apart");
        assert_eq!((report.answered(), report.failed()), (3, 1));
        assert_eq!(report.latency.p50_us, 4.0);
        let starts: Vec<_> = report.exchanges.iter().map(|one| one.start_ns).collect();
        assert_eq!(starts, [0, 1_000, 2_000, 7_000]);
    }

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).map(|us| us * 1000).collect();
        let latency = Latency::of(&hundred);
        assert_eq!((latency.p50_us, latency.p90_us), (50.0, 90.0));
        assert_eq!((latency.p99_us, latency.max_us), (99.0, 100.0));
        assert_eq!(Latency::of(&[]), Latency::default());
    }
}
