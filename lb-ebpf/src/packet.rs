//! Access to a packet's bytes: what XDP, tc and a plain slice have in common.
//!
//! Everything that reads or changes a packet is written over [`Packet`], once. Reads and writes
//! go by whole words of a header, so that one bounds check serves a header.

use crate::csum::Sum;

/// Position of a network header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct L3(pub usize);

/// Position of a transport header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct L4(pub usize);

/// Position of a transport checksum, and what is special about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct L4Checksum {
    /// Where it stands.
    pub at: usize,
    /// UDP: zero means none, and a sum that comes out as zero is written as all ones.
    pub zero_is_none: bool,
    /// The addresses in the pseudo-header are IPv6.
    pub ipv6: bool,
}

/// A packet whose bytes can be read and rewritten. Offsets count from the Ethernet header. `None`
/// means that the packet ends before that, or that the kernel refused the write.
pub trait Packet {
    /// `N` 16-bit words from `offset`, as they stand.
    fn half_words<const N: usize>(&self, offset: usize) -> Option<[u16; N]>;

    /// `N` 32-bit words from `offset`, as they stand.
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]>;

    /// Writes `N` 16-bit words to `offset`.
    fn set_half_words<const N: usize>(&mut self, offset: usize, words: [u16; N]) -> Option<()>;

    /// Writes `N` 32-bit words to `offset`.
    fn set_words<const N: usize>(&mut self, offset: usize, words: [u32; N]) -> Option<()>;

    /// Brings a transport checksum in line with changed addresses and changed ports.
    ///
    /// The two differences are apart because a packet that has only the pseudo-header's sum in its
    /// checksum field (to be completed by hardware) must learn of the addresses and not of the
    /// ports. Only tc can tell such a packet; elsewhere the field is a full checksum.
    fn adjust_l4_checksum(
        &mut self,
        checksum: L4Checksum,
        addresses: Sum,
        ports: Sum,
    ) -> Option<()> {
        let [field] = self.half_words(checksum.at)?;
        if checksum.zero_is_none && field == 0 {
            return Some(());
        }
        let field = addresses.plus(ports).apply_to(field);
        let field = if checksum.zero_is_none && field == 0 { !0 } else { field };
        self.set_half_words(checksum.at, [field])
    }

    /// The word at `offset`, of what is behind a transport header and may not lie with it.
    #[inline(always)]
    fn word_behind(&self, offset: usize) -> Option<u32> {
        self.words(offset).map(|[word]| word)
    }

    /// The sum of `N` bytes from `offset`; `N` is a multiple of 4.
    fn sum<const N: usize>(&self, offset: usize) -> Option<Sum>;

    /// Notes that the packet's sum from the network header on has changed, and no checksum within
    /// it to make up for that. Only tc keeps such a sum, of what a card received.
    fn sum_changed(&mut self, _difference: Sum) -> Option<()> {
        Some(())
    }
}

/// A packet in ordinary memory.
impl Packet for [u8] {
    fn half_words<const N: usize>(&self, offset: usize) -> Option<[u16; N]> {
        let (pairs, _) = self.get(offset..)?.as_chunks::<2>();
        Some(pairs.first_chunk::<N>()?.map(u16::from_ne_bytes))
    }

    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        let (quads, _) = self.get(offset..)?.as_chunks::<4>();
        Some(quads.first_chunk::<N>()?.map(u32::from_ne_bytes))
    }

    fn sum<const N: usize>(&self, offset: usize) -> Option<Sum> {
        let (quads, _) = self.get(offset..offset + N)?.as_chunks::<4>();
        let add = |sum: Sum, quad: &[u8; 4]| sum.word(u32::from_ne_bytes(*quad));
        Some(quads.iter().fold(Sum::ZERO, add))
    }

    fn set_half_words<const N: usize>(&mut self, offset: usize, words: [u16; N]) -> Option<()> {
        let bytes = self.get_mut(offset..offset + 2 * N)?;
        bytes.as_chunks_mut::<2>().0.copy_from_slice(&words.map(u16::to_ne_bytes));
        Some(())
    }

    fn set_words<const N: usize>(&mut self, offset: usize, words: [u32; N]) -> Option<()> {
        let bytes = self.get_mut(offset..offset + 4 * N)?;
        bytes.as_chunks_mut::<4>().0.copy_from_slice(&words.map(u32::to_ne_bytes));
        Some(())
    }
}
