//! Flows of the packet path: the tables `FLOWS_V4` and `FLOWS_V6`.
//!
//! A flow is two entries, one for each direction, each complete enough to rebuild the other: when
//! the LRU takes one half, the next packet of the other half puts it back.

use crate::{Be16, Family, backend::BackendRef};

/// The packet as it arrives at the hook: what a flow is found by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct FlowKey<A> {
    /// Source address of the packet.
    pub source: A,
    /// Destination address of the packet.
    pub destination: A,
    /// Source port.
    pub source_port: Be16,
    /// Destination port.
    pub destination_port: Be16,
    /// IANA number.
    pub protocol: u8,
    /// One of [`hook`]: entries of one hook are never met at the other.
    pub hook: u8,
    /// Zero.
    pub pad: u16,
}

/// The key in the family's own form.
pub type FlowKeyOf<F> = FlowKey<<F as Family>::Address>;

/// Where the packets of an entry are met.
pub mod hook {
    /// Arriving at an external device (XDP or tc ingress).
    pub const INGRESS: u8 = 0;
    /// Leaving by an external device (tc egress).
    pub const EGRESS: u8 = 1;
}

/// What becomes of a packet of the flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Flow<A> {
    /// New source address.
    pub source: A,
    /// New destination address.
    pub destination: A,
    /// New source port.
    pub source_port: Be16,
    /// New destination port.
    pub destination_port: Be16,
    /// The backend at the other end.
    pub backend: BackendRef,
    /// Row of `SERVICES`.
    pub service: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// A set of [`state`].
    pub state: u8,
    /// Zero.
    pub pad: u16,
    /// Low half of jiffies when last refreshed; only differences mean something.
    pub seen_jiffies: u32,
    /// Seconds of the monotonic clock when last refreshed, for people.
    pub seen_s: u32,
}

/// The flow in the family's own form.
pub type FlowOf<F> = Flow<<F as Family>::Address>;

/// Which direction of which translation an entry is.
pub mod kind {
    /// Client to a backend on this node: destination rewritten, up to the stack.
    pub const TO_LOCAL: u8 = 0;
    /// Client to a backend elsewhere: source and destination rewritten, out again.
    pub const TO_REMOTE: u8 = 1;
    /// Backend on this node to client: source rewritten on the way out.
    pub const FROM_LOCAL: u8 = 2;
    /// Backend elsewhere to client: both rewritten back, out again.
    pub const FROM_REMOTE: u8 = 3;
}

/// What has been seen of a TCP connection.
pub mod state {
    /// A FIN or RST went by.
    pub const CLOSING: u8 = 1 << 0;
}
