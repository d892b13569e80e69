//! Who has which place in an array table: single places and stretches.
//!
//! Pure bookkeeping; what stands in a place is the caller's business.

use std::collections::{BTreeMap, BTreeSet};

/// Single places; the lowest free one is given out first, which keeps the used part short.
#[derive(Debug)]
pub(super) struct Indices {
    capacity: u32,
    /// Every place from here on is free.
    fresh: u32,
    /// Free places before `fresh`.
    free: BTreeSet<u32>,
}

impl Indices {
    pub(super) fn new(capacity: u32) -> Self {
        Self { capacity, fresh: 0, free: BTreeSet::new() }
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) fn used(&self) -> u32 {
        self.fresh - self.free.len() as u32
    }

    pub(super) fn allocate(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop_first() {
            return Some(index);
        }
        let index = self.fresh;
        (index < self.capacity).then(|| {
            self.fresh += 1;
            index
        })
    }

    /// Takes a certain place; false if it is taken or does not exist.
    pub(super) fn reserve(&mut self, index: u32) -> bool {
        if index >= self.capacity {
            return false;
        }
        if index < self.fresh {
            return self.free.remove(&index);
        }
        self.free.extend(self.fresh..index);
        self.fresh = index + 1;
        true
    }

    pub(super) fn free(&mut self, index: u32) {
        debug_assert!(index < self.fresh && !self.free.contains(&index), "{index} is free");
        self.free.insert(index);
    }
}

/// A stretch of places, never empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl Extent {
    fn end(self) -> u32 {
        self.offset + self.length
    }
}

/// Stretches: the smallest free one that is long enough is cut, the lowest among equals; what
/// comes back is joined with its free neighbours. All in logarithmic time.
#[derive(Debug)]
pub(super) struct Extents {
    capacity: u32,
    used: u32,
    /// Offset to length of each free stretch; no two touch.
    by_offset: BTreeMap<u32, u32>,
    /// The same as (length, offset).
    by_length: BTreeSet<(u32, u32)>,
}

