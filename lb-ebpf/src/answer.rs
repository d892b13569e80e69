//! Answers made of the packet they answer: a TCP reset, and ICMP errors about it. SCTP's ABORT is in
//! [`sctp`](crate::sctp).
//!
//! What is here fills the headers in; making the packet shorter or longer is the hook's.

use lb_common::{Be32, V4, V6};

use crate::{
    csum::{self, Sum},
    icmp::{HEADER, HOP_LIMIT, Icmp},
    packet::Packet,
    parse::{ACK, ETHERNET, FIN, Layer3, Parsed, RST, SCTP, SYN, TCP, join},
};

/// What is said about a packet to who sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Nobody is there: a TCP reset, an SCTP ABORT, or ICMP "port unreachable".
    Refuse,
    /// It does not fit the next link, which takes so many bytes.
    TooBig(u16),
    /// Its hop limit is used up.
    TimeExceeded,
}

/// Marks a number as an answer's; neither XDP nor tc has an action like it.
const MARK: u32 = 0x0a00_0000;
const KIND: u32 = 0x0003_0000;
const MTU: u32 = 0x0000_ffff;

impl Answer {
    /// As a number, the only thing that a program's functions can hand each other.
    #[inline(always)]
    pub const fn code(self) -> u32 {
        match self {
            Self::Refuse => MARK,
            Self::TooBig(mtu) => MARK | 0x0001_0000 | mtu as u32,
            Self::TimeExceeded => MARK | 0x0002_0000,
        }
    }

    /// Back from the number; `None`: it is something else.
    #[inline(always)]
    pub const fn from_code(code: u32) -> Option<Self> {
        if code & !(KIND | MTU) != MARK {
            return None;
        }
        match code & KIND {
            0 => Some(Self::Refuse),
            0x0001_0000 => Some(Self::TooBig((code & MTU) as u16)),
            0x0002_0000 => Some(Self::TimeExceeded),
            _ => None,
        }
    }
}

/// Length of a TCP header without options.
pub const RESET: usize = 20;
/// The most that an error quotes. RFC 1812 allows an IPv4 message 576 bytes in all, and RFC 4443 an
/// IPv6 message 1280; a sum over more than 512 bytes would need a loop.
pub const QUOTE: usize = 508;

/// Network headers, each without options.
pub trait Header: Icmp {
    /// Its length.
    const LENGTH: usize;

    /// Writes a header of a packet of ours with this much behind it.
    fn begin<P: Packet + ?Sized>(
        packet: &mut P,
        source: Self::Address,
        destination: Self::Address,
        protocol: u8,
        payload: usize,
    ) -> Option<()>;

    /// Whether somebody who may be answered has this address.
    fn is_unicast(address: Self::Address) -> bool;
}

impl Header for V4 {
    const LENGTH: usize = 20;

    #[inline(always)]
    fn begin<P: Packet + ?Sized>(
        packet: &mut P,
        source: Be32,
        destination: Be32,
        protocol: u8,
        payload: usize,
    ) -> Option<()> {
        const DO_NOT_FRAGMENT: u16 = 0x4000_u16.to_be();

        let start = join(0x4500_u16.to_be(), ((Self::LENGTH + payload) as u16).to_be());
        let identity = join(0, DO_NOT_FRAGMENT);
        let hop = u16::from_ne_bytes([HOP_LIMIT, protocol]);
        let sum = Sum::ZERO.word(start).word(identity).half_word(hop);
        let checksum = !sum.word(source.wire()).word(destination.wire()).fold();
        let words = [start, identity, join(hop, checksum), source.wire(), destination.wire()];
        packet.set_words(ETHERNET.0, words)
    }

    #[inline(always)]
    fn is_unicast(address: Be32) -> bool {
        let [first, ..] = address.get().to_be_bytes();
        first != 0 && first != 127 && first < 224
    }
}

impl Header for V6 {
    const LENGTH: usize = 40;

    #[inline(always)]
    fn begin<P: Packet + ?Sized>(
        packet: &mut P,
        source: [Be32; 4],
        destination: [Be32; 4],
        protocol: u8,
        payload: usize,
    ) -> Option<()> {
        let start = 0x6000_0000_u32.to_be();
        let next_hop = u16::from_ne_bytes([protocol, HOP_LIMIT]);
        let length = join((payload as u16).to_be(), next_hop);
        let [s0, s1, s2, s3] = source.map(Be32::wire);
        let [d0, d1, d2, d3] = destination.map(Be32::wire);
        packet.set_words(ETHERNET.0, [start, length, s0, s1, s2, s3, d0, d1, d2, d3])
    }

    #[inline(always)]
    fn is_unicast(address: [Be32; 4]) -> bool {
        let [first, b, c, last] = address;
        let [highest, ..] = first.get().to_be_bytes();
        // Neither :: nor ::1.
        let some = first.wire() | b.wire() | c.wire() != 0 || last.get() > 1;
        some && highest != 0xff
    }
}

/// Whether a packet may be answered at all, and by what protocol. A reset is not answered by one.
#[inline(always)]
pub fn protocol<F: Header>(packet: &Parsed<F>, answer: Answer) -> Option<u8> {
    if !F::is_unicast(packet.source) || !F::is_unicast(packet.destination) {
        return None;
    }
    match answer {
        Answer::Refuse if packet.is_connected() && packet.flags & RST != 0 => None,
        Answer::Refuse if packet.is_tcp() => Some(TCP),
        Answer::Refuse if packet.is_sctp() => Some(SCTP),
        _ => Some(F::PROTOCOL),
    }
}

/// The Ethernet header on the way back.
#[inline(always)]
pub fn turn_back<P: Packet + ?Sized>(packet: &mut P) -> Option<()> {
    let [d0, d1, d2, s0, s1, s2] = packet.half_words(0)?;
    packet.set_half_words(0, [s0, s1, s2, d0, d1, d2])
}

