//! Proof that the shared types have the layout both sides count on.

use crate::{
    Address, Be16, Be32, Ipv4, Ipv6,
    affinity::{Affinity, AffinityKey},
    backend::{Backend, BackendRef},
    device::Device,
    flow::{Flow, FlowKey, Hop, Token},
    fragment::{FragmentKey, Ports},
    frontend::{Frontend, FrontendKey},
    pool::{Lock, Pool, PoolKey, bpf_spin_lock},
    run::Run,
    service::{Service, ServiceSettings},
    socket::{Origin, UdpPeer, UdpPeerKey},
    source_range::SourceRange,
};

/// Version of everything in this crate that goes through a map. Pinned maps of another version
/// are replaced, never read.
pub const LAYOUT_VERSION: u32 = 4;

/// For each type that goes through a map: its size, its alignment, the sum of its fields' sizes
/// (equal to its size, so that no byte is padding the compiler left uninitialised), and `Pod` for
/// the agent.
macro_rules! shared {
    ($($type:ty, $size:literal, $align:literal, $fields:expr;)*) => {
        $(
            const _: () = assert!(size_of::<$type>() == $size);
            const _: () = assert!(align_of::<$type>() == $align);
            const _: () = assert!(size_of::<$type>() == $fields);

            #[cfg(feature = "user")]
            #[expect(unsafe_code, reason = "the one place that declares types plain data")]
            // SAFETY: the type is `repr(C)` or `repr(transparent)` over integers, every bit
            // pattern is valid, and the assertions above show that it has no padding.
            unsafe impl aya::Pod for $type {}
        )*

        /// Name, size and alignment of every shared type, for the golden listing.
        pub const TYPES: &[(&str, usize, usize)] =
            &[$((stringify!($type), size_of::<$type>(), align_of::<$type>()),)*];
    };
}

shared! {
    Be16, 2, 2, 2;
    Be32, 4, 4, 4;
    Address, 16, 4, 4 * 4;
    Run, 8, 8, 8;
    Service, 64, 8, 8 + 8 + 8 + 8 + 8 + 8 + 2 * 8;
    ServiceSettings, 8, 8, 4 + 4;
    FrontendKey<Ipv4>, 8, 4, 4 + 2 + 1 + 1;
    FrontendKey<Ipv6>, 20, 4, 16 + 2 + 1 + 1;
    Frontend, 8, 4, 4 + 1 + 3;
    Backend, 32, 4, 16 + 2 + 2 + 4 + 4 + 2 + 2;
    BackendRef, 8, 4, 4 + 4;
    FlowKey<Ipv4>, 16, 4, 4 + 4 + 2 + 2 + 1 + 1 + 2;
    FlowKey<Ipv6>, 40, 4, 16 + 16 + 2 + 2 + 1 + 1 + 2;
    Hop, 20, 4, 4 + 3 * 4 + 2 + 1 + 1;
    Flow<Ipv4>, 64, 4, 4 + 4 + 2 + 2 + 20 + 4 + 8 + 4 + 1 + 1 + 1 + 1 + 4 + 4 + 4;
    Flow<Ipv6>, 88, 4, 16 + 16 + 2 + 2 + 20 + 4 + 8 + 4 + 1 + 1 + 1 + 1 + 4 + 4 + 4;
    Token<Ipv4>, 24, 4, 16 + 4 + 4;
    Token<Ipv6>, 48, 4, 40 + 4 + 4;
    PoolKey, 40, 4, 16 + 16 + 2 + 2 + 2 + 1 + 1;
    bpf_spin_lock, 4, 4, 4;
    Lock, 8, 4, 4 + 4;
    Pool, 3136, 8, 4 + 4 + 4 + 4 + 6 * 8 + 384 * 8;
    AffinityKey, 24, 4, 16 + 4 + 4;
    Affinity, 24, 8, 8 + 8 + 4 + 4;
    Origin, 40, 4, 16 + 16 + 2 + 2 + 4;
    UdpPeerKey, 32, 8, 8 + 16 + 2 + 1 + 5;
    UdpPeer, 32, 4, 16 + 8 + 2 + 6;
    SourceRange, 20, 4, 4 + 16;
    FragmentKey, 40, 4, 16 + 16 + 4 + 1 + 1 + 2;
    Ports, 8, 4, 2 + 2 + 4;
    Device, 24, 4, 4 + 16 + 4;
}
