//! Session affinity: the table `AFFINITY`.

use crate::{Address, backend::BackendRef};

/// Who stays with a backend, of which service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct AffinityKey {
    /// The client, as `client_kind` says.
    pub client: Address,
    /// Row of `SERVICES`.
    pub service: u32,
    /// One of [`client_kind`].
    pub client_kind: u32,
}

/// How an affinity client is told apart.
pub mod client_kind {
    /// By its IP address: the packet path.
    pub const ADDRESS: u32 = 0;
    /// By the cookie of its network namespace, in the first two words: the socket path, where the
    /// address is often not chosen yet.
    pub const NETWORK_NAMESPACE: u32 = 1;
}

/// The backend a client stays with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Affinity {
    /// The backend; the entry ends with its generation.
    pub backend: BackendRef,
    /// Nanoseconds of the monotonic clock at the client's last new flow.
    pub seen_ns: u64,
    /// The backend's membership at that time; the entry ends with that, too.
    pub membership: u32,
    /// Zero.
    pub pad: u32,
}
