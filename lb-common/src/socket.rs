//! What the socket hooks remember, so that a process sees the VIP it asked for.

use crate::{Address, Be16, backend::BackendRef};

/// Kept in socket storage for a connected socket: what it asked for and what it got.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Origin {
    /// The address the process asked for.
    pub frontend: Address,
    /// The address it was sent to.
    pub backend: Address,
    /// The port the process asked for.
    pub frontend_port: Be16,
    /// The port it was sent to.
    pub backend_port: Be16,
    /// Zero.
    pub pad: u32,
}

/// Key of `UDP_PEERS`: a socket's far end, seen from either side of the translation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct UdpPeerKey {
    /// Socket cookie.
    pub cookie: u64,
    /// The frontend ([`side::FRONTEND`]) or the backend ([`side::BACKEND`]).
    pub address: Address,
    /// Its port.
    pub port: Be16,
    /// One of [`side`].
    pub side: u8,
    /// Zero.
    pub pad: [u8; 5],
}

/// Which side of the translation a [`UdpPeerKey`] names.
pub mod side {
    /// Frontend to backend: where a datagram to this frontend goes.
    pub const FRONTEND: u8 = 0;
    /// Backend to frontend: what a datagram from this backend shows as its source.
    pub const BACKEND: u8 = 1;
}

/// Value of `UDP_PEERS`: the other side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct UdpPeer {
    /// The other side's address.
    pub address: Address,
    /// The backend; a datagram sticks to it while the row has this generation and serves.
    pub backend: BackendRef,
    /// The other side's port.
    pub port: Be16,
    /// Zero.
    pub pad: [u8; 6],
}
