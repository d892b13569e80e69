//! Where a service answers: the tables `FRONTENDS_V4` and `FRONTENDS_V6`, and `NODE_ADDRESSES`.

use crate::{Be16, Family};

/// Key of a frontend. A NodePort is one entry with scope [`scope::NODE_PORT`] and the address all
/// zero; it is looked up only after `NODE_ADDRESSES` said that the destination is one of ours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(C)]
pub struct FrontendKey<A> {
    /// Destination address.
    pub address: A,
    /// Destination port.
    pub port: Be16,
    /// IANA number.
    pub protocol: u8,
    /// One of [`scope`].
    pub scope: u8,
}

/// The key in the family's own form.
pub type FrontendKeyOf<F> = FrontendKey<<F as Family>::Address>;

/// How the address of a [`FrontendKey`] is meant.
pub mod scope {
    /// Exactly this address.
    pub const ADDRESS: u8 = 0;
    /// Any of the node's addresses on which NodePorts answer.
    pub const NODE_PORT: u8 = 1;
}

/// Value of a frontend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct Frontend {
    /// Row of `SERVICES`.
    pub service: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// What a frontend is to its clients.
pub mod kind {
    /// `clusterIP`: for clients in the cluster only.
    pub const CLUSTER_IP: u8 = 0;
    /// `nodePort`.
    pub const NODE_PORT: u8 = 1;
    /// `externalIPs`.
    pub const EXTERNAL_IP: u8 = 2;
    /// `status.loadBalancer.ingress[].ip`: subject to source ranges.
    pub const LOAD_BALANCER: u8 = 3;
}

/// Flags of an address in `NODE_ADDRESSES`.
pub mod node_address {
    /// NodePorts answer here. An address without it is the node's, and nothing more.
    pub const NODE_PORTS: u32 = 1 << 0;
}
