//! What later fragments need of the first: the table `FRAGMENTS`.

use crate::{Address, Be16};

/// What the fragments of one datagram have in common, as they arrive at a hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identification, as it stands in the packet.
    pub identity: u32,
    /// IANA number of the transport protocol.
    pub protocol: u8,
    /// One of [`crate::flow::hook`].
    pub hook: u8,
    /// Zero.
    pub pad: u16,
}

/// The ports, which only the first fragment has: with them a later one finds the flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Ports {
    /// Source port.
    pub source: Be16,
    /// Destination port.
    pub destination: Be16,
    /// Seconds of the monotonic clock when the first fragment went by.
    pub seen_s: u32,
}
