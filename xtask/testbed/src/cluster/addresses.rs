//! Who has which address. Nothing is handed out at run time, so a person can read every address
//! off a picture:
//!
//! ```text
//! client .10 .20      203.0.113.0/24   2001:db8:113::/64
//!   | .1
//! router
//!   | .1              192.168.50.0/24  fd00:50::/64
//!   +-- control .10   (if the cluster has one)
//! nodeN .10+N         10.244.N.0/24    fd00:244:N::/64     (bridge .1, pods from .2)
//! ```
//!
//! An IPv6 address ends in the same digits as its IPv4 neighbour, so node1 is .11 and ::11.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Which address families a cluster has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Whether an address is of one of them.
    pub fn contain(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Both => true,
        }
    }
}

/// An address in both families, with its network's length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pair {
    v4: Ipv4Net,
    v6: Ipv6Net,
}

impl Pair {
    /// Those of the families asked for, IPv4 first.
    pub(super) fn of(self, families: Families) -> impl Iterator<Item = IpNet> {
        [IpNet::V4(self.v4), IpNet::V6(self.v6)]
            .into_iter()
            .filter(move |net| families.contain(net.addr()))
    }

    /// The addresses alone.
    pub(super) fn addresses(self, families: Families) -> Vec<IpAddr> {
        self.of(families).map(|net| net.addr()).collect()
    }

    /// The networks they are in.
    pub(super) fn networks(self) -> Self {
        Self { v4: self.v4.trunc(), v6: self.v6.trunc() }
    }
}

/// A host in a network of both families.
fn pair(v4: [u8; 3], v6: [u16; 3], host: u8) -> Pair {
    let ([a, b, c], [d, e, f]) = (v4, v6);
    Pair {
        v4: Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, host), 24),
        v6: Ipv6Net::new_assert(Ipv6Addr::new(d, e, f, 0, 0, 0, 0, same_digits(host)), 64),
    }
}

/// The number that looks in hexadecimal as this one does in decimal.
fn same_digits(number: u8) -> u16 {
    let [hundreds, tens, ones] = [number / 100, number / 10 % 10, number % 10].map(u16::from);
    (hundreds << 8) | (tens << 4) | ones
}

/// The router's, and with it everybody's gateway, on the nodes' network.
pub(super) const ROUTER: u8 = 1;

/// Where an API server is, on the nodes' network.
pub(super) const CONTROL: u8 = 10;

/// On the nodes' network.
pub(super) fn underlay(host: u8) -> Pair {
    pair([192, 168, 50], [0xfd00, 0x50, 0], host)
}

/// A node, counted from 1, on the nodes' network.
pub(super) fn node(number: u8) -> Pair {
    underlay(10 + number)
}

/// On the client's network.
pub(super) fn outside(host: u8) -> Pair {
    pair([203, 0, 113], [0x2001, 0xdb8, 0x113], host)
}

/// The client's addresses; it calls from the first unless told otherwise.
pub(super) const CLIENT: [u8; 2] = [10, 20];

/// The bridge of a node's pods.
pub(super) const BRIDGE: u8 = 1;
/// The first pod.
pub(super) const FIRST_POD: u8 = 2;

/// On the network of a node's pods.
pub(super) fn pods(number: u8, host: u8) -> Pair {
    pair([10, 244, number], [0xfd00, 0x244, same_digits(number)], host)
}

/// Everything.
pub(super) fn default_routes(families: Families) -> impl Iterator<Item = IpNet> {
    Pair {
        v4: Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0),
        v6: Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0),
    }
    .of(families)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_have_the_same_digits() {
        for (pair, expected) in [
            (node(1), ["192.168.50.11/24", "fd00:50::11/64"]),
            (underlay(ROUTER), ["192.168.50.1/24", "fd00:50::1/64"]),
            (outside(10), ["203.0.113.10/24", "2001:db8:113::10/64"]),
            (pods(2, BRIDGE), ["10.244.2.1/24", "fd00:244:2::1/64"]),
            (pods(12, 123), ["10.244.12.123/24", "fd00:244:12::123/64"]),
        ] {
            let both: Vec<String> = pair.of(Families::Both).map(|net| net.to_string()).collect();
            assert_eq!(both, expected);
        }
    }

    #[test]
    fn only_the_families_asked_for_are_given() {
        for (families, expected) in [(Families::V4, 1), (Families::V6, 1), (Families::Both, 2)] {
            let addresses = node(3).addresses(families);
            assert_eq!(addresses.len(), expected);
            assert!(addresses.iter().all(|address| families.contain(*address)));
        }
    }
}
