//! `--nodeport-addresses`: on which of the node's addresses NodePorts answer.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

/// What was asked for, parts joined by "or".
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct NodePortAddresses {
    /// Every address.
    pub all: bool,
    /// The address that the node uses towards the outside, of each family.
    pub primary: bool,
    /// Addresses in one of these networks. Where they are all of one family, and nothing else is
    /// asked for, the other family is left open: so it is with kube-proxy.
    pub networks: Vec<IpNet>,
    /// But not loopback addresses, whatever the parts say.
    pub never_loopback: bool,
}

impl NodePortAddresses {
    /// Whether NodePorts answer on `address`. `is_primary`: it is the node's primary address of its
    /// family.
    pub fn admit(&self, address: IpAddr, is_primary: bool) -> bool {
        if self.never_loopback && address.is_loopback() {
            return false;
        }
        self.all
            || self.primary && is_primary
            || self.networks.iter().any(|network| network.contains(&address))
            || self.leaves_open(address)
    }

    /// Nobody said anything about the family of `address`.
    fn leaves_open(&self, address: IpAddr) -> bool {
        let of_family = |network: &IpNet| network.addr().is_ipv4() == address.is_ipv4();
        !self.primary && !self.networks.is_empty() && !self.networks.iter().any(of_family)
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

    fn given(parts: &[&str]) -> NodePortAddresses {
        let mut addresses = NodePortAddresses::default();
        assert!(parts.iter().all(|part| addresses.add(part)));
        addresses
    }

    #[track_caller]
    fn check(parts: &[&str], address: &str, is_primary: bool, expected: bool) {
        assert_eq!(given(parts).admit(address.parse().unwrap(), is_primary), expected);
    }

    #[test]
    fn an_address_is_admitted_by_any_part() {
        check(&["all"], "192.0.2.1", false, true);
        check(&["all"], "::1", false, true);
        check(&["primary"], "192.0.2.1", true, true);
        check(&["primary"], "192.0.2.2", false, false);
        check(&["primary"], "2001:db8::2", false, false);
        check(&["primary"], "127.0.0.1", false, false);
        check(&["primary", "localhost"], "127.0.0.1", false, true);
        check(&["192.0.2.0/24"], "192.0.2.77", false, true);
        check(&["192.0.2.0/24"], "198.51.100.1", true, false);
        check(&["192.0.2.0/24", "2001:db8::/32"], "2001:db8::1", false, true);
        check(&["0.0.0.0/0"], "127.0.0.1", false, true);
    }

    #[test]
    fn networks_of_one_family_leave_the_other_open() {
        check(&["192.0.2.0/24"], "2001:db8::1", false, true);
        check(&["192.0.2.0/24"], "::1", false, true);
        check(&["2001:db8::/32"], "198.51.100.1", false, true);
        check(&["192.0.2.0/24", "2001:db8::/32"], "2001:db9::1", false, false);
        check(&["192.0.2.0/24", "primary"], "2001:db8::1", false, false);
        check(&["localhost"], "2001:db8::1", false, false);
        assert!(!NodePortAddresses::default().admit([192, 0, 2, 1].into(), true));
    }

    #[test]
    fn loopback_can_be_taken_out_of_everything() {
        let never = NodePortAddresses { never_loopback: true, ..given(&["all", "localhost"]) };
        assert!(!never.admit([127, 0, 0, 1].into(), false));
        assert!(never.admit([192, 0, 2, 1].into(), false));
    }

    #[test]
    fn what_is_neither_word_nor_network_is_refused() {
        for part in ["", "eth0", "192.0.2.1", "192.0.2.0/33"] {
            assert!(!NodePortAddresses::default().add(part), "{part}");
        }
    }
}
