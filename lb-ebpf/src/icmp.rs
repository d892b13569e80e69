//! ICMP messages: reading the errors that quote a packet of ours, translating what they quote, and
//! answering echo requests.
//!
//! An error quotes the packet it is about: network header and at least 8 bytes behind it, so the
//! ports always, UDP's checksum always, and TCP's or SCTP's only if the sender was generous.

use lb_common::{Be16, Be32, V4, V6};

use crate::{
    csum::Sum,
    fragment::{FRAGMENT_HEADER, FRAGMENT_HEADER_LENGTH},
    packet::{L3, L4, L4Checksum, Packet},
    parse::{ETHERNET, Layer3, Parsed, SCTP, TCP, UDP, first_half, is_ours, join, second_half},
    rewrite::{Rewrite, difference},
    sctp::{self, CHECKSUM},
};

/// Length of an ICMP header, up to where an error quotes.
pub const HEADER: usize = 8;

/// What an ICMP message is to the balancer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// Destination unreachable, packet too big, time exceeded or parameter problem.
    Error,
    /// A ping.
    EchoRequest,
    /// Nothing of ours.
    Other,
}

/// What differs between ICMP and ICMPv6.
pub trait Icmp: Layer3 {
    /// The protocol's IANA number.
    const PROTOCOL: u8;
    /// Type and code of "port unreachable", as they stand.
    const PORT_UNREACHABLE: [u8; 2];
    /// Of "does not fit the next link".
    const TOO_BIG: [u8; 2];
    /// Of "hop limit used up".
    const TIME_EXCEEDED: [u8; 2];
    /// The type of an answer to a ping.
    const ECHO_REPLY: u8;

    /// What a type says.
    fn message(kind: u8) -> Message;

    /// Reads the headers of a whole ICMP message, and its type.
    fn envelope<P: Packet + ?Sized>(packet: &P) -> Option<(Parsed<Self>, u8)>
    where
        Self: Sized;

    /// Reads what an error quotes at `l3`. `None`: no protocol of ours, or a later fragment of
    /// it.
    fn quoted<P: Packet + ?Sized>(packet: &P, l3: L3) -> Option<Parsed<Self>>
    where
        Self: Sized;
}

impl Icmp for V4 {
    const PROTOCOL: u8 = 1;
    const PORT_UNREACHABLE: [u8; 2] = [3, 3];
    const TOO_BIG: [u8; 2] = [3, 4];
    const TIME_EXCEEDED: [u8; 2] = [11, 0];
    const ECHO_REPLY: u8 = 0;

    #[inline(always)]
    fn message(kind: u8) -> Message {
        match kind {
            3 | 11 | 12 => Message::Error,
            8 => Message::EchoRequest,
            _ => Message::Other,
        }
    }

    #[inline(always)]
    fn envelope<P: Packet + ?Sized>(packet: &P) -> Option<(Parsed<Self>, u8)> {
        /// More fragments, and the offset: neither is set in a whole packet.
        const FRAGMENT: u16 = 0x3fff_u16.to_be();

        let (parsed, fragment) = network_v4(packet, ETHERNET)?;
        if parsed.protocol != Self::PROTOCOL || fragment & FRAGMENT != 0 {
            return None;
        }
        with_type(packet, parsed)
    }

    #[inline(always)]
    fn quoted<P: Packet + ?Sized>(packet: &P, l3: L3) -> Option<Parsed<Self>> {
        const OFFSET: u16 = 0x1fff_u16.to_be();

        let (parsed, fragment) = network_v4(packet, l3)?;
        if !is_ours(parsed.protocol) || fragment & OFFSET != 0 {
            return None;
        }
        with_ports(packet, parsed)
    }
}

impl Icmp for V6 {
    const PROTOCOL: u8 = 58;
    const PORT_UNREACHABLE: [u8; 2] = [1, 4];
    const TOO_BIG: [u8; 2] = [2, 0];
    const TIME_EXCEEDED: [u8; 2] = [3, 0];
    const ECHO_REPLY: u8 = 129;

    #[inline(always)]
    fn message(kind: u8) -> Message {
        match kind {
            1..=4 => Message::Error,
            128 => Message::EchoRequest,
            _ => Message::Other,
        }
    }

    #[inline(always)]
    fn envelope<P: Packet + ?Sized>(packet: &P) -> Option<(Parsed<Self>, u8)> {
        let parsed = network_v6(packet, ETHERNET)?;
        if parsed.protocol != Self::PROTOCOL {
            return None;
        }
        with_type(packet, parsed)
    }

