//! How the parts of rows are written, the same in every table.

use std::net::{IpAddr, SocketAddr};

use lb_common::{Address, Be16, Protocol, backend::BackendRef, frontend::kind};
use nix::time::{ClockId, clock_gettime};

use crate::plan::Contents;

/// `10.0.0.1:80`, `[fd00::1]:80`.
pub(super) fn socket(address: Address, port: Be16) -> String {
    SocketAddr::new(IpAddr::from(address), port.get()).to_string()
}

/// `TCP`, or the number of what is none of ours.
pub(super) fn protocol(number: u8) -> String {
    Protocol::from_number(number).map_or_else(|| number.to_string(), |known| known.to_string())
}

/// What a frontend is to its clients.
pub(super) fn frontend_kind(number: u8) -> &'static str {
    match number {
        kind::CLUSTER_IP => "ClusterIP",
        kind::NODE_PORT => "NodePort",
        kind::EXTERNAL_IP => "ExternalIP",
        kind::LOAD_BALANCER => "LoadBalancer",
        _ => "unknown",
    }
}

/// A remembered backend, if its row is still the one that was meant.
pub(super) fn backend(contents: &Contents, reference: BackendRef) -> Option<String> {
    let row = contents.backend(reference.index)?;
    (row.generation == reference.generation && row.flags != 0)
        .then(|| socket(row.address, row.port))
}

/// The name of a service row: `namespace/name:port`, or its index if it has none any more.
pub(super) fn service(contents: &Contents, index: u32) -> String {
    contents
        .service(index)
        .and_then(|service| contents.name_of(service))
        .map_or_else(|| format!("#{index}"), |name| name.to_string())
}

/// Seconds since the programs wrote a time of the monotonic clock.
pub(super) fn age(seen_s: u64) -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.tv_sec() as u64);
    now.saturating_sub(seen_s)
}
