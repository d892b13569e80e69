//! The devices our packet programs sit on, and those they hand packets to: the table `DEVICES`, by
//! ifindex.

use crate::{Be32, Ipv6};

/// What the programs need to know of a device they sit on. A device that is not in the table, or
/// stands there as [`flags::DIRECT`], is not ours: a backend behind it is on this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Device {
    /// Source address for IPv4 flows that leave by it; zero: none.
    pub source_v4: Be32,
    /// Source address for IPv6 flows that leave by it; zero: none.
    pub source_v6: Ipv6,
    /// A set of [`flags`].
    pub flags: u32,
}

/// Flags of a [`Device`].
pub mod flags {
    /// XDP runs here natively, so XDP may also send a frame out here.
    pub const XDP: u32 = 1 << 0;
    /// Pods are behind it: who sends here is inside the cluster, and what leaves here is delivered
    /// through the host's stack (`--pod-interfaces`).
    pub const PODS: u32 = 1 << 1;
    /// Pods are behind it, and packets may be handed to it instead of to the host's stack, whether
    /// or not we sit here.
    pub const DIRECT: u32 = 1 << 2;
    /// Beside `DIRECT`: one end of a pair whose other end is in a pod, so that packets may be put in
    /// at that end.
    pub const PEER: u32 = 1 << 3;
}
