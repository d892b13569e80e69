//! What is different about SCTP: chunks instead of flags, and a checksum over all but the addresses.
//!
//! What a chunk says about an association is put in TCP's flags, whose states and answers then serve.
//! Only the first chunk of a packet is looked at: those that begin or end an association come alone,
//! but for an ABORT behind others, which costs no more than the longer timeout.

use crate::{
    answer::Header,
    crc32c,
    csum::Sum,
    packet::{L4, Packet},
    parse::{ACK, ETHERNET, FIN, Layer3, Parsed, RST, SCTP, SYN, first_half, join, second_half},
};

/// Length of an ABORT without causes, common header included.
pub const ABORT: usize = 16;

/// Length of the common header.
const HEADER: usize = 12;

/// Where the checksum stands in the header.
pub(crate) const CHECKSUM: usize = 8;

/// Types of chunks.
mod chunk {
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

/// Ports, what the first chunk says in TCP's flags, and a checksum that is zero if the true one is.
#[inline(always)]
pub(crate) fn read<P: Packet + ?Sized>(packet: &P, l4: L4) -> Option<(u32, u8, u16)> {
    let [ports, _, checksum] = packet.words(l4.0)?;
    let [kind, _, _, _] = packet.word_behind(l4.0 + HEADER)?.to_ne_bytes();
    Some((ports, flags(kind), first_half(checksum) | second_half(checksum)))
}

#[inline(always)]
const fn flags(kind: u8) -> u8 {
    match kind {
        chunk::INIT => SYN,
        chunk::INIT_ACK => SYN | ACK,
        chunk::SHUTDOWN | chunk::SHUTDOWN_ACK => FIN | ACK,
        // Like a reset, neither is answered, and nothing follows.
        chunk::ABORT | chunk::SHUTDOWN_COMPLETE => RST | ACK,
        _ => ACK,
    }
}

/// Brings the checksum in line with other ports. `sum` is what has been done to the sum of the whole
/// packet, which SCTP's checksum does not make up for.
#[inline(always)]
pub(crate) fn adjust_checksum<F: Layer3, P: Packet + ?Sized>(
    packet: &mut P,
    from: &Parsed<F>,
    ports: [u32; 2],
    sum: Sum,
) -> Option<()> {
    let [old, new] = checksum(packet, from, ports)?;
    packet.set_words(from.l4.0 + CHECKSUM, [new])?;
    packet.sum_changed(sum.replace(old, new))
}

/// The checksum as it stands, and as it has to be with other ports. `None`: of a first fragment that
/// cannot be told, as the checksum is about all of them.
///
/// A field of zero is left alone: the packet is from this machine, and whoever sends it on fills in
/// the checksum of what is there then, for which the field must be zero. Such packets are not to be
/// told otherwise, at tc neither; of true checksums one in four billion is zero.
#[inline(always)]
pub(crate) fn checksum<F: Layer3, P: Packet + ?Sized>(
    packet: &P,
    of: &Parsed<F>,
    [before, after]: [u32; 2],
) -> Option<[u32; 2]> {
    const PORTS: u16 = 4;

    // Asked for first: behind a check that the packet reaches as far as the checksum, the compiler
    // leaves out the one that the verifier wants to see.
    let length = F::transport_length(packet, of);
    let [field] = packet.words(of.l4.0 + CHECKSUM)?;
    if field == 0 || before == after {
        return Some([field, field]);
    }
    Some([field, crc32c::replace(field, before, after, length?.wrapping_sub(PORTS))])
}

/// What an ABORT must say to be believed (RFC 9260, 8.4): the verification tag, and the chunk's
/// type and flags. To be read before the packet is cut.
#[inline(always)]
pub fn abort_tag<F: Layer3, P: Packet + ?Sized>(packet: &P, of: &Parsed<F>) -> Option<[u32; 2]> {
    /// The tag is the one that was sent, not the one that was expected.
    const REFLECTED: u8 = 1;

    if of.opens_connection() {
        let [tag] = packet.words(of.l4.0 + ABORT)?;
        return Some([tag, u32::from_ne_bytes([chunk::ABORT, 0, 0, 4])]);
    }
    let [tag] = packet.words(of.l4.0 + 4)?;
    Some([tag, u32::from_ne_bytes([chunk::ABORT, REFLECTED, 0, 4])])
}

/// Writes an ABORT over a packet that was cut to [`Header::LENGTH`] and [`ABORT`].
#[inline(always)]
pub fn abort<F: Header, P: Packet + ?Sized>(
    packet: &mut P,
    of: &Parsed<F>,
    [tag, chunk]: [u32; 2],
) -> Option<()> {
    let ports = join(of.destination_port.wire(), of.source_port.wire());
    // A checksum that was left to hardware stays so.
    let left = of.checksum_is_partial();
    let field = if left { 0 } else { crc32c::of_header([ports, tag, 0, chunk]) };
    F::begin(packet, of.destination, of.source, SCTP, ABORT)?;
    packet.set_words(ETHERNET.0 + F::LENGTH, [ports, tag, field, chunk])
}
