//! A run: a stretch of an array table that belongs to one service, named by one 64-bit word.
//!
//! The word is what makes a change of endpoints atomic. The agent writes the new slots to a free
//! stretch, then stores the word with release order; a program reads it once and meets the old
//! list or the new one, whole.

/// Offset, length and generation of a run, packed into one aligned word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Run(u64);

impl Run {
    const LENGTH_BITS: u32 = 20;
    const GENERATION_BITS: u32 = 16;
    const OFFSET_BITS: u32 = 64 - Self::LENGTH_BITS - Self::GENERATION_BITS;

    /// The longest run that fits the word: a service has at most this many slots.
    pub const LONGEST: u32 = (1 << Self::LENGTH_BITS) - 1;

    /// The largest offset that fits the word, plus one: an upper bound for the table's size.
    pub const OFFSETS: u32 = 1 << Self::OFFSET_BITS;

    /// No slots.
    pub const EMPTY: Self = Self(0);

    /// Packs a run. Bits that do not fit are cut off; callers keep to [`Run::LONGEST`] and
    /// [`Run::OFFSETS`].
    #[inline(always)]
    pub const fn new(offset: u32, length: u32, generation: u16) -> Self {
        let offset = (offset & (Self::OFFSETS - 1)) as u64;
        let length = (length & Self::LONGEST) as u64;
        Self(offset | length << Self::OFFSET_BITS | (generation as u64) << (64 - 16))
    }

    /// From the word as read from the table.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self(word)
    }

    /// The word as it stands in the table.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        self.0
    }

    /// Position of the first slot.
    #[inline(always)]
    pub const fn offset(self) -> u32 {
        self.0 as u32 & (Self::OFFSETS - 1)
    }

    /// Number of slots.
    #[inline(always)]
    pub const fn length(self) -> u32 {
        (self.0 >> Self::OFFSET_BITS) as u32 & Self::LONGEST
    }

    /// Counts the changes of this run, modulo 2^16.
    #[inline(always)]
    pub const fn generation(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Whether there is no slot to choose.
    #[inline(always)]
    pub const fn is_empty(self) -> bool {
        self.length() == 0
    }
}

impl core::fmt::Debug for Run {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}+{}#{}", self.offset(), self.length(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(offset: u32, length: u32, generation: u16) {
        let run = Run::from_word(Run::new(offset, length, generation).word());
        assert_eq!((run.offset(), run.length(), run.generation()), (offset, length, generation));
    }

    #[test]
    fn every_field_keeps_its_extremes() {
        check(0, 0, 0);
        check(Run::OFFSETS - 1, 0, 0);
        check(0, Run::LONGEST, 0);
        check(0, 0, u16::MAX);
        check(Run::OFFSETS - 1, Run::LONGEST, u16::MAX);
        check(12_345, 678, 9);
    }
}
