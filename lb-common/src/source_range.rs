//! `loadBalancerSourceRanges`: the LPM trie `SOURCE_RANGES`.

use crate::{Address, Be32};

/// Data part of the trie's key; the prefix length stands before it (see [`prefix_length`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct SourceRange {
    /// Row of `SERVICES`, in network order because the trie compares from the first byte.
    pub service: Be32,
    /// The client's network.
    pub client: Address,
}

/// Prefix length of a key whose client network has `bits` significant bits in its own family.
#[inline(always)]
pub const fn prefix_length(bits: u8, ipv6: bool) -> u32 {
    let mapped = if ipv6 { 0 } else { 96 };
    32 + mapped + bits as u32
}

/// Prefix length that a lookup uses: the whole key.
pub const FULL_PREFIX: u32 = 32 + 128;
