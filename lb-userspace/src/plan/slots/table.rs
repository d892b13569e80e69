//! The hash table over a list's members.
//!
//! After Maglev (Eisenbud et al., 2016): each backend goes through all slots in a pseudo-random
//! order of its own, made of its address and port alone; the backends take turns, and a free slot
//! belongs to whoever comes to it first. Three things differ from the paper, all because of how
//! many flows move when one backend of a few goes (`tests` and the documentation have the figures):
//!
//! * A backend that comes to a slot which is taken loses its turn, instead of looking on for a free
//!   one: whose slot it is then depends on those two alone, not on everybody's progress. The price
//!   is an uneven table; [`MOST_PERCENT`] and [`LEAST_PERCENT`] keep that in check.
//! * Sizes are nested: in the next larger table each slot becomes [`FANOUT`] neighbours, so that
//!   the larger can say the same as the smaller. A *cell* is what was one slot in some size; in a
//!   larger table it may still be given away whole, or be split.
//! * So a table of another size is not another table. The first number of backends that needs a
//!   size has nearly all cells of the size before whole, and each backend more splits a few.

use lb_common::run::Run;

use super::{
    Share,
    rival::{FirstComers, LENGTH, Rival, UNITS, rivals},
};

/// Backends of the smallest table, which has at least a hundred slots for each.
const SMALLEST: usize = 8;

/// So many slots of a table are one of the next smaller.
const FANOUT: u32 = 1 << FANOUT_BITS;
pub(super) const FANOUT_BITS: u32 = 2;

/// The largest table is the smallest, split so many times.
pub(super) const LAST_LEVEL: usize = 5;

/// How many further backends it takes until all cells of a level are split. To split a cell moves
/// three quarters of its flows, and no more than 2 % of all that are on others may move: the first
/// levels are split so slowly for that.
const SPLITTING: [u64; LAST_LEVEL] = [224, 768, 1_536, 4_096, 16_384];

/// About how far above its share a backend's part of the table may be.
pub(super) const MOST_PERCENT: u64 = 130;
/// Who would get less than this has further turns when the smaller cells are given away.
pub(super) const LEAST_PERCENT: u64 = 75;

/// About so many turns at a table cost what it costs to find out, for one of its slots and all
/// backends, who comes there first: so the turns end when few slots are left.
const QUICKER: usize = 3;

const NOBODY: u32 = u32::MAX;

const _: () = assert!(cells_of(LAST_LEVEL) <= Run::LONGEST, "the largest table is one run");

/// The cells of a level, or the slots of a table as large.
pub(super) const fn cells_of(level: usize) -> u32 {
    LENGTH << (FANOUT_BITS * level as u32)
}

/// A hundred slots for each backend, while there are as many.
fn level_of(backends: usize) -> usize {
    (0..LAST_LEVEL).find(|level| backends <= backends_of(*level)).unwrap_or(LAST_LEVEL)
}

const fn backends_of(level: usize) -> usize {
    SMALLEST << (FANOUT_BITS as usize * level)
}

/// How many slots the table over so many backends has.
pub(in super::super) fn table_size(backends: usize) -> u32 {
    cells_of(level_of(backends))
}

/// The slots of the table over two backends or more.
pub(in super::super) fn table(shares: &[Share]) -> Vec<u32> {
    let last = level_of(shares.len());
    let mut rivals = rivals(shares);
    let alike = shares.iter().all(|share| share.weight == shares[0].weight);
    if last == 0 && alike {
        let worth = UNITS / LENGTH;
        rivals.iter_mut().for_each(|rival| rival.enter(0, worth, UNITS));
        if let Some(slots) = at_once(&rivals) {
            return slots;
        }
    }
    let mut slots = vec![NOBODY; cells_of(last) as usize];
    let mut left = UNITS;
    let mut cells: Vec<u32> = (0..LENGTH).collect();
    for level in 0..=last {
        let split = if level < last { cells_split(level, shares.len()) } else { 0 };
        let (split, whole): (Vec<_>, Vec<_>) =
            cells.into_iter().partition(|cell| split_rank(*cell, level) < split);
        if !whole.is_empty() {
            let mut contest = Contest::new(level, last, &whole);
            rivals.iter_mut().for_each(|rival| rival.enter(level, contest.worth, left));
            contest.run(alike, &mut rivals, &mut slots);
            contest.finish(alike, &whole, &mut rivals, &mut slots);
            left -= whole.len() as u32 * contest.worth;
        }
        if split.is_empty() {
            break;
        }
        cells =
            split.iter().flat_map(|cell| (0..FANOUT).map(move |of| cell * FANOUT + of)).collect();
    }
    slots
}

