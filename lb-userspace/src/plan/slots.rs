//! The slots of a run: who stands in a service's list and hash table, and how often.
//!
//! Pure arithmetic over a list's members. The list is for choosing at random: each backend as often
//! as its weight. The table is for choosing by a flow's hash, so that every node that has the same
//! backends sends the flow to the same one, and almost no flow moves when another backend goes.
//!
//! # The table
//!
//! After Maglev (Eisenbud et al., 2016): each backend has a pseudo-random sequence of slots, derived
//! from its address and port alone; the backends go through their sequences side by side, and a
//! free slot belongs to whoever comes to it first. Two things differ from the paper, both because
//! of how many flows move when one backend of a few goes (`tests` and the documentation have the
//! figures):
//!
//! * A backend that comes to a slot which is taken loses its turn, instead of looking on for a free
//!   one: whose slot it is then depends on those two alone, not on everybody's progress. The price
//!   is an uneven table, which a bound keeps in check: nobody has more than [`SURPLUS_PERCENT`]
//!   above its share.
//! * The size changes seldom: it goes by [`SIZES`], not by the exact number of backends. A table of
//!   another size is another table, from which nearly every flow moves.

use std::net::SocketAddr;

use lb_common::{limits, run::Run};

/// A member of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share {
    /// Row of `BACKENDS`.
    pub(super) index: u32,
    /// How much of the traffic beside the others; not 0.
    pub(super) weight: u16,
    /// What every node knows it by.
    pub(super) address: SocketAddr,
}

/// A size of table.
struct Size {
    /// Up to so many backends.
    backends: usize,
    /// The smallest prime of at least a hundred slots for each.
    slots: u32,
    /// How often a backend of weight 1 has its turn before the slots that are left are given away
    /// at one go: about when that is the quicker way. It has to be the same for all numbers of
    /// backends, or many slots would be decided another way when one goes.
    rounds: u32,
}

/// All sizes. The last is the largest prime that a run can have; more backends than a hundredth of
/// it share what there is.
const SIZES: [Size; 7] = [
    Size { backends: 8, slots: 809, rounds: 400 },
    Size { backends: 32, slots: 3_203, rounds: 600 },
    Size { backends: 128, slots: 12_809, rounds: 800 },
    Size { backends: 512, slots: 51_203, rounds: 1_000 },
    Size { backends: 2_048, slots: 204_803, rounds: 1_200 },
    Size { backends: 8_192, slots: 819_229, rounds: 1_400 },
    Size { backends: Run::LONGEST as usize, slots: 1_048_573, rounds: 1_600 },
];

/// How far above its share a backend's part of the table may be.
const SURPLUS_PERCENT: u64 = 8;

/// The slots of the list: each backend as often as its weight says, in the least whole numbers. A
/// list that no run could hold is thinned out, to one slot each at last.
pub(super) fn list(shares: &[Share]) -> Vec<u32> {
    let divisor = divisor(shares);
    let total: u64 = shares.iter().map(|share| u64::from(share.weight / divisor)).sum();
    let longest = u64::from(Run::LONGEST);
    // One slot is everybody's; what weights add to that shares the rest.
    let spare = longest.saturating_sub(shares.len() as u64).max(1);
    let thinner = if total <= longest { 1 } else { total.div_ceil(spare) };
    let mut slots = Vec::with_capacity(total.min(longest) as usize);
    for share in shares {
        let times = (u64::from(share.weight / divisor) / thinner).max(1);
        slots.extend(std::iter::repeat_n(share.index, times as usize));
    }
    slots
}

/// Whether choosing by hash is any different from choosing from the list.
pub(super) fn worth_hashing(shares: &[Share]) -> bool {
    shares.len() > 1
}

/// How many slots the table over so many backends has.
pub(super) fn table_size(backends: usize) -> u32 {
    size(backends).slots
}

fn size(backends: usize) -> &'static Size {
    let [.., largest] = &SIZES;
    SIZES.iter().find(|size| backends <= size.backends).unwrap_or(largest)
}

