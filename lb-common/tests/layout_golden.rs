//! The layout of everything that goes through a map, against `golden/layout.txt`.
//!
//! Pinned tables outlive the agent that wrote them, so a change of this listing is a change of
//! `layout::LAYOUT_VERSION`, made in the same commit. `BLESS=1 cargo test -p lb-common` writes the
//! listing anew, once the version has moved.

use std::{mem::offset_of, path::Path};

use lb_common::{
    Ipv4, Ipv6,
    affinity::{Affinity, AffinityKey},
    backend::{Backend, BackendRef},
    device::Device,
    flow::{Flow, FlowKey, Hop, Token},
    fragment::{FragmentKey, Ports},
    frontend::{Frontend, FrontendKey},
    layout::{LAYOUT_VERSION, TYPES},
    pool::{Lock, Pool, PoolKey, bpf_spin_lock},
    service::{Service, ServiceSettings},
    socket::{Origin, UdpPeer, UdpPeerKey},
    source_range::SourceRange,
};

/// Offsets of the fields of each type that has named ones. A field left out, or one that does not
/// exist, fails to compile.
macro_rules! fields {
    ($($name:ident $(<$parameter:ty>)? { $($field:ident),* })*) => {
        fn fields(name: &str) -> &'static [(&'static str, usize)] {
            $({
                type Type = $name $(<$parameter>)?;
                fn _complete(value: Type) {
                    let $name { $($field: _),* } = value;
                }
                if name == concat!(stringify!($name) $(, "<", stringify!($parameter), ">")?) {
                    return &[$((stringify!($field), offset_of!(Type, $field))),*];
                }
            })*
            &[]
        }
    };
}

fields! {
    Service { cluster, local, settings, name, cluster_hashed, local_hashed, reserved }
    ServiceSettings { flags, affinity_timeout_s }
    FrontendKey<Ipv4> { address, port, protocol, scope }
    FrontendKey<Ipv6> { address, port, protocol, scope }
    Frontend { service, kind, pad }
    Backend { address, port, flags, generation, service, weight, membership }
    BackendRef { index, generation }
    FlowKey<Ipv4> { source, destination, source_port, destination_port, protocol, hook, pad }
    FlowKey<Ipv6> { source, destination, source_port, destination_port, protocol, hook, pad }
    Hop { ifindex, ethernet, fits, tos, xdp }
    Flow<Ipv4> {
        source, destination, source_port, destination_port, hop, seen_jiffies, backend, service,
        kind, state, answered, shown, id, end, seen_s
    }
    Flow<Ipv6> {
        source, destination, source_port, destination_port, hop, seen_jiffies, backend, service,
        kind, state, answered, shown, id, end, seen_s
    }
    FragmentKey { source, destination, identity, protocol, hook, pad }
    Ports { source, destination, seen_s }
    Token<Ipv4> { key, id, looked_s }
    Token<Ipv6> { key, id, looked_s }
    PoolKey { backend, address, backend_port, first, ports, protocol, pad }
    bpf_spin_lock { value }
    Lock { lock, pad }
    Pool { lock, taken, cursor, pad, full, words }
    AffinityKey { client, service, client_kind }
    Affinity { backend, seen_ns, membership, pad }
    Origin { frontend, backend, frontend_port, backend_port, pad }
    UdpPeerKey { cookie, address, port, side, pad }
    UdpPeer { address, backend, port, pad }
    SourceRange { service, client }
    Device { source_v4, source_v6, flags }
}

/// Types that are one integer or one array of them.
const PLAIN: [&str; 4] = ["Be16", "Be32", "Address", "Run"];

fn listing() -> String {
    let mut text = format!("version {LAYOUT_VERSION}\n");
    for (name, size, align) in TYPES {
        text += &format!("{name}: {size} bytes, aligned to {align}\n");
        for (field, offset) in fields(name) {
            text += &format!("{offset:6} {field}\n");
        }
    }
    text
}

#[test]
fn every_type_lists_its_fields() {
    for (name, ..) in TYPES {
        assert_eq!(fields(name).is_empty(), PLAIN.contains(name), "{name}");
    }
}

#[test]
fn the_layout_changes_only_together_with_its_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/layout.txt");
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let listing = listing();
    if std::env::var_os("BLESS").is_some() && golden != listing {
        let version = |text: &str| text.lines().next().map(str::to_owned);
        assert_ne!(version(&golden), version(&listing), "move LAYOUT_VERSION first:\n{listing}");
        std::fs::write(&path, listing).unwrap();
        return;
    }
    assert_eq!(golden, listing, "if this is meant, move LAYOUT_VERSION and run with BLESS=1");
}
