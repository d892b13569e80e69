//! A backend while a table is filled: its share, and its way through the cells.

use std::net::{IpAddr, SocketAddr};

use super::{
    Share, divisor,
    table::{FANOUT_BITS, LAST_LEVEL, LEAST_PERCENT, MOST_PERCENT, cells_of},
};

/// Cells of the first level, the smallest prime of eight hundred and more. Three does not divide
/// it less one, so that its numbers' cubes are all different.
pub(super) const LENGTH: u32 = 809;

/// Parts of a table, whatever its size, in which shares are counted: slots of the largest.
pub(super) const UNITS: u32 = cells_of(LAST_LEVEL);

/// Thousandths of a turn that somebody may have in addition to each, at most.
const FURTHER_MOST: u64 = 31 * TURN;
const TURN: u64 = 1_000;

/// Who comes first to each cell of the first level, and a few more to make it even: turns until then,
/// and in the lowest byte the number of the rival.
pub(super) type FirstComers = [u32; (LENGTH as usize).next_multiple_of(LANES)];

const LANES: usize = 8;

pub(super) struct Rival {
    pub(super) index: u32,
    pub(super) weight: u16,
    identity: u64,
    /// Its way through the cells of the first level: the cubes from one of them on, multiplied and
    /// moved. Mere steps of equal length would do, if it were not for pairs of backends whose steps
    /// have something to do with each other.
    start: u16,
    factor: u16,
    inverse: u16,
    shift: u16,
    /// Where on it the next turn is.
    at: u16,
    /// How often it went all the way: each time to another part of each cell.
    round: u16,
    /// Units that are its share, that it has, with which it may still take a cell of this level,
    /// and that it may have.
    share: u32,
    pub(super) claimed: u32,
    pub(super) last_claim: i32,
    most: u32,
    /// It takes no cell without room for so much of it, in 1,024ths: from a half to one and a half.
    /// If it were the same for all, a bound that falls with the number of backends would take a
    /// cell from all of them at once.
    reserve: u16,
    /// Parts of a turn, and thousandths of further ones, with each regular turn and in hand.
    credit: i64,
    pub(super) further: u32,
    further_credit: u32,
}

impl Rival {
    fn new(share: &Share, divisor: u16, total: u64) -> Self {
        let identity = identity(share.address);
        let (way, start) = (mix(identity), mix(mix(identity)));
        let factor = 1 + below(way, LENGTH - 1);
        let part = u64::from(UNITS) * u64::from(share.weight);
        Self {
            index: share.index,
            weight: share.weight / divisor,
            identity,
            start: below(start, LENGTH) as u16,
            factor: factor as u16,
            inverse: INVERSES[factor as usize],
            shift: below(way << 32, LENGTH) as u16,
            at: 0,
            round: 0,
            share: (part / total) as u32,
            claimed: 0,
            last_claim: 0,
            most: (part * MOST_PERCENT).div_ceil(100 * total) as u32,
            reserve: 512 + (start % 1_024) as u16,
            credit: 0,
            further: 0,
            further_credit: 0,
        }
    }

    /// Before cells of so many units are given away, with so many units left in all.
    pub(super) fn enter(&mut self, level: usize, worth: u32, left: u32) {
        (self.at, self.round) = (self.start, 0);
        (self.credit, self.further_credit) = (0, 0);
        // What is worth a single slot of the largest table is taken while there is any room.
        let reserve = if level == LAST_LEVEL {
            1
        } else {
            (u64::from(self.reserve) * u64::from(worth)).div_ceil(1_024) as u32
        };
        self.last_claim = self.most as i32 - reserve as i32;
        let share = u64::from(self.share);
        let expected = (share * u64::from(left) / u64::from(UNITS)).max(1);
        let needed = (share * LEAST_PERCENT / 100).saturating_sub(u64::from(self.claimed));
        let further = TURN * needed.saturating_sub(expected) / expected;
        self.further = further.min(FURTHER_MOST) as u32;
    }

    /// How many turns it has in a round, where all weigh the same.
    pub(super) fn turns(&mut self) -> u32 {
        if self.further == 0 {
            return 1;
        }
        self.further_credit += self.further;
        let further = self.further_credit / TURN as u32;
        self.further_credit %= TURN as u32;
        1 + further
    }

    /// How fast it is beside those of other weights. Who has come to many of all cells comes to few
    /// new ones: so what it finds goes with its weight, and with nothing else.
    pub(super) fn pace(&self, cells: u32) -> u64 {
        u64::from(self.weight) * u64::from(cells.saturating_sub(self.seen()))
    }

    /// How many turns it has in a round in which the fastest has one, but for further ones.
    pub(super) fn turns_beside(&mut self, fastest: u64, cells: u32) -> u32 {
        self.credit += self.pace(cells) as i64;
        if 2 * self.credit < fastest as i64 {
            return 0;
        }
        self.credit -= fastest as i64;
        self.turns()
    }

    /// Cells it has come to at this level.
    fn seen(&self) -> u32 {
        let (at, start) = (u32::from(self.at), u32::from(self.start));
        u32::from(self.round) * LENGTH + at + if at < start { LENGTH } else { 0 } - start
    }

