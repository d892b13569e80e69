//! Source ports towards one backend: the table `POOLS`.
//!
//! A pool knows which ports are taken; who has them, the flow tables say. What is really given out
//! is the answer's flow entry, whose key holds the port and which is inserted only if nobody has
//! it: the pool is the index by which a free one is found at once, however full it is.

use crate::{Address, Be16};

/// A pool: an address of ours, a backend and its port, a protocol. Ports of different pools may be
/// equal, as the flows still differ. The range is part of the key: after a change of the range,
/// pools begin anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct PoolKey {
    /// The backend's address.
    pub backend: Address,
    /// Our address, which the backend sees.
    pub address: Address,
    /// The backend's port.
    pub backend_port: Be16,
    /// First port of the range.
    pub first: u16,
    /// Ports in the range.
    pub ports: u16,
    /// IANA number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
}

/// The kernel's spin lock. It is found in a map's value by this name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct bpf_spin_lock {
    /// The kernel's own; reads as zero.
    pub value: u32,
}

/// A lock by itself: the table `LOCKS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Lock {
    /// Held for a few instructions, never over a call.
    pub lock: bpf_spin_lock,
    /// Zero.
    pub pad: u32,
}

/// The most ports a pool can hold. With them a pool and what the kernel adds fit 4096 bytes.
pub const MOST_PORTS: u32 = WORD * WORDS as u32;

const WORD: u32 = 64;
const WORDS: usize = 384;
const GROUPS: usize = WORDS / WORD as usize;

/// Which ports of a range are taken, counted from the range's first. Changed only under its lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Pool {
    /// Guards what follows.
    pub lock: bpf_spin_lock,
    /// How many are taken.
    pub taken: u32,
    /// Where the next search begins: one past the port given out last, so that a port rests as long
    /// as there are others.
    pub cursor: u32,
    /// Zero.
    pub pad: u32,
    /// A bit for each word of `words`: all of its ports are taken.
    pub full: [u64; GROUPS],
    /// A bit for each port: taken.
    pub words: [u64; WORDS],
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            lock: bpf_spin_lock::default(),
            taken: 0,
            cursor: 0,
            pad: 0,
            full: [0; GROUPS],
            words: [0; WORDS],
        }
    }
}

impl Pool {
    /// Takes this port, unless it is taken.
    #[inline(always)]
    pub fn take(&mut self, port: u32) -> bool {
        let Some(word) = self.words.get_mut(checked(port / WORD)) else { return false };
        let bit = 1u64 << (port % WORD);
        if *word & bit != 0 {
            return false;
        }
        *word |= bit;
        self.taken = self.taken.wrapping_add(1);
        if *word == u64::MAX
            && let Some(group) = self.full.get_mut(checked(port / WORD / WORD))
        {
            *group |= 1u64 << (port / WORD % WORD);
        }
        true
    }

    /// Takes the next free one of the first `ports`, after the cursor and round again.
    #[inline(always)]
    pub fn take_next(&mut self, ports: u32) -> Option<u32> {
        let start = if self.cursor < ports { self.cursor } else { 0 };
        let port = match self.free_from(start, ports) {
            Some(port) => port,
            None => self.free_from(0, ports)?,
        };
        self.take(port);
        self.cursor = port.wrapping_add(1);
        Some(port)
    }

    /// Gives a port back.
    #[inline(always)]
    pub fn give(&mut self, port: u32) {
        let Some(word) = self.words.get_mut(checked(port / WORD)) else { return };
        let bit = 1u64 << (port % WORD);
        if *word & bit == 0 {
            return;
        }
        *word &= !bit;
        self.taken = self.taken.wrapping_sub(1);
        if let Some(group) = self.full.get_mut(checked(port / WORD / WORD)) {
            *group &= !(1u64 << (port / WORD % WORD));
        }
    }

    /// Moves the cursor on by one, and gives the port it was at.
    #[inline(always)]
    pub fn step(&mut self, ports: u32) -> u32 {
        let port = if self.cursor < ports { self.cursor } else { 0 };
        self.cursor = port.wrapping_add(1);
        port
    }