/// The slots of the table over two backends or more, given in the order of their addresses.
pub(super) fn table(shares: &[Share]) -> Vec<u32> {
    let &Size { slots, rounds, .. } = size(shares.len());
    let mut contest = Contest::new(slots);
    let mut rivals = rivals(shares, slots);
    let heaviest = rivals.iter().map(|rival| rival.weight).max().unwrap_or(1);
    for _ in 0..rounds * u32::from(heaviest) {
        if contest.free == 0 {
            break;
        }
        let mut somebody_full = false;
        for rival in &mut rivals {
            if rival.turn(heaviest) {
                contest.claim(rival, slots);
                somebody_full |= rival.room == 0;
            }
        }
        if somebody_full {
            rivals.retain(|rival| rival.room > 0);
        }
    }
    contest.finish(&mut rivals);
    contest.slots
}

/// A table as it is filled.
struct Contest {
    slots: Vec<u32>,
    /// A bit for each slot that is taken: it fits a processor's nearest cache when the slots
    /// themselves no longer do.
    taken: Vec<u64>,
    free: u32,
}

impl Contest {
    fn new(size: u32) -> Self {
        let (slots, words) = (size as usize, size.div_ceil(64) as usize);
        Self { slots: vec![NOBODY; slots], taken: vec![0; words], free: size }
    }

    /// The rival's next slot is its own, if nobody was there before.
    fn claim(&mut self, rival: &mut Rival, size: u32) {
        let at = rival.next(size);
        let Some(word) = self.taken.get_mut(at as usize / 64) else { return };
        let bit = 1 << (at % 64);
        if *word & bit != 0 {
            return;
        }
        *word |= bit;
        if let Some(slot) = self.slots.get_mut(at as usize) {
            *slot = rival.index;
            rival.room -= 1;
            self.free -= 1;
        }
    }

    /// Gives each slot that is left to the one rival with room whose claim to it is best.
    fn finish(&mut self, rivals: &mut [Rival]) {
        for (at, slot) in (0u64..).zip(&mut self.slots).filter(|(_, slot)| **slot == NOBODY) {
            let with_room = rivals.iter_mut().filter(|rival| rival.room > 0);
            if let Some(rival) = with_room.max_by_key(|rival| mix(rival.identity ^ mix(at))) {
                rival.room -= 1;
                *slot = rival.index;
            }
        }
    }
}

const NOBODY: u32 = u32::MAX;

/// A backend while the table is filled.
struct Rival {
    index: u32,
    identity: u64,
    /// Where its sequence stands.
    state: u64,
    /// How many slots it may still take; who has no room left leaves the contest.
    room: u32,
    weight: u16,
    /// Parts of a turn, as many as the heaviest has in a whole one.
    credit: u16,
}

impl Rival {
    /// Whether it is its turn: in every round for the heaviest, for others as seldom as they are
    /// lighter.
    fn turn(&mut self, heaviest: u16) -> bool {
        self.credit += self.weight;
        let turn = self.credit >= heaviest;
        if turn {
            self.credit -= heaviest;
        }
        turn
    }

    /// The next slot of its sequence.
    fn next(&mut self, size: u32) -> u32 {
        self.state = self.state.wrapping_add(GOLDEN);
        (((mix(self.state) >> 32) * u64::from(size)) >> 32) as u32
    }
}

fn rivals(shares: &[Share], size: u32) -> Vec<Rival> {
    let divisor = divisor(shares);
    let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    let part = |share: &Share| {
        let most = u64::from(size) * u64::from(share.weight) * (100 + SURPLUS_PERCENT);
        most.div_ceil(total * 100) as u32
    };
    let rival = |share: &Share| {
        let identity = identity(share.address);
        let (index, weight, room) = (share.index, share.weight / divisor, part(share));
        Rival { index, identity, state: identity, room, weight, credit: 0 }
    };
    shares.iter().map(rival).collect()
}

/// A number for an address and port. Never to be changed: nodes that are upgraded one by one must
/// agree meanwhile.
fn identity(address: SocketAddr) -> u64 {
    let octets = match address.ip() {
        std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        std::net::IpAddr::V6(ip) => ip.to_bits(),
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

/// What all weights can be divided by.
fn divisor(shares: &[Share]) -> u16 {
    shares.iter().fold(0, |divisor, share| gcd(divisor, share.weight)).max(1)
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

const _: () = assert!(limits::WEIGHT_LARGEST < u16::MAX / 2, "credits are sums of two weights");

#[cfg(test)]
mod tests;
