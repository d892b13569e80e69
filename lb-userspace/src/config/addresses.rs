//! `--nodeport-addresses`: on which of the node's addresses NodePorts answer.

use std::net::IpAddr;

use ipnet::IpNet;

/// What was asked for, parts joined by "or".
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodePortAddresses {
    /// Every address.
    pub all: bool,
    /// The address that the node uses towards the outside, of each family.
    pub primary: bool,
    /// Addresses in one of these networks.
    pub networks: Vec<IpNet>,
}

impl NodePortAddresses {
    /// Whether NodePorts answer on `address`. `is_primary`: it is the node's primary address of its
    /// family.
    pub fn admit(&self, address: IpAddr, is_primary: bool) -> bool {
        self.all
            || self.primary && is_primary
            || self.networks.iter().any(|network| network.contains(&address))
    }

    /// Takes one part as typed; `false`: it is none.
    pub(super) fn add(&mut self, part: &str) -> bool {
        match part {
            "all" => self.all = true,
            "primary" => self.primary = true,
            "localhost" => {
                let loopback = ["127.0.0.0/8", "::1/128"];
                self.networks.extend(loopback.iter().flat_map(|network| network.parse::<IpNet>()));
            }
            network => match network.parse() {
                Ok(network) => self.networks.push(network),
                Err(_) => return false,
            },
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_admitted_by_any_part() {
        #[track_caller]
        fn check(parts: &[&str], address: &str, is_primary: bool, expected: bool) {
            let mut addresses = NodePortAddresses::default();
            assert!(parts.iter().all(|part| addresses.add(part)));
            assert_eq!(addresses.admit(address.parse().unwrap(), is_primary), expected);
        }
        check(&["all"], "192.0.2.1", false, true);
        check(&["all"], "::1", false, true);
        check(&["primary"], "192.0.2.1", true, true);
        check(&["primary"], "192.0.2.2", false, false);
        check(&["primary"], "127.0.0.1", false, false);
        check(&["primary", "localhost"], "127.0.0.1", false, true);
        check(&["192.0.2.0/24"], "192.0.2.77", false, true);
        check(&["192.0.2.0/24"], "198.51.100.1", true, false);
        check(&["192.0.2.0/24"], "2001:db8::1", true, false);
        check(&["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", false, true);
        check(&["0.0.0.0/0"], "127.0.0.1", false, true);
    }

    #[test]
    fn what_is_neither_word_nor_network_is_refused() {
        for part in ["", "eth0", "192.0.2.1", "192.0.2.0/33"] {
            assert!(!NodePortAddresses::default().add(part), "{part}");
        }
    }
}
