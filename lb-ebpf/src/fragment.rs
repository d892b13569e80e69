//! Fragments: telling them from whole packets, and reading those that have no transport header.
//!
//! The first fragment has one and is read like any packet. Later ones have nothing but addresses
//! and the identity they share with the first.

use lb_common::{Be16, Be32, V4, V6};

use crate::{
    packet::{L3, L4, Packet},
    parse::{ETHERNET, Layer3, Parsed, first_half, second_half},
};

/// What part of a datagram a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of it.
    Whole,
    /// The beginning, transport header included.
    First,
    /// Something behind the beginning.
    Later,
}

/// The header that IPv6 fragments have behind the fixed one.
pub(crate) const FRAGMENT_HEADER: u8 = 44;
/// Its length.
pub(crate) const FRAGMENT_HEADER_LENGTH: usize = 8;

/// Reading of fragments, which each family writes in another place.
pub trait Fragmented: Layer3 {
    /// What part of a datagram this is; a packet cut short counts as whole and is not read later.
    fn part<P: Packet + ?Sized>(packet: &P) -> Part;

    /// What all fragments of a datagram between two hosts have in common.
    fn identity<P: Packet + ?Sized>(packet: &P) -> Option<u32>;

    /// A later fragment, without ports. `None` for a protocol that is not the balancer's.
    fn later<P: Packet + ?Sized>(packet: &P) -> Option<Parsed<Self>>
    where
        Self: Sized;
}

/// From IPv4's word of flags and offset, or IPv6's, each without its other bits.
#[inline(always)]
const fn part(offset: u16, more: u16) -> Part {
    if offset != 0 {
        Part::Later
    } else if more != 0 {
        Part::First
    } else {
        Part::Whole
    }
}

impl Fragmented for V4 {
    #[inline(always)]
    fn part<P: Packet + ?Sized>(packet: &P) -> Part {
        const MORE: u16 = 0x2000_u16.to_be();
        const OFFSET: u16 = 0x1fff_u16.to_be();

        match packet.half_words(ETHERNET.0 + 6) {
            Some([flags]) => part(flags & OFFSET, flags & MORE),
            None => Part::Whole,
        }
    }

    #[inline(always)]
    fn identity<P: Packet + ?Sized>(packet: &P) -> Option<u32> {
        packet.half_words(ETHERNET.0 + 4).map(|[identity]| identity.into())
    }

    #[inline(always)]
    fn later<P: Packet + ?Sized>(packet: &P) -> Option<Parsed<Self>> {
        let [start, _, ttl_protocol, source, destination] = packet.words(ETHERNET.0)?;
        let [version_length, tos, _, _] = start.to_ne_bytes();
        let [ttl, protocol, _, _] = ttl_protocol.to_ne_bytes();
        let l4 = L4(ETHERNET.0 + usize::from(version_length & 15) * 4);
        let length = u16::from_be(second_half(start));
        let (source, destination) = (Be32::from_wire(source), Be32::from_wire(destination));
        without_ports(source, destination, protocol, [ttl, tos], length, l4)
    }
}

impl Fragmented for V6 {
    #[inline(always)]
    fn part<P: Packet + ?Sized>(packet: &P) -> Part {
        const MORE: u16 = 1_u16.to_be();
        const OFFSET: u16 = 0xfff8_u16.to_be();

        match packet.half_words(ETHERNET.0 + 6) {
            Some([next_hop]) if next_hop.to_ne_bytes()[0] == FRAGMENT_HEADER => {}
            _ => return Part::Whole,
        }
        match packet.half_words(ETHERNET.0 + 40 + 2) {
            Some([flags]) => part(flags & OFFSET, flags & MORE),
            None => Part::Whole,
        }
    }

    #[inline(always)]
    fn identity<P: Packet + ?Sized>(packet: &P) -> Option<u32> {
        packet.words(ETHERNET.0 + 40 + 4).map(|[identity]| identity)
    }

    #[inline(always)]
    fn later<P: Packet + ?Sized>(packet: &P) -> Option<Parsed<Self>> {
        let [start, length_next_hop, s0, s1, s2, s3, d0, d1, d2, d3] = packet.words(ETHERNET.0)?;
        let [fragment] = packet.half_words(ETHERNET.0 + 40)?;
        let [version_class, class_label, _, _] = start.to_ne_bytes();
        let [_, _, _, ttl] = length_next_hop.to_ne_bytes();
        let [protocol, _] = fragment.to_ne_bytes();
        let tos = version_class << 4 | class_label >> 4;
        let length = u16::from_be(first_half(length_next_hop)).wrapping_add(40);
        let l4 = L4(ETHERNET.0 + 40 + FRAGMENT_HEADER_LENGTH);
        let source = [s0, s1, s2, s3].map(Be32::from_wire);
        let destination = [d0, d1, d2, d3].map(Be32::from_wire);
        without_ports(source, destination, protocol, [ttl, tos], length, l4)
    }
}

#[inline(always)]
fn without_ports<F: Layer3>(
    source: F::Address,
    destination: F::Address,
    protocol: u8,
    [ttl, tos]: [u8; 2],
    length: u16,
    l4: L4,
) -> Option<Parsed<F>> {
    const L3: L3 = ETHERNET;

    crate::parse::is_ours(protocol).then_some(Parsed {
        source,
        destination,
        source_port: Be16::ZERO,
        destination_port: Be16::ZERO,
        protocol,
        flags: 0,
        ttl,
        tos,
        length,
        l3: L3,
        l4,
        checksum: 0,
        has_transport: false,
    })
}
