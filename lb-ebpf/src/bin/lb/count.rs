//! Counting.

use lb_common::counter::Counter;

use crate::{lookup, maps::COUNTERS};

/// Counts one. Per CPU, so a plain addition will do.
#[inline(always)]
pub fn count(counter: Counter) {
    lookup::add(&COUNTERS, counter.index(), 1);
}
