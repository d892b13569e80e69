//! Read-only globals of the programs, set when they are loaded.

/// What the operator or the kernel's abilities decided, as flags of the global named
/// [`crate::names::GLOBAL_FLAGS`].
pub mod flags {
    /// A ClusterIP may be reached from outside (`--external-cluster-ip`).
    pub const EXTERNAL_CLUSTER_IP: u32 = 1 << 0;
    /// The kernel lets a socket hook choose the errno (`bpf_set_retval`, 5.18); without it a
    /// refused call fails with EPERM.
    pub const SET_RETVAL: u32 = 1 << 1;
    /// A VIP answers pings (`--vip-ping`).
    pub const VIP_PING: u32 = 1 << 2;
    /// A port of a VIP that no Service uses is refused (`--reject-unused-ports`).
    pub const REJECT_UNUSED_PORTS: u32 = 1 << 3;
    /// A packet for a backend on this node goes straight to its device, and the answer straight out
    /// (`--direct-delivery`).
    pub const DIRECT_DELIVERY: u32 = 1 << 4;
    /// XDP is shown frames of more than one buffer (5.18), and the program is loaded so.
    pub const XDP_FRAGS: u32 = 1 << 5;
    /// A frame goes back out of the device it came by as `XDP_TX`, the cheapest way, and not as a
    /// redirect to that device. A veth device does not wake its far end for such a frame unless a
    /// program is there, so this is for nodes whose XDP is on other devices only.
    pub const XDP_TX: u32 = 1 << 6;
}