impl Extents {
    pub(super) fn new(capacity: u32) -> Self {
        let mut extents =
            Self { capacity, used: 0, by_offset: BTreeMap::new(), by_length: BTreeSet::new() };
        extents.insert(Extent { offset: 0, length: capacity });
        extents
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// The longest free stretch.
    pub(super) fn longest(&self) -> u32 {
        self.by_length.last().map_or(0, |(length, _)| *length)
    }

    pub(super) fn allocate(&mut self, length: u32) -> Option<Extent> {
        let &(found, offset) = self.by_length.range((length, 0)..).next()?;
        let taken = Extent { offset, length };
        self.cut(Extent { offset, length: found }, taken);
        Some(taken)
    }

    /// Takes a certain stretch; false if any of it is taken or does not exist.
    pub(super) fn reserve(&mut self, wanted: Extent) -> bool {
        let Some((&offset, &length)) = self.by_offset.range(..=wanted.offset).next_back() else {
            return false;
        };
        let around = Extent { offset, length };
        let fits = u64::from(wanted.offset) + u64::from(wanted.length) <= u64::from(around.end());
        if fits {
            self.cut(around, wanted);
        }
        fits
    }

    pub(super) fn free(&mut self, extent: Extent) {
        self.used -= extent.length;
        let Extent { mut offset, mut length } = extent;
        if let Some((&before, &size)) = self.by_offset.range(..offset).next_back()
            && before + size == offset
        {
            self.remove(Extent { offset: before, length: size });
            (offset, length) = (before, size + length);
        }
        if let Some(&size) = self.by_offset.get(&extent.end()) {
            self.remove(Extent { offset: extent.end(), length: size });
            length += size;
        }
        self.insert(Extent { offset, length });
    }

    fn cut(&mut self, around: Extent, taken: Extent) {
        self.used += taken.length;
        self.remove(around);
        self.insert(Extent { offset: around.offset, length: taken.offset - around.offset });
        self.insert(Extent { offset: taken.end(), length: around.end() - taken.end() });
    }

    fn insert(&mut self, free: Extent) {
        if free.length > 0 {
            self.by_offset.insert(free.offset, free.length);
            self.by_length.insert((free.length, free.offset));
        }
    }

    fn remove(&mut self, free: Extent) {
        self.by_offset.remove(&free.offset);
        self.by_length.remove(&(free.length, free.offset));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Random, *};

    #[test]
    fn the_lowest_free_index_comes_first() {
        let mut indices = Indices::new(3);
        let all: Vec<_> = (0..4).map(|_| indices.allocate()).collect();
        assert_eq!(all, [Some(0), Some(1), Some(2), None]);
        indices.free(2);
        indices.free(0);
        assert_eq!((indices.used(), indices.allocate(), indices.allocate()), (1, Some(0), Some(2)));
    }

    #[test]
    fn an_index_is_reserved_once() {
        let mut indices = Indices::new(8);
        assert!(indices.reserve(5));
        assert!(!indices.reserve(5));
        assert!(!indices.reserve(8));
        assert!(indices.reserve(2));
        let rest: Vec<_> = std::iter::from_fn(|| indices.allocate()).collect();
        assert_eq!(rest, [0, 1, 3, 4, 6, 7]);
    }

    #[test]
    fn the_tightest_gap_is_used() {
        let mut extents = Extents::new(100);
        let taken: Vec<_> =
            [10, 1, 4, 1, 6, 1].iter().map(|length| extents.allocate(*length).unwrap()).collect();
        for gap in [0, 2, 4] {
            extents.free(taken[gap]);
        }
        assert_eq!(extents.allocate(4).unwrap().offset, taken[2].offset);
        assert_eq!(extents.allocate(5).unwrap().offset, taken[4].offset);
        assert_eq!(extents.allocate(7).unwrap().offset, taken[0].offset);
    }

    #[test]
    fn neighbours_are_joined() {
        let mut extents = Extents::new(30);
        let taken: Vec<_> = (0..3).map(|_| extents.allocate(10).unwrap()).collect();
        assert_eq!(extents.allocate(1), None);
        for index in [0, 2, 1] {
            extents.free(taken[index]);
        }
        assert_eq!(extents.allocate(30), Some(Extent { offset: 0, length: 30 }));
    }

    #[test]
    fn a_reserved_stretch_must_be_free_as_a_whole() {
        let mut extents = Extents::new(30);
        assert!(extents.reserve(Extent { offset: 10, length: 10 }));
        for (offset, length) in [(5, 6), (19, 2), (12, 3), (25, 6), (30, 1), (1, u32::MAX)] {
            assert!(!extents.reserve(Extent { offset, length }), "{offset}+{length}");
        }
        assert!(extents.reserve(Extent { offset: 0, length: 10 }));
        assert!(extents.reserve(Extent { offset: 20, length: 10 }));
        assert_eq!((extents.used(), extents.allocate(1)), (30, None));
    }

    /// Against a plain array of who has what.
    #[test]
    fn nothing_is_given_twice_and_everything_comes_back() {
        let mut random = Random::new(1);
        let mut extents = Extents::new(500);
        let mut owned = vec![false; 500];
        let mut held: Vec<Extent> = Vec::new();
        for _ in 0..20_000 {
            if random.below(2) == 0 {
                let length = 1 + random.below(20) as u32;
                let longest = owned.chunk_by(|a, b| a == b).filter(|run| !run[0]).map(<[_]>::len);
                let fits = longest.max().is_some_and(|longest| longest >= length as usize);
                let extent = extents.allocate(length);
                assert_eq!(extent.is_some(), fits);
                if let Some(extent) = extent {
                    for place in extent.offset..extent.end() {
                        assert!(!std::mem::replace(&mut owned[place as usize], true));
                    }
                    held.push(extent);
                }
            } else if !held.is_empty() {
                let extent = held.swap_remove(random.below(held.len()));
                owned[extent.offset as usize..extent.end() as usize].fill(false);
                extents.free(extent);
            }
            assert_eq!(extents.used() as usize, owned.iter().filter(|owned| **owned).count());
        }
        for extent in held {
            extents.free(extent);
        }
        assert_eq!(extents.allocate(500), Some(Extent { offset: 0, length: 500 }));
    }
}