    #[inline(always)]
    fn quoted<P: Packet + ?Sized>(packet: &P, l3: L3) -> Option<Parsed<Self>> {
        const OFFSET: u16 = 0xfff8_u16.to_be();

        let mut parsed = network_v6(packet, l3)?;
        if parsed.protocol == FRAGMENT_HEADER {
            let [next, flags] = packet.half_words(parsed.l4.0)?;
            if flags & OFFSET != 0 {
                return None;
            }
            [parsed.protocol, _] = next.to_ne_bytes();
            parsed.l4 = L4(parsed.l4.0 + FRAGMENT_HEADER_LENGTH);
        }
        if !is_ours(parsed.protocol) {
            return None;
        }
        with_ports(packet, parsed)
    }
}

/// An IPv4 header, and its word of flags and fragment offset.
#[inline(always)]
fn network_v4<P: Packet + ?Sized>(packet: &P, l3: L3) -> Option<(Parsed<V4>, u16)> {
    let [start, identity, ttl_protocol, source, destination] = packet.words(l3.0)?;
    let [version_length, tos, _, _] = start.to_ne_bytes();
    let [ttl, protocol, _, _] = ttl_protocol.to_ne_bytes();
    if version_length >> 4 != 4 || version_length & 15 < 5 {
        return None;
    }
    let parsed = Parsed {
        source: Be32::from_wire(source),
        destination: Be32::from_wire(destination),
        source_port: Be16::ZERO,
        destination_port: Be16::ZERO,
        protocol,
        flags: 0,
        ttl,
        tos,
        length: u16::from_be(second_half(start)),
        l3,
        l4: L4(l3.0 + usize::from(version_length & 15) * 4),
        checksum: 0,
        has_transport: false,
    };
    Some((parsed, second_half(identity)))
}

/// An IPv6 header, without looking at what follows it.
#[inline(always)]
fn network_v6<P: Packet + ?Sized>(packet: &P, l3: L3) -> Option<Parsed<V6>> {
    const LENGTH: usize = 40;

    let [start, length_next_hop, s0, s1, s2, s3, d0, d1, d2, d3] = packet.words(l3.0)?;
    let [version_class, class_label, _, _] = start.to_ne_bytes();
    let [_, _, protocol, ttl] = length_next_hop.to_ne_bytes();
    (version_class >> 4 == 6).then_some(Parsed {
        source: [s0, s1, s2, s3].map(Be32::from_wire),
        destination: [d0, d1, d2, d3].map(Be32::from_wire),
        source_port: Be16::ZERO,
        destination_port: Be16::ZERO,
        protocol,
        flags: 0,
        ttl,
        tos: version_class << 4 | class_label >> 4,
        length: u16::from_be(first_half(length_next_hop)).wrapping_add(LENGTH as u16),
        l3,
        l4: L4(l3.0 + LENGTH),
        checksum: 0,
        has_transport: false,
    })
}

#[inline(always)]
fn with_type<F: Layer3, P: Packet + ?Sized>(
    packet: &P,
    mut parsed: Parsed<F>,
) -> Option<(Parsed<F>, u8)> {
    let [type_code, checksum, _, _] = packet.half_words(parsed.l4.0)?;
    let [kind, _] = type_code.to_ne_bytes();
    parsed.checksum = checksum;
    Some((parsed, kind))
}

#[inline(always)]
fn with_ports<F: Layer3, P: Packet + ?Sized>(
    packet: &P,
    mut parsed: Parsed<F>,
) -> Option<Parsed<F>> {
    let [ports, _] = packet.words(parsed.l4.0)?;
    parsed.source_port = Be16::from_wire(first_half(ports));
    parsed.destination_port = Be16::from_wire(second_half(ports));
    parsed.has_transport = true;
    Some(parsed)
}

/// Translates an error: the packet it quotes is to look as its sender sent it.
///
/// `answer` is what an answer to the quoted packet would be made into; what is quoted travelled the
/// other way. `source` and `hop` are the error's own.
#[inline(always)]
pub fn translate<F: Icmp, P: Packet + ?Sized>(
    packet: &mut P,
    error: &Parsed<F>,
    quoted: &Parsed<F>,
    source: F::Address,
    answer: &Rewrite<F::Address>,
) -> Option<()> {
    let inner = quote::<F, P>(packet, error, quoted, answer)?;
    let destination = answer.destination;
    F::write(packet, error, source, destination, answer.hop)?;
    let outer = if F::IPV6 {
        difference::<F>(error.source, source).plus(difference::<F>(error.destination, destination))
    } else {
        Sum::ZERO
    };
    packet.adjust_l4_checksum(checksum(error), outer, inner)
}

