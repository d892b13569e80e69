//! Random number to slot: the one definition of choosing.

use crate::run::Run;

/// The slot of `run` that the 32-bit random number `random` chooses; `None` for an empty run.
///
/// Multiply and shift rather than a remainder: no division in the kernel, and for runs as short as
/// ours no measurable bias (a run of n slots is off by at most n / 2^32).
#[inline(always)]
pub const fn slot(run: Run, random: u32) -> Option<u32> {
    if run.is_empty() {
        return None;
    }
    Some(run.offset().wrapping_add(((random as u64 * run.length() as u64) >> 32) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_stay_inside_the_run() {
        let run = Run::new(100, 7, 0);
        assert_eq!(slot(run, 0), Some(100));
        assert_eq!(slot(run, u32::MAX), Some(106));
        assert_eq!(slot(Run::EMPTY, 5), None);
    }

    #[test]
    fn equal_steps_fill_every_slot_equally() {
        let run = Run::new(0, 6, 0);
        let mut hits = [0u32; 6];
        for step in 0..6_000u32 {
            let slot = slot(run, step * (u32::MAX / 6_000)).unwrap();
            hits[slot as usize] += 1;
        }
        assert!(hits.iter().all(|hits| (999..=1_001).contains(hits)), "{hits:?}");
    }
}
