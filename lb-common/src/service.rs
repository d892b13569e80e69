//! One ServicePort in one family: the row of `SERVICES`.

use crate::run::Run;

/// A row of `SERVICES`. Each field is one aligned word, so the agent changes a field with one
/// store and a program never meets half of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Service {
    /// Slots of the endpoints eligible anywhere in the cluster. Not empty exactly when the service
    /// has a usable endpoint on any node, which is what tells "reject" from "drop".
    pub cluster: Run,
    /// Slots of the endpoints eligible on this node.
    pub local: Run,
    /// What else the programs need to know.
    pub settings: ServiceSettings,
    /// Where the service's name stands in `NAMES`, in cells. Only people read it.
    pub name: Run,
    /// The hash table over the endpoints of `cluster`; empty if packets draw from that list itself.
    pub cluster_hashed: Run,
    /// The hash table over the endpoints of `local`, likewise.
    pub local_hashed: Run,
    /// Zero; brings the row to 64 bytes.
    pub reserved: [u64; 2],
}

impl Service {
    /// Every run of `SLOTS` that the row names.
    pub const fn runs(&self) -> [Run; 4] {
        [self.cluster, self.local, self.cluster_hashed, self.local_hashed]
    }
}

/// Flags and affinity timeout, changed together with one store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct ServiceSettings {
    /// A set of [`flags`].
    pub flags: u32,
    /// How long a client stays with its backend after its last new flow; used with
    /// [`flags::AFFINITY`].
    pub affinity_timeout_s: u32,
}

/// Flags of a [`Service`].
pub mod flags {
    /// The row is in use.
    pub const LIVE: u32 = 1 << 0;
    /// `internalTrafficPolicy: Local`: the ClusterIP uses the local run.
    pub const INTERNAL_LOCAL: u32 = 1 << 1;
    /// `externalTrafficPolicy: Local`: every other frontend uses the local run.
    pub const EXTERNAL_LOCAL: u32 = 1 << 2;
    /// `sessionAffinity: ClientIP`.
    pub const AFFINITY: u32 = 1 << 3;
    /// The load-balancer VIPs admit only clients found in `SOURCE_RANGES`.
    pub const SOURCE_RANGES: u32 = 1 << 4;
    /// The row is for IPv6.
    pub const IPV6: u32 = 1 << 5;
    /// Where the protocol's IANA number stands in the flags.
    pub const PROTOCOL_SHIFT: u32 = 8;
}

/// A cell of `NAMES`. A service's name is written `namespace/name` and, for a named port, `:port`,
/// in UTF-8, filled up with zero bytes to whole cells.
pub type NameCell = [u8; 16];
