//! From bytes to what the balancer needs to know of a packet.

use lb_common::{
    Be16, Be32, Family, V4, V6,
    flow::{FlowKey, FlowKeyOf, state},
};

use crate::{
    csum::{self, Sum},
    fragment::{FRAGMENT_HEADER, FRAGMENT_HEADER_LENGTH},
    packet::{L3, L4, L4Checksum, Packet},
};

/// Where the network header stands: behind an Ethernet header without tags.
pub const ETHERNET: L3 = L3(14);

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// TCP's FIN.
pub const FIN: u8 = 1 << 0;
/// TCP's SYN.
pub const SYN: u8 = 1 << 1;
/// TCP's RST.
pub const RST: u8 = 1 << 2;
/// TCP's ACK.
pub const ACK: u8 = 1 << 4;

/// The network protocol of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Anything else, which the balancer has nothing to do with.
    Other,
}

/// What a frame carries.
#[inline(always)]
pub fn network<P: Packet + ?Sized>(packet: &P) -> Network {
    const IPV4: u16 = 0x0800_u16.to_be();
    const IPV6: u16 = 0x86dd_u16.to_be();

    match packet.half_words(ETHERNET.0 - 2) {
        Some([IPV4]) => Network::V4,
        Some([IPV6]) => Network::V6,
        _ => Network::Other,
    }
}

/// A TCP or UDP packet, or the first fragment of one. Later fragments and ICMP messages are put in
/// this shape too, without ports: by [`fragment`](crate::fragment) and [`icmp`](crate::icmp).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parsed<F: Family> {
    /// Source address.
    pub source: F::Address,
    /// Destination address.
    pub destination: F::Address,
    /// Source port.
    pub source_port: Be16,
    /// Destination port.
    pub destination_port: Be16,
    /// IANA number: TCP or UDP.
    pub protocol: u8,
    /// TCP's flags; none for UDP.
    pub tcp_flags: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Type of service, traffic class.
    pub tos: u8,
    /// Length from the network header on, as it says itself.
    pub length: u16,
    /// Where the network header stands.
    pub l3: L3,
    /// Where the transport header stands.
    pub l4: L4,
    /// The transport checksum as it stands.
    pub checksum: u16,
    /// Whether there is a transport header; a later fragment has none.
    pub has_transport: bool,
}

impl<F: Layer3> Parsed<F> {
    /// The packet's flow at the given [`lb_common::flow::hook`].
    #[inline(always)]
    pub fn flow_key(&self, hook: u8) -> FlowKeyOf<F> {
        FlowKey {
            source: self.source,
            destination: self.destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol: self.protocol,
            hook,
            pad: 0,
        }
    }

    /// Whether this is TCP.
    #[inline(always)]
    pub const fn is_tcp(&self) -> bool {
        self.protocol == TCP
    }

    /// Whether this is TCP's first packet of a connection.
    #[inline(always)]
    pub const fn opens_connection(&self) -> bool {
        self.tcp_flags & (SYN | ACK | RST) == SYN
    }

    /// Whether this is TCP's answer to the first packet of a connection.
    #[inline(always)]
    pub const fn accepts_connection(&self) -> bool {
        self.tcp_flags & (SYN | ACK | RST) == SYN | ACK
    }

    /// What of [`lb_common::flow::state`] this says about the end of a TCP connection.
    #[inline(always)]
    pub const fn ending(&self) -> u8 {
        let fin = if self.tcp_flags & FIN != 0 { state::FIN } else { 0 };
        let rst = if self.tcp_flags & RST != 0 { state::RST } else { 0 };
        fin | rst
    }

    /// Where the transport checksum stands.
    #[inline(always)]
    pub const fn l4_checksum(&self) -> L4Checksum {
        let within = if self.protocol == UDP { 6 } else { 16 };
        L4Checksum { at: self.l4.0 + within, zero_is_none: self.protocol == UDP, ipv6: F::IPV6 }
    }