    /// The cell it comes to next.
    pub(super) fn next(&mut self, level: usize) -> u32 {
        let cube = u32::from(CUBES[self.at as usize]);
        let first = (u32::from(self.factor) * cube + u32::from(self.shift)) % LENGTH;
        let round = self.round;
        self.at = if self.at == LENGTH as u16 - 1 { 0 } else { self.at + 1 };
        self.round += u16::from(self.at == self.start);
        if level == 0 {
            return first;
        }
        let bits = FANOUT_BITS * level as u32;
        let hash = mix(self.identity ^ u64::from(first));
        let part = (hash as u32).wrapping_add(u32::from(round)) & ((1 << bits) - 1);
        first << bits | part
    }

    /// Whether it has room for a cell.
    pub(super) fn may_claim(&self) -> bool {
        self.claimed as i32 <= self.last_claim
    }

    /// Notes itself, by a number below 256, as the first in each cell of the first level to which it
    /// comes before who is noted there: see [`FirstComers`].
    pub(super) fn race(&self, number: u32, first: &mut FirstComers) {
        // A few lanes side by side, as each position is made of the one before it.
        let mut at: [u32; LANES] = std::array::from_fn(|lane| self.position(lane as u32));
        let step = LANES as u32 * u32::from(self.inverse) % LENGTH;
        for first in first.as_chunks_mut::<LANES>().0 {
            for (first, at) in first.iter_mut().zip(&mut at) {
                let time = u32::from(ROOTS[*at as usize]) + LENGTH - u32::from(self.start);
                let time = time - if time >= LENGTH { LENGTH } else { 0 };
                *first = (*first).min(time << 8 | number);
                *at += step;
                *at -= if *at >= LENGTH { LENGTH } else { 0 };
            }
        }
    }

    /// Where among the cubes a cell of the first level is.
    fn position(&self, first: u32) -> u32 {
        (first + LENGTH - u32::from(self.shift)) * u32::from(self.inverse) % LENGTH
    }

    /// How many cells it comes to before this one.
    pub(super) fn turns_until(&self, cell: u32, level: usize) -> u32 {
        let bits = FANOUT_BITS * level as u32;
        let first = cell >> bits;
        let at = u32::from(ROOTS[self.position(first) as usize]) + LENGTH;
        let hash = mix(self.identity ^ u64::from(first));
        let round = cell.wrapping_sub(hash as u32) & ((1 << bits) - 1);
        round * LENGTH + (at - u32::from(self.start)) % LENGTH
    }

    /// When it has had so many turns, where all weigh the same.
    pub(super) fn time(&self, turns: u32) -> u64 {
        (u64::from(turns) << 32) / (TURN + u64::from(self.further))
    }

    /// When it has had so many turns, at its pace beside others.
    pub(super) fn time_beside(&self, turns: u32, cells: u32) -> u64 {
        let passed = logarithm(2 * cells) - logarithm(2 * (cells - turns) - 1);
        (passed << 24) / (u64::from(self.weight) * (TURN + u64::from(self.further)))
    }

    /// Units it may still have.
    pub(super) fn room(&self) -> u32 {
        self.most.saturating_sub(self.claimed)
    }
}

/// In an order that no address is ahead in.
pub(super) fn rivals(shares: &[Share]) -> Vec<Rival> {
    let divisor = divisor(shares);
    let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let mut rivals: Vec<_> = shares.iter().map(|share| Rival::new(share, divisor, total)).collect();
    rivals.sort_unstable_by_key(|rival| rival.identity);
    rivals
}

/// The upper half of a number, brought below `end`.
fn below(number: u64, end: u32) -> u32 {
    (((number >> 32) * u64::from(end)) >> 32) as u32
}

/// The logarithm to base 2, in 2^32ths, to within a hundredth; the same on every machine.
fn logarithm(number: u32) -> u64 {
    let whole = number.ilog2();
    let part = (u64::from(number) << 32 >> whole) - (1 << 32);
    // A line from one power of two to the next, and the parabola that is missing above it.
    let above = (((part * ((1 << 32) - part)) >> 32) * 11) >> 5;
    (u64::from(whole) << 32) + part + above
}

/// The cubes of all numbers modulo [`LENGTH`].
const CUBES: [u16; LENGTH as usize] = {
    let mut cubes = [0; LENGTH as usize];
    let mut number = 0;
    while number < LENGTH {
        cubes[number as usize] = (number * number % LENGTH * number % LENGTH) as u16;
        number += 1;
    }
    cubes
};

/// Of which number each is the cube.
const ROOTS: [u16; LENGTH as usize] = {
    let mut roots = [0; LENGTH as usize];
    let mut number = 0;
    while number < LENGTH {
        roots[CUBES[number as usize] as usize] = number as u16;
        number += 1;
    }
    roots
};

/// What a number has to be multiplied by to become 1.
const INVERSES: [u16; LENGTH as usize] = {
    // As length = times * number + rest, number * -times = rest.
    let mut all = [0; LENGTH as usize];
    all[1] = 1;
    let mut number = 2;
    while number < LENGTH {
        let (times, rest) = (LENGTH / number, LENGTH % number);
        all[number as usize] = ((LENGTH - times) * all[rest as usize] as u32 % LENGTH) as u16;
        number += 1;
    }
    all
};

/// A number for an address and port. Never to be changed: nodes that are upgraded one by one must
/// agree meanwhile.
fn identity(address: SocketAddr) -> u64 {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let state = mix((octets >> 64) as u64 ^ GOLDEN);
    mix(mix(state ^ octets as u64) ^ u64::from(address.port()))
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A permutation of the 64-bit numbers without visible order (the finisher of SplitMix64).
fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
