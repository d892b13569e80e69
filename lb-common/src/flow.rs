//! Flows of the packet path: the tables `FLOWS_V4` and `FLOWS_V6`, and their tokens.
//!
//! A flow is two entries, one for each direction. Both are put in or none, and both are taken out
//! together, by whoever ends the flow: nothing else removes an entry. Each field of an entry is
//! written by the packets of one direction only, its own as a rule; what the flow as a whole has
//! come to is told from both.
//!
//! The entry of the client's direction is the first: it says whether the flow has been ended
//! ([`life`]), and each flow has one token, with this entry's key, in a queue that is looked
//! through for flows that are over.

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
    /// Arriving at a device of ours (XDP or tc ingress), from outside or from a pod. Which device
    /// it is does not matter: an answer may come by another one than the call.
    pub const INGRESS: u8 = 0;
    /// Leaving by a device of ours (tc egress).
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
    /// Where packets leave that go on from here.
    pub hop: Hop,
    /// Low half of jiffies when last refreshed; only differences mean something.
    pub seen_jiffies: u32,
    /// The backend at the other end.
    pub backend: BackendRef,
    /// Row of `SERVICES`.
    pub service: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// A set of [`state`]: what has been seen of this direction.
    pub state: u8,
    /// Not zero, in the client's direction: the backend has answered. Written by the answer, so
    /// that the client's packets need not look there.
    pub answered: u8,
    /// When the kernel's neighbour table last had a part in sending a packet of this entry, in units
    /// of [`limits::SHOWN_UNIT_S`](crate::limits::SHOWN_UNIT_S): enough of the monotonic clock to
    /// tell a minute from another.
    pub shown: u8,
    /// Tells this flow from an earlier one with the same key.
    pub id: u32,
    /// How the flow ends. In the client's direction one of [`life`]. In the other, what the backend
    /// waits for, if it closed first: it takes a new connection from the same port only if that
    /// began later than the last one ended. Zero: nothing.
    pub end: u32,
    /// Seconds of the monotonic clock when last refreshed, for people.
    pub seen_s: u32,
}

/// The flow in the family's own form.
pub type FlowOf<F> = Flow<<F as Family>::Address>;

/// What the kernel's FIB said of an entry's packets when it was last asked. Believed for
/// [`limits::FLOW_REFRESH_MS`](crate::limits::FLOW_REFRESH_MS), and only of packets like the one
/// it was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Hop {
    /// Device to leave by; zero: the FIB has to be asked.
    pub ifindex: u32,
    /// Destination and source of the Ethernet header, as they stand in a frame.
    pub ethernet: [u32; 3],
    /// A packet of so many bytes from the network header on fits: the link's MTU if the FIB told,
    /// else the length that was asked about.
    pub fits: u16,
    /// Type of service or traffic class that was asked about.
    pub tos: u8,
    /// Not zero: XDP may send out of the device.
    pub xdp: u8,
}

/// Which direction of which translation an entry is.
pub mod kind {
    /// Client to a backend on this node, or a pod of this node to any: destination rewritten, up to
    /// the stack.
    pub const TO_LOCAL: u8 = 0;
    /// Client to a backend elsewhere, or a pod of this node to itself: source and destination
    /// rewritten, out again.
    pub const TO_REMOTE: u8 = 1;
    /// The answer to [`TO_LOCAL`]: source rewritten on the way out.
    pub const FROM_LOCAL: u8 = 2;
    /// The answer to [`TO_REMOTE`]: both rewritten back, out again.
    pub const FROM_REMOTE: u8 = 3;
}

/// What has been seen of one direction.
pub mod state {
    /// Backend's direction: a packet went by.
    pub const ANSWERED: u8 = 1 << 0;
    /// Client's direction: the client went on after the backend had answered, so it is where it
    /// says it is.
    pub const CONFIRMED: u8 = 1 << 1;
    /// A FIN went by.
    pub const FIN: u8 = 1 << 2;
    /// A RST went by, and nothing else after it.
    pub const RST: u8 = 1 << 3;
}

/// How far a flow is on its way out. Goes up only, each step by one of those who try.
pub mod life {
    /// In use, and so is its source port.
    pub const HELD: u32 = 0;
    /// Closed: entries stay for what is still under way, the source port is free.
    pub const RELEASED: u32 = 1;
    /// Its entries are being removed.
    pub const ENDED: u32 = 2;
}

/// What stands for a flow in the queues that are looked through. Of a flow that has ended it may
/// be left over; its `id` tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Token<A> {
    /// Key of the client's direction.
    pub key: FlowKey<A>,
    /// The flow's [`Flow::id`].
    pub id: u32,
    /// Seconds of the monotonic clock when the flow was last looked at.
    pub looked_s: u32,
}

/// The token in the family's own form.
pub type TokenOf<F> = Token<<F as Family>::Address>;
