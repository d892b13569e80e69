//! Changes the service's endpoints without pause, as the agent would.

use std::{
    fmt,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use lb_userspace::{
    kernel::sys,
    maps::{KernelTables, Tables},
    plan::{Planner, Retired},
};

use crate::{
    history::{History, now_ns},
    paths,
    stage::{PODS, Stage},
};

/// Time from one change to the next.
const PERIOD: Duration = Duration::from_millis(5);
/// How many times as long a busy machine may take for half of the changes that there is time for.
const LONGEST: u32 = 10;
/// A service always has this many endpoints at least.
const FEWEST: usize = 2;
/// And not more than this, so that somebody is always out.
const MOST: usize = 7;

/// See the module.
pub struct Changer<'a> {
    stage: &'a Stage,
    tables: KernelTables,
    planner: Planner,
    random: Random,
    /// The pods that are endpoints, by number.
    now: Vec<usize>,
    history: History,
    to_wait: Sender<Retired>,
    over: Receiver<Retired>,
}

/// What was done.
pub struct Made {
    changes: u32,
    /// Rows and runs given back while it went on.
    releases: u32,
    took: Duration,
    longest_write: Duration,
    lasting: Duration,
}

impl<'a> Changer<'a> {
    /// The service is there, with all pods.
    pub fn new(stage: &'a Stage, seed: u64) -> Self {
        let (tables, planner) = stage.tables();
        let (to_wait, requests) = channel();
        let (done, over) = channel();
        thread::spawn(move || grace(&requests, &done));
        let random = Random(seed);
        let (now, history) = Default::default();
        let mut changer = Self { stage, tables, planner, random, now, history, to_wait, over };
        changer.change((0..PODS.len()).collect());
        changer
    }

    /// Changes the endpoints at a steady rate for a while.
    pub fn run(&mut self, lasting: Duration) -> Made {
        let started = Instant::now();
        let mut made =
            Made { changes: 0, releases: 0, took: lasting, longest_write: Duration::ZERO, lasting };
        while started.elapsed() < lasting
            || !made.is_enough() && started.elapsed() < LONGEST * lasting
        {
            for retired in self.over.try_iter() {
                self.planner.release(retired);
                made.releases += 1;
            }
            let next = self.pick();
            made.longest_write = made.longest_write.max(self.change(next));
            made.changes += 1;
            // From the start and not from the last change, so that what was late is made up for.
            thread::sleep((PERIOD * made.changes).saturating_sub(started.elapsed()));
        }
        made.took = started.elapsed();
        made
    }

    /// Other endpoints than now.
    fn pick(&mut self) -> Vec<usize> {
        loop {
            let mut pods: Vec<usize> = (0..PODS.len()).collect();
            let count = FEWEST + self.random.below(MOST - FEWEST + 1);
            while pods.len() > count {
                pods.remove(self.random.below(pods.len()));
            }
            if pods != self.now {
                return pods;
            }
        }
    }

    fn change(&mut self, next: Vec<usize>) -> Duration {
        let plan = self.planner.plan([(paths::name(), paths::service(self.stage, &next))]);
        assert_eq!(plan.rejections, []);
        let begun_ns = now_ns();
        for pod in next.iter().filter(|pod| !self.now.contains(pod)) {
            self.history.put_back(*pod, begun_ns);
        }
        self.tables.apply(&plan.ops).unwrap();
        let done_ns = now_ns();
        for pod in self.now.iter().filter(|pod| !next.contains(pod)) {
            self.history.removed(*pod, done_ns);
        }
        self.now = next;
        self.to_wait.send(plan.retired).unwrap();
        Duration::from_nanos(done_ns - begun_ns)
    }

    /// What happened.
    pub fn into_history(self) -> History {
        self.history
    }
}

/// Waits for programs that were running, for all that has gone out of use meanwhile at once: a wait
/// takes longer than the time to the next change.
fn grace(requests: &Receiver<Retired>, over: &Sender<Retired>) {
    while let Ok(mut retired) = requests.recv() {
        requests.try_iter().for_each(|more| retired.merge(more));
        sys::wait_for_readers().unwrap();
        // Nobody listens any more only when the test is about to end.
        _ = over.send(retired);
    }
}

impl Made {
    /// A machine too slow for the load proves nothing.
    pub fn assert_enough(&self) {
        let (changes, wanted) = (self.changes, self.wanted());
        assert!(self.is_enough(), "{changes} of {wanted} changes, {} releases", self.releases);
    }

    /// Whether half of the changes were made, and what was retired was used again.
    fn is_enough(&self) -> bool {
        self.changes >= self.wanted() / 2 && self.releases > 0
    }

    fn wanted(&self) -> u32 {
        (self.lasting.as_millis() / PERIOD.as_millis()) as u32
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = f64::from(self.changes) / self.took.as_secs_f64();
        let write_us = self.longest_write.as_micros();
        write!(
            f,
            "{} changes in {:.1} s, {rate:.0} a second; the longest write took {write_us} us; \
             {} grace periods",
            self.changes,
            self.took.as_secs_f64(),
            self.releases,
        )
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}