    /// Whether the checksum field holds the pseudo-header's sum only, to be completed by the
    /// sender's hardware: so the packets look that another namespace of this machine hands over a
    /// veth. One full checksum in 65,536 looks the same.
    #[inline(always)]
    pub fn checksum_is_partial(&self) -> bool {
        let length = self.length.wrapping_sub((self.l4.0 - self.l3.0) as u16);
        let addresses = F::sum(self.source).plus(F::sum(self.destination));
        csum::pseudo_header(addresses, self.protocol, length).fold() == self.checksum
    }
}

/// What differs between the families when reading and rewriting.
pub trait Layer3: Family {
    /// Where the word stands that has the hop limit, and with it the header's own checksum if the
    /// family has one.
    const HOP_WORD: usize;

    /// Reads network and transport header; `None` for what is not for the balancer: later
    /// fragments, extension headers but a fragment's, other protocols, packets cut short.
    fn parse<P: Packet + ?Sized>(packet: &P, l3: L3) -> Option<Parsed<Self>>
    where
        Self: Sized;

    /// An address's share of a checksum.
    fn sum(address: Self::Address) -> Sum;

    /// Writes addresses and, one less if `hop`, the hop limit; keeps the network header's own
    /// checksum right.
    fn write<P: Packet + ?Sized>(
        packet: &mut P,
        from: &Parsed<Self>,
        source: Self::Address,
        destination: Self::Address,
        hop: bool,
    ) -> Option<()>
    where
        Self: Sized;
}

/// Whether the balancer knows a transport protocol.
#[inline(always)]
pub(crate) const fn is_ours(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP)
}

/// Ports, TCP flags and checksum.
#[inline(always)]
fn transport<P: Packet + ?Sized>(packet: &P, l4: L4, protocol: u8) -> Option<(u32, u8, u16)> {
    match protocol {
        TCP => {
            let [ports, _, _, offset_flags, checksum_urgent] = packet.words(l4.0)?;
            let [_, flags, _, _] = offset_flags.to_ne_bytes();
            Some((ports, flags, first_half(checksum_urgent)))
        }
        UDP => {
            let [ports, length_checksum] = packet.words(l4.0)?;
            Some((ports, 0, second_half(length_checksum)))
        }
        _ => None,
    }
}

impl Layer3 for V4 {
    const HOP_WORD: usize = 8;

    #[inline(always)]
    fn parse<P: Packet + ?Sized>(packet: &P, l3: L3) -> Option<Parsed<Self>> {
        /// Not zero in a later fragment.
        const OFFSET: u16 = 0x1fff_u16.to_be();

        let [start, identity, ttl_protocol, source, destination] = packet.words(l3.0)?;
        let [version_length, tos, _, _] = start.to_ne_bytes();
        let [ttl, protocol, _, _] = ttl_protocol.to_ne_bytes();
        if version_length >> 4 != 4 || version_length & 15 < 5 {
            return None;
        }
        if second_half(identity) & OFFSET != 0 {
            return None;
        }
        let l4 = L4(l3.0 + usize::from(version_length & 15) * 4);
        let (ports, tcp_flags, checksum) = transport(packet, l4, protocol)?;
        Some(Parsed {
            source: Be32::from_wire(source),
            destination: Be32::from_wire(destination),
            source_port: Be16::from_wire(first_half(ports)),
            destination_port: Be16::from_wire(second_half(ports)),
            protocol,
            tcp_flags,
            ttl,
            tos,
            length: u16::from_be(second_half(start)),
            l3,
            l4,
            checksum,
            has_transport: true,
        })
    }

    #[inline(always)]
    fn sum(address: Be32) -> Sum {
        Sum::ZERO.word(address.wire())
    }