    /// The first free port from `start` on, below `ports`. Looks at one word, at most all groups,
    /// and one word more.
    #[inline(always)]
    fn free_from(&self, start: u32, ports: u32) -> Option<u32> {
        let first = start / WORD;
        let free = !*self.words.get(checked(first))? & (u64::MAX << (start % WORD));
        if free != 0 {
            return below(first * WORD + lowest(free), ports);
        }
        let next = first + 1;
        let (mut found, mut at) = (None, 0);
        // From the first group to the last, whatever comes before `start`: a loop that begins where
        // a variable says is one that older verifiers lose their way in.
        for group in &self.full {
            let mask = match at {
                _ if at < next / WORD => 0,
                _ if at == next / WORD => u64::MAX << (next % WORD),
                _ => u64::MAX,
            };
            let open = !*group & mask;
            if found.is_none() && open != 0 {
                found = Some(at * WORD + lowest(open));
            }
            at += 1;
        }
        let word = found?;
        let free = !*self.words.get(checked(word))?;
        below(word * WORD + lowest(free), ports)
    }
}

#[inline(always)]
fn below(port: u32, ports: u32) -> Option<u32> {
    if port < ports { Some(port) } else { None }
}

/// An index whose bounds are to be checked where it is used. The compiler would leave out the check
/// of one that follows from another that was checked, and the verifier cannot follow it there: "max
/// value is outside of the allowed memory range".
#[inline(always)]
fn checked(index: u32) -> usize {
    core::hint::black_box(index as usize)
}

/// The position of the lowest bit that is set: the number of ones below it. Kernels have no
/// instruction for it, what the compiler has instead is a table that no loader knows, hence
/// `black_box`; and of a chain of comparisons the verifier follows every way by itself.
#[inline(always)]
fn lowest(bits: u64) -> u32 {
    const PAIRS: u64 = 0x5555_5555_5555_5555;
    const FOURS: u64 = 0x3333_3333_3333_3333;
    const BYTES: u64 = 0x0f0f_0f0f_0f0f_0f0f;
    const SUM: u64 = 0x0101_0101_0101_0101;

    let below = core::hint::black_box((bits & bits.wrapping_neg()).wrapping_sub(1));
    let pairs = below - ((below >> 1) & PAIRS);
    let fours = (pairs & FOURS) + ((pairs >> 2) & FOURS);
    let bytes = (fours + (fours >> 4)) & BYTES;
    (bytes.wrapping_mul(SUM) >> 56) as u32 & (WORD - 1)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::{collections::BTreeSet, vec::Vec};

    use super::*;

    fn all(pool: &mut Pool, ports: u32) -> Vec<u32> {
        core::iter::from_fn(|| pool.take_next(ports)).collect()
    }

    #[test]
    fn every_port_is_given_out_once_and_then_none() {
        for ports in [1, 63, 64, 65, 4_095, 4_097, 20_000, MOST_PORTS] {
            let mut pool = Pool { cursor: ports / 3, ..Pool::default() };
            let given = all(&mut pool, ports);
            assert_eq!(given.first(), Some(&(ports / 3)));
            assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), ports as usize);
            assert!(given.iter().all(|port| *port < ports));
            assert_eq!((given.len() as u32, pool.taken), (ports, ports));
        }
    }

    #[test]
    fn a_port_given_back_is_found_wherever_it_is() {
        const PORTS: u32 = 20_000;
        let mut pool = Pool::default();
        all(&mut pool, PORTS);
        for port in (0..PORTS).step_by(37).chain([0, PORTS - 1, 4_095, 4_096, 63, 64]) {
            pool.give(port);
            pool.give(port);
            assert_eq!(pool.taken, PORTS - 1);
            assert_eq!(pool.take_next(PORTS), Some(port));
            assert_eq!(pool.take_next(PORTS), None);
        }
    }

    #[test]
    fn a_port_rests_while_there_are_others() {
        let mut pool = Pool::default();
        let first = pool.take_next(100).unwrap();
        pool.give(first);
        let next: Vec<_> = (0..99).map(|_| pool.take_next(100).unwrap()).collect();
        assert!(!next.contains(&first));
        assert_eq!(pool.take_next(100), Some(first));
    }

    #[test]
    fn a_port_asked_for_is_given_if_it_is_free() {
        let mut pool = Pool::default();
        assert!(pool.take(70));
        assert!(!pool.take(70));
        assert!(!pool.take(MOST_PORTS));
        let given = all(&mut pool, 128);
        assert!(!given.contains(&70));
        pool.give(MOST_PORTS);
        assert_eq!(pool.taken, 128);
        pool.give(70);
        assert!(pool.take(70));
    }

    #[test]
    fn steps_go_round() {
        let mut pool = Pool::default();
        let steps: Vec<_> = (0..5).map(|_| pool.step(3)).collect();
        assert_eq!(steps, [0, 1, 2, 0, 1]);
    }
}