/// Whether a frame was sent to us alone.
#[inline(always)]
pub fn is_for_one<P: Packet + ?Sized>(packet: &P) -> bool {
    packet.half_words(0).is_some_and(|[start]| start.to_ne_bytes()[0] & 1 == 0)
}

/// Sequence numbers of the reset that answers a segment (RFC 9293, 3.10.7.1): sequence,
/// acknowledgement, flags.
#[inline(always)]
fn reset_numbers<F: Layer3>(segment: &Parsed<F>, [sequence, ack]: [u32; 2], data: u32) -> [u32; 3] {
    if segment.flags & ACK != 0 {
        return [ack, 0, RST.into()];
    }
    let counted = |flag: u8| u32::from(segment.flags & flag != 0);
    let next = u32::from_be(sequence).wrapping_add(data + counted(SYN) + counted(FIN));
    [0, next.to_be(), (RST | ACK).into()]
}

/// What must be read of a segment before it is cut: its numbers and the length of its data.
#[inline(always)]
pub fn segment<F: Layer3, P: Packet + ?Sized>(
    packet: &P,
    segment: &Parsed<F>,
) -> Option<([u32; 2], u32)> {
    let [_, sequence, ack, offset, _] = packet.words(segment.l4.0)?;
    let [offset, _, _, _] = offset.to_ne_bytes();
    let headers = (segment.l4.0 - segment.l3.0) as u32 + u32::from(offset >> 4) * 4;
    Some(([sequence, ack], u32::from(segment.length).saturating_sub(headers)))
}

/// Writes the reset over a segment that was cut to [`Header::LENGTH`] and [`RESET`].
///
/// A checksum that was left to hardware is to stay so: the packet still says it, and only tc's
/// helpers know. So the field keeps what it has, and is adjusted by the difference.
#[inline(always)]
pub fn reset<F: Header, P: Packet + ?Sized>(
    packet: &mut P,
    segment: &Parsed<F>,
    numbers: [u32; 2],
    data: u32,
) -> Option<()> {
    let [sequence, ack, flags] = reset_numbers(segment, numbers, data);
    let (source, destination) = (segment.destination, segment.source);
    let ports = join(segment.destination_port.wire(), segment.source_port.wire());
    let control = u32::from_ne_bytes([(RESET as u8 / 4) << 4, flags as u8, 0, 0]);
    let sum = Sum::ZERO.word(ports).word(sequence).word(ack).word(control);
    let addresses = F::sum(source).plus(F::sum(destination));
    let right = !csum::pseudo_header(addresses, TCP, RESET as u16).plus(sum).fold();

    F::begin(packet, source, destination, TCP, RESET)?;
    let at = ETHERNET.0 + F::LENGTH;
    let kept = join(segment.checksum, 0);
    packet.set_words(at, [ports, sequence, ack, control, kept])?;
    let was = segment.length.wrapping_sub((segment.l4.0 - segment.l3.0) as u16).to_be();
    let is = (RESET as u16).to_be();
    let length = Sum::ZERO.replace(was.into(), is.into());
    let rest =
        Sum::ZERO.replace(is.into(), was.into()).half_word(!right).half_word(segment.checksum);
    let mut field = segment.l4_checksum();
    field.at = at + 16;
    packet.adjust_l4_checksum(field, length, rest)
}

/// How much of a packet an error quotes.
#[inline(always)]
pub fn quote_length<F: Layer3>(packet: &Parsed<F>) -> usize {
    let length = usize::from(packet.length);
    (if length < QUOTE { length } else { QUOTE }) & !3
}

/// Writes network and ICMP header in front of what is quoted, for which room was made.
#[inline(always)]
pub fn error<F: Header, P: Packet + ?Sized>(
    packet: &mut P,
    about: &Parsed<F>,
    answer: Answer,
    quoted: usize,
) -> Option<()> {
    let ([kind, code], mtu) = match answer {
        Answer::Refuse => (F::PORT_UNREACHABLE, 0),
        Answer::TooBig(mtu) => (F::TOO_BIG, mtu),
        Answer::TimeExceeded => (F::TIME_EXCEEDED, 0),
    };
    let type_code = u16::from_ne_bytes([kind, code]);
    // In IPv4's message the MTU has 16 bits and stands behind 16 unused ones, in IPv6's 32.
    let rest = u32::from(mtu).to_be();
    let (source, destination) = (about.destination, about.source);
    let at = ETHERNET.0 + F::LENGTH;
    let length = HEADER + quoted;
    let mut sum = sum::<P>(packet, at + HEADER, quoted)?.half_word(type_code).word(rest);
    if F::IPV6 {
        let addresses = F::sum(source).plus(F::sum(destination));
        sum = sum.plus(csum::pseudo_header(addresses, F::PROTOCOL, length as u16));
    }
    F::begin(packet, source, destination, F::PROTOCOL, length)?;
    packet.set_words(at, [join(type_code, !sum.fold()), rest])
}

/// The sum of up to [`QUOTE`] bytes, by powers of two: the kernel's helper takes only sizes that are
/// known beforehand.
#[inline(always)]
fn sum<P: Packet + ?Sized>(packet: &P, from: usize, length: usize) -> Option<Sum> {
    let (mut at, mut total) = (from, Sum::ZERO);
    macro_rules! steps {
        ($($bytes:literal)*) => {$(
            if length & $bytes != 0 {
                total = total.plus(packet.sum::<$bytes>(at)?);
                at += $bytes;
            }
        )*};
    }
    steps!(256 128 64 32 16 8 4);
    _ = at;
    Some(total)
}
