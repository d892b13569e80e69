//! Whether this process may do what a cluster needs, asked before anything is made.

use std::fs;

use crate::error::{During, Error, Result};

const PROCESS_STATUS: &str = "/proc/thread-self/status";

/// Capabilities a cluster needs, with their bit.
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (21, "CAP_SYS_ADMIN"), (5, "CAP_KILL")];

/// Fails with the names of the capabilities that are missing.
pub fn require() -> Result<()> {
    let status = fs::read_to_string(PROCESS_STATUS).during("read", PROCESS_STATUS)?;
    let missing = missing(&status);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::NotPrivileged { missing: missing.join(", ") })
}

/// The capabilities that a process status does not list as effective.
fn missing(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    NEEDED.iter().filter(|(bit, _)| effective & (1 << bit) == 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing() {
        for (status, expected) in [
            ("CapEff:\t000001ffffffffff\n", vec![]),
            ("Name:\tx\nCapEff:\t0000000000201020\n", vec![]),
            ("CapEff:\t0000000000001000\n", vec!["CAP_SYS_ADMIN", "CAP_KILL"]),
            ("CapEff:\t0000000000000000\n", vec!["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_KILL"]),
            ("nothing of the kind", vec!["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_KILL"]),
        ] {
            assert_eq!(missing(status), expected, "{status:?}");
        }
    }
}