    #[inline(always)]
    fn write<P: Packet + ?Sized>(
        packet: &mut P,
        from: &Parsed<Self>,
        source: Be32,
        destination: Be32,
        hop: bool,
    ) -> Option<()> {
        let [old] = packet.words(from.l3.0 + 8)?;
        let [ttl, protocol, _, _] = old.to_ne_bytes();
        let ttl_now = ttl.wrapping_sub(u8::from(hop));
        let head = u16::from_ne_bytes([ttl_now, protocol]);
        let checksum = Sum::ZERO
            .replace(u32::from(first_half(old)), u32::from(head))
            .replace(from.source.wire(), source.wire())
            .replace(from.destination.wire(), destination.wire())
            .apply_to(second_half(old));
        let first = join(head, checksum);
        packet.set_words(from.l3.0 + 8, [first, source.wire(), destination.wire()])
    }
}

impl Layer3 for V6 {
    const HOP_WORD: usize = 4;

    #[inline(always)]
    fn parse<P: Packet + ?Sized>(packet: &P, l3: L3) -> Option<Parsed<Self>> {
        const LENGTH: usize = 40;

        let [start, length_next_hop, s0, s1, s2, s3, d0, d1, d2, d3] = packet.words(l3.0)?;
        let [_, _, mut protocol, ttl] = length_next_hop.to_ne_bytes();
        let [version_class, class_label, _, _] = start.to_ne_bytes();
        if version_class >> 4 != 6 {
            return None;
        }
        let mut l4 = L4(l3.0 + LENGTH);
        if protocol == FRAGMENT_HEADER {
            /// Not zero in a later fragment.
            const OFFSET: u16 = 0xfff8_u16.to_be();

            let [next, flags] = packet.half_words(l4.0)?;
            if flags & OFFSET != 0 {
                return None;
            }
            [protocol, _] = next.to_ne_bytes();
            l4 = L4(l4.0 + FRAGMENT_HEADER_LENGTH);
        }
        let (ports, tcp_flags, checksum) = transport(packet, l4, protocol)?;
        let payload = u16::from_be(first_half(length_next_hop));
        Some(Parsed {
            source: [s0, s1, s2, s3].map(Be32::from_wire),
            destination: [d0, d1, d2, d3].map(Be32::from_wire),
            source_port: Be16::from_wire(first_half(ports)),
            destination_port: Be16::from_wire(second_half(ports)),
            protocol,
            tcp_flags,
            ttl,
            tos: version_class << 4 | class_label >> 4,
            length: payload.wrapping_add(LENGTH as u16),
            l3,
            l4,
            checksum,
            has_transport: true,
        })
    }

    #[inline(always)]
    fn sum(address: [Be32; 4]) -> Sum {
        let [a, b, c, d] = address;
        Sum::ZERO.word(a.wire()).word(b.wire()).word(c.wire()).word(d.wire())
    }

    #[inline(always)]
    fn write<P: Packet + ?Sized>(
        packet: &mut P,
        from: &Parsed<Self>,
        source: [Be32; 4],
        destination: [Be32; 4],
        hop: bool,
    ) -> Option<()> {
        let [old] = packet.words(from.l3.0 + 4)?;
        let [a, b, protocol, ttl] = old.to_ne_bytes();
        let first = u32::from_ne_bytes([a, b, protocol, ttl.wrapping_sub(u8::from(hop))]);
        let [s0, s1, s2, s3] = source.map(Be32::wire);
        let [d0, d1, d2, d3] = destination.map(Be32::wire);
        packet.set_words(from.l3.0 + 4, [first, s0, s1, s2, s3, d0, d1, d2, d3])
    }
}

/// The two bytes that come first in the packet.
#[inline(always)]
pub(crate) const fn first_half(word: u32) -> u16 {
    let [a, b, _, _] = word.to_ne_bytes();
    u16::from_ne_bytes([a, b])
}

/// The two bytes that come after them.
#[inline(always)]
pub(crate) const fn second_half(word: u32) -> u16 {
    let [_, _, a, b] = word.to_ne_bytes();
    u16::from_ne_bytes([a, b])
}

/// The word whose halves these are.
#[inline(always)]
pub const fn join(first: u16, second: u16) -> u32 {
    let [a, b] = first.to_ne_bytes();
    let [c, d] = second.to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}
