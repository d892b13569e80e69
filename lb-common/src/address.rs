//! Addresses of both families, and the family as a type.
//!
//! Tables that a packet of either family meets use the family's own short form ([`Ipv4`],
//! [`Ipv6`]); tables shared by both hold an [`Address`], in which IPv4 is written as an
//! IPv4-mapped IPv6 address (`::ffff:a.b.c.d`). All are made of 32-bit words: byte arrays as keys
//! cost the verifier and the program three times as many instructions.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Be32;

/// An IPv4 address.
pub type Ipv4 = Be32;

/// An IPv6 address, four words in network order.
pub type Ipv6 = [Be32; 4];

/// The word that precedes an IPv4 address in its IPv4-mapped form.
const MAPPED: Be32 = Be32::new(0x0000_ffff);

/// An address of either family in 16 bytes, IPv4 in its IPv4-mapped form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Address(pub [Be32; 4]);

impl Address {
    /// The IPv4-mapped form of an IPv4 address.
    #[inline(always)]
    pub const fn from_v4(address: Ipv4) -> Self {
        Self([Be32::ZERO, Be32::ZERO, MAPPED, address])
    }

    /// The IPv4 address this is the mapped form of, if it is one.
    #[inline(always)]
    pub fn as_v4(&self) -> Option<Ipv4> {
        let [a, b, c, d] = self.0;
        if a.wire() | b.wire() == 0 && c == MAPPED { Some(d) } else { None }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self::from_v4(Be32::new(address.to_bits()))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        Self(words(address))
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => address.into(),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        match address.as_v4() {
            Some(address) => V4::to_ip(address),
            None => V6::to_ip(address.0),
        }
    }
}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(&IpAddr::from(*self), f)
    }
}

fn words(address: Ipv6Addr) -> Ipv6 {
    let bits = address.to_bits();
    [96, 64, 32, 0].map(|shift| Be32::new((bits >> shift) as u32))
}

/// An address family as a type, so that one body of code serves both.
pub trait Family: Copy + 'static {
    /// The family's own short form of an address.
    type Address: Copy + Eq + Default + core::fmt::Debug + 'static;

    /// Whether this is IPv6.
    const IPV6: bool;

    /// The 16-byte form.
    fn widen(address: Self::Address) -> Address;

    /// Back from the 16-byte form; meaningless for an address of the other family.
    fn narrow(address: Address) -> Self::Address;

    /// As the standard library writes it.
    fn to_ip(address: Self::Address) -> IpAddr;
}

/// IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct V6;

impl Family for V4 {
    type Address = Ipv4;
    const IPV6: bool = false;

    #[inline(always)]
    fn widen(address: Ipv4) -> Address {
        Address::from_v4(address)
    }

    #[inline(always)]
    fn narrow(address: Address) -> Ipv4 {
        let [_, _, _, last] = address.0;
        last
    }

    fn to_ip(address: Ipv4) -> IpAddr {
        Ipv4Addr::from_bits(address.get()).into()
    }
}

impl Family for V6 {
    type Address = Ipv6;
    const IPV6: bool = true;

    #[inline(always)]
    fn widen(address: Ipv6) -> Address {
        Address(address)
    }

    #[inline(always)]
    fn narrow(address: Address) -> Ipv6 {
        address.0
    }

    fn to_ip(address: Ipv6) -> IpAddr {
        let bits = address.iter().fold(0u128, |bits, word| bits << 32 | u128::from(word.get()));
        Ipv6Addr::from_bits(bits).into()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[track_caller]
    fn round_trip(text: &str) {
        let ip: IpAddr = text.parse().unwrap();
        assert_eq!(IpAddr::from(Address::from(ip)), ip);
    }

    #[test]
    fn both_families_survive_the_16_byte_form() {
        round_trip("10.96.0.10");
        round_trip("0.0.0.0");
        round_trip("fd00:10:96::a");
        round_trip("::1");
        round_trip("::");
    }

    #[test]
    fn only_the_mapped_prefix_reads_as_ipv4() {
        let mapped = Address::from(IpAddr::from([10, 0, 0, 1]));
        assert_eq!(mapped.as_v4(), Some(Be32::new(0x0a00_0001)));
        assert_eq!(Address::from("::10.0.0.1".parse::<IpAddr>().unwrap()).as_v4(), None);
    }
}
