//! Whether the source ports that are ours are ours alone: which ports this network namespace gives
//! to its own sockets.
//!
//! What meets is only an outgoing connection of the host's own, from the same port to the same
//! backend and port: a socket that listens within the range is no matter.

use std::fs;

use tracing::{debug, warn};

const LOCAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// Warns if the kernel may give a port of the range, first to last, to a socket that asks for any.
pub fn check(range: (u16, u16)) {
    let read =
        |path| fs::read_to_string(path).inspect_err(|error| debug!("reading {path}: {error}")).ok();
    let (Some(local), Some(reserved)) = (read(LOCAL), read(RESERVED)) else { return };
    if let Some((first, last)) = shared(range, &local, &reserved) {
        let (ours_first, ours_last) = range;
        warn!(
            "--snat-ports {ours_first}-{ours_last} overlaps net.ipv4.ip_local_port_range, \
             {first}-{last}: a connection of the host's own may meet one of ours. Choose another \
             range, or reserve it: net.ipv4.ip_local_reserved_ports={ours_first}-{ours_last}"
        );
    }
}

/// The range of local ports, if one of them is ours, too, and not reserved.
fn shared(range: (u16, u16), local: &str, reserved: &str) -> Option<(u16, u16)> {
    let mut ends = local.split_whitespace().map(str::parse);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else { return None };
    let (from, to) = (range.0.max(first), range.1.min(last));
    let is_reserved = |port: &u16| {
        reserved.trim().split(',').any(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            matches!((from.parse(), to.parse()), (Ok(from), Ok(to)) if (from..=to).contains(port))
        })
    };
    (from..=to).any(|port| !is_reserved(&port)).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_port_is_ours_alone_if_it_is_elsewhere_or_reserved() {
        #[track_caller]
        fn check(local: &str, reserved: &str, expected: Option<(u16, u16)>) {
            assert_eq!(shared((10_000, 29_999), local, reserved), expected);
        }
        check("32768\t60999\n", "\n", None);
        check("1024\t65535\n", "\n", Some((1_024, 65_535)));
        check("29999\t60999\n", "\n", Some((29_999, 60_999)));
        check("29999\t60999\n", "29999\n", None);
        check("1024\t65535\n", "8080,10000-29999\n", None);
        check("1024\t65535\n", "10001-29999\n", Some((1_024, 65_535)));
        check("", "", None);
    }
}