/// How many cells of a level are split over so many backends.
fn cells_split(level: usize, backends: usize) -> u32 {
    let further = (backends - backends_of(level)) as u64;
    let cells = u64::from(cells_of(level));
    (cells * further / SPLITTING[level]).min(cells) as u32
}

/// Which cell of a level is split when: a number of its own for each.
fn split_rank(cell: u32, level: usize) -> u32 {
    /// A prime, so that neighbours are far from each other and no two are one.
    const STEP: u64 = 500_009;
    (u64::from(cell) * STEP % u64::from(cells_of(level))) as u32
}

/// The cells of one level as they are given away.
struct Contest {
    level: usize,
    /// Slots of a cell.
    width: usize,
    /// Units of a cell.
    worth: u32,
    /// A bit for each free cell: it fits a processor's nearest cache when slots no longer do.
    free: Vec<u64>,
    left: u32,
}

impl Contest {
    fn new(level: usize, last: usize, cells: &[u32]) -> Self {
        let mut free = vec![0; cells_of(level).div_ceil(64) as usize];
        for cell in cells {
            free[*cell as usize / 64] |= 1 << (cell % 64);
        }
        let width = 1 << (FANOUT_BITS as usize * (last - level));
        let worth = UNITS / cells_of(level);
        Self { level, width, worth, free, left: cells.len() as u32 }
    }

    /// Turns of all who have room, while that is the quicker way to find whose the cells are.
    fn run(&mut self, alike: bool, rivals: &mut [Rival], slots: &mut [u32]) {
        let all = cells_of(self.level);
        let mut active: Vec<usize> = (0..rivals.len()).collect();
        while self.left as usize * active.len() > QUICKER * all as usize {
            let paces = active.iter().map(|at| rivals[*at].pace(all));
            let fastest = if alike { 0 } else { paces.max().unwrap_or(0) };
            let mut full = false;
            for &at in &active {
                let rival = &mut rivals[at];
                for _ in 0..if alike { rival.turns() } else { rival.turns_beside(fastest, all) } {
                    self.claim(rival, slots);
                }
                full |= !rival.may_claim();
            }
            if full {
                active.retain(|at| rivals[*at].may_claim());
            }
        }
    }

    /// The next cell on the rival's way is its own, if nobody was there before.
    fn claim(&mut self, rival: &mut Rival, slots: &mut [u32]) {
        let cell = rival.next(self.level);
        let (word, bit) = (&mut self.free[cell as usize / 64], 1 << (cell % 64));
        if *word & bit != 0 && rival.may_claim() {
            *word &= !bit;
            self.left -= 1;
            rival.claimed += self.worth;
            self.give(cell, rival.index, slots);
        }
    }

    fn give(&self, cell: u32, backend: u32, slots: &mut [u32]) {
        let first = cell as usize * self.width;
        slots[first..first + self.width].fill(backend);
    }

    /// Gives each cell that is left to whoever would be the first there.
    fn finish(&mut self, alike: bool, cells: &[u32], rivals: &mut [Rival], slots: &mut [u32]) {
        if self.left == 0 {
            return;
        }
        let all = cells_of(self.level);
        let time = |rival: &Rival, cell| {
            let seen = rival.turns_until(cell, self.level);
            if alike { rival.time(seen) } else { rival.time_beside(seen, all) }
        };
        let free = |cell: &u32| self.free[*cell as usize / 64] >> (cell % 64) & 1 == 1;
        for cell in cells.iter().filter(|cell| free(cell)) {
            let able = rivals.iter_mut().filter(|rival| rival.may_claim());
            let first = able.min_by_key(|rival| time(rival, *cell));
            // Whoever is above its share least, if nobody has room: shares are not whole cells.
            let first = match first {
                Some(rival) => Some(rival),
                None => rivals.iter_mut().max_by_key(|rival| rival.room()),
            };
            if let Some(rival) = first {
                rival.claimed += self.worth;
                self.give(*cell, rival.index, slots);
            }
        }
    }
}

/// The smallest table where all weigh the same, each slot's owner found by itself; `None` if
/// somebody's bound was overstepped, so that turns have to be taken.
fn at_once(rivals: &[Rival]) -> Option<Vec<u32>> {
    let mut first: FirstComers = [u32::MAX; _];
    for (number, rival) in (0u32..).zip(rivals) {
        rival.race(number, &mut first);
    }
    let first = &first[..LENGTH as usize];
    let mut won = [0; SMALLEST];
    first.iter().for_each(|first| won[*first as usize % 256] += 1);
    let worth = (UNITS / LENGTH) as i32;
    let fits = |(rival, won): (&Rival, &i32)| (won - 1) * worth <= rival.last_claim;
    let fit = rivals.iter().zip(&won).all(fits);
    fit.then(|| first.iter().map(|first| rivals[*first as usize % 256].index).collect())
}