/// Where an ICMP message's own checksum stands.
#[inline(always)]
fn checksum<F: Icmp>(message: &Parsed<F>) -> L4Checksum {
    L4Checksum { at: message.l4.0 + 2, zero_is_none: false, ipv6: F::IPV6 }
}

/// Rewrites the quoted headers; answers with what that does to the sum of the message.
#[inline(always)]
fn quote<F: Icmp, P: Packet + ?Sized>(
    packet: &mut P,
    error: &Parsed<F>,
    quoted: &Parsed<F>,
    answer: &Rewrite<F::Address>,
) -> Option<Sum> {
    let (source, destination) = (answer.destination, answer.source);
    let addresses = difference::<F>(quoted.source, source)
        .plus(difference::<F>(quoted.destination, destination));
    let ports_before = join(quoted.source_port.wire(), quoted.destination_port.wire());
    let ports_after = join(answer.destination_port.wire(), answer.source_port.wire());
    let ports = Sum::ZERO.replace(ports_before, ports_after);

    let [before] = packet.words(quoted.l3.0 + F::HOP_WORD)?;
    F::write(packet, quoted, source, destination, false)?;
    let [after] = packet.words(quoted.l3.0 + F::HOP_WORD)?;
    packet.set_words(quoted.l4.0, [ports_after])?;
    let change = addresses.plus(ports).replace(before, after);

    let within = match quoted.protocol {
        UDP => 6,
        SCTP if reaches(error, quoted, CHECKSUM + 4) => {
            let [old, new] = sctp::checksum(packet, quoted, [ports_before, ports_after])?;
            packet.set_words(quoted.l4.0 + CHECKSUM, [new])?;
            return Some(change.replace(old, new));
        }
        TCP if reaches(error, quoted, 16 + 2) => 16,
        _ => return Some(change),
    };
    let [field] = packet.half_words(quoted.l4.0 + within)?;
    if quoted.protocol == UDP && field == 0 {
        return Some(change);
    }
    let new = addresses.plus(ports).apply_to(field);
    let new = if quoted.protocol == UDP && new == 0 { !0 } else { new };
    packet.set_half_words(quoted.l4.0 + within, [new])?;
    Some(change.replace(field.into(), new.into()))
}

/// Whether an error quotes so much of a transport header; what follows it in the frame is padding.
#[inline(always)]
fn reaches<F: Layer3>(error: &Parsed<F>, quoted: &Parsed<F>, bytes: usize) -> bool {
    quoted.l4.0 + bytes <= error.l3.0 + usize::from(error.length)
}

/// The hop limit of packets that begin with us.
pub const HOP_LIMIT: u8 = 64;

/// Makes a ping its own answer.
#[inline(always)]
pub fn echo<F: Icmp, P: Packet + ?Sized>(packet: &mut P, request: &Parsed<F>) -> Option<()> {
    let [type_code] = packet.half_words(request.l4.0)?;
    let [_, code] = type_code.to_ne_bytes();
    let reply = u16::from_ne_bytes([F::ECHO_REPLY, code]);
    packet.set_half_words(request.l4.0, [reply])?;
    // The addresses change places, which no sum notices.
    let change = Sum::ZERO.replace(type_code.into(), reply.into());
    packet.adjust_l4_checksum(checksum(request), Sum::ZERO, change)?;
    set_hop_limit::<F, P>(packet, request)?;
    F::write(packet, request, request.destination, request.source, false)
}

/// Gives a packet a fresh hop limit.
#[inline(always)]
fn set_hop_limit<F: Icmp, P: Packet + ?Sized>(packet: &mut P, of: &Parsed<F>) -> Option<()> {
    let [old] = packet.words(of.l3.0 + F::HOP_WORD)?;
    let [a, b, c, _] = old.to_ne_bytes();
    let new = if F::IPV6 {
        u32::from_ne_bytes([a, b, c, HOP_LIMIT])
    } else {
        let (was, is) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([HOP_LIMIT, b]));
        join(is, Sum::ZERO.replace(was.into(), is.into()).apply_to(second_half(old)))
    };
    packet.set_words(of.l3.0 + F::HOP_WORD, [new])
}
