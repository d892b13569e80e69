//! Rules of kube-proxy in the kernel's packet filter, looked for without the tools that made them.

use std::{fmt, fs};

use super::nf_tables;
use crate::kernel::sys;

/// The table of mode nftables.
const TABLE: &str = "kube-proxy";
/// The chain that every rule of mode iptables hangs on. The kubelet has chains too; not this one.
const CHAIN: &str = "KUBE-SERVICES";
/// Tables of the older interface, with the file that lists those which exist: to ask for one that
/// does not would make it.
const LEGACY: [(bool, &str); 2] = [
    (false, "/proc/thread-self/net/ip_tables_names"),
    (true, "/proc/thread-self/net/ip6_tables_names"),
];

/// Some of its rules, and the tool that shows them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rules {
    /// A table of nftables.
    Table {
        /// `ip`, `ip6` or `inet`.
        family: &'static str,
    },
    /// Chains of iptables.
    Chains {
        /// `iptables` or `ip6tables`.
        tool: &'static str,
        /// The table they are in.
        table: String,
    },
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { family } => write!(f, "table {family} {TABLE} of nftables"),
            Self::Chains { tool, table } => write!(f, "chains {CHAIN} of {tool}, table {table}"),
        }
    }
}

/// All there are. What the kernel does not have, or does not tell, holds none.
pub(super) fn find() -> Vec<Rules> {
    let mut found: Vec<_> = nf_tables::tables()
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, name)| name == TABLE)
        .map(|(family, _)| Rules::Table { family })
        .collect();
    for chain in nf_tables::chains().unwrap_or_default() {
        if chain.name == CHAIN {
            let tool = if chain.family == "ip6" { "ip6tables" } else { "iptables" };
            found.push(Rules::Chains { tool, table: chain.table });
        }
    }
    found.extend(legacy());
    found.sort();
    found.dedup();
    found
}

fn legacy() -> Vec<Rules> {
    let mut found = Vec::new();
    for (ipv6, names) in LEGACY {
        let tool = if ipv6 { "ip6tables" } else { "iptables" };
        for table in fs::read_to_string(names).unwrap_or_default().lines() {
            if sys::iptables_entries(ipv6, table).is_ok_and(|entries| has_chain(&entries)) {
                found.push(Rules::Chains { tool, table: table.to_owned() });
            }
        }
    }
    found
}

/// Whether a chain of that name begins somewhere in a table: that is the one place where a chain's
/// name is written.
fn has_chain(entries: &[u8]) -> bool {
    let mut name = CHAIN.as_bytes().to_vec();
    name.push(0);
    entries.windows(name.len()).any(|bytes| bytes == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_found_by_its_whole_name() {
        assert!(has_chain(b"\0\0ERROR\0\0KUBE-SERVICES\0\0\0"));
        assert!(!has_chain(b"\0\0ERROR\0\0KUBE-SERVICES-2\0\0"));
        assert!(!has_chain(b"KUBE"));
    }
}
