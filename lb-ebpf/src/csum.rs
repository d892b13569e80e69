//! Internet checksums (RFC 1071), whole and incremental (RFC 1624).
//!
//! The one's-complement sum has a property everything here rests on: computed over words as they
//! were loaded, in whatever byte order, it is the right sum in that same byte order. So nothing
//! is ever swapped; what comes from a packet goes in as it stands there, and the result goes back
//! as it is.

/// A one's-complement sum under way, of words as they stand in the packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Nothing added yet.
    pub const ZERO: Self = Self(0);

    /// Adds a 16-bit word.
    #[inline(always)]
    pub const fn half_word(self, word: u16) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds a 32-bit word, the same as adding its halves.
    #[inline(always)]
    pub const fn word(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// Takes `old` out and puts `new` in.
    #[inline(always)]
    pub const fn replace(self, old: u32, new: u32) -> Self {
        self.word(!old).word(new)
    }

    /// Adds another sum.
    #[inline(always)]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// In 32 bits, carries added back: what the kernel's helpers take as a difference.
    #[inline(always)]
    pub const fn to_u32(self) -> u32 {
        let once = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        ((once & 0xffff_ffff) + (once >> 32)) as u32
    }

    /// In 16 bits, carries added back, not complemented.
    #[inline(always)]
    pub const fn fold(self) -> u16 {
        let sum = self.to_u32();
        let sum = (sum & 0xffff) + (sum >> 16);
        ((sum & 0xffff) + (sum >> 16)) as u16
    }

    /// The checksum field that stood as `field`, after this difference.
    #[inline(always)]
    pub const fn apply_to(self, field: u16) -> u16 {
        !self.half_word(!field).fold()
    }
}

/// The pseudo-header's addresses, protocol and length.
#[inline(always)]
pub const fn pseudo_header(addresses: Sum, protocol: u8, length: u16) -> Sum {
    addresses.half_word((protocol as u16).to_be()).half_word(length.to_be())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 as it reads: 16-bit big-endian words, carries folded, complemented.
    fn by_the_book(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn an_incremental_change_gives_what_a_full_sum_gives() {
        let mut packet: [u8; 24] = core::array::from_fn(|i| (i * 37 + 11) as u8);
        for (position, new) in [(0, 0u32), (4, u32::MAX), (8, 1), (12, 0x8000_0001), (20, 0xffff)] {
            let field = by_the_book(&packet).to_be();
            let old = u32::from_ne_bytes(packet[position..position + 4].try_into().unwrap());
            packet[position..position + 4].copy_from_slice(&new.to_ne_bytes());
            let updated = Sum::ZERO.replace(old, new).apply_to(field);
            assert_eq!(updated, by_the_book(&packet).to_be(), "position {position}");
        }
    }

    #[test]
    fn carries_of_any_size_are_folded_in() {
        let mut sum = Sum::ZERO;
        for _ in 0..1_000 {
            sum = sum.word(u32::MAX);
        }
        assert_eq!(sum.fold(), 0xffff);
        assert_eq!(Sum::ZERO.word(0xffff_0001).fold(), 1);
    }
}
