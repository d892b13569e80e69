//! Changing a packet's addresses and ports, every checksum kept right.

use lb_common::{Be16, flow::Flow};

use crate::{
    csum::Sum,
    packet::Packet,
    parse::{Layer3, Parsed, join},
};

/// What a packet is to look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rewrite<A> {
    /// New source address.
    pub source: A,
    /// New destination address.
    pub destination: A,
    /// New source port.
    pub source_port: Be16,
    /// New destination port.
    pub destination_port: Be16,
    /// Whether we route the packet ourselves, which costs it a hop.
    pub hop: bool,
}

impl<A: Copy> Rewrite<A> {
    /// What a flow makes of its packets, as the host's stack is to route them.
    #[inline(always)]
    pub const fn of(flow: &Flow<A>) -> Self {
        Self {
            source: flow.source,
            destination: flow.destination,
            source_port: flow.source_port,
            destination_port: flow.destination_port,
            hop: false,
        }
    }
}

/// Rewrites `packet`, which was read as `from`. `None` leaves a packet that must not go on: part of
/// it may have been changed.
#[inline(always)]
pub fn rewrite<F: Layer3, P: Packet + ?Sized>(
    packet: &mut P,
    from: &Parsed<F>,
    to: &Rewrite<F::Address>,
) -> Option<()> {
    let addresses = difference::<F>(from.source, to.source)
        .plus(difference::<F>(from.destination, to.destination));
    let ports_before = join(from.source_port.wire(), from.destination_port.wire());
    let ports_after = join(to.source_port.wire(), to.destination_port.wire());
    let ports = Sum::ZERO.replace(ports_before, ports_after);

    F::write(packet, from, to.source, to.destination, to.hop)?;
    if !from.has_transport {
        // The first fragment's checksum covers this one too, and was adjusted there.
        return if F::IPV6 { packet.sum_changed(addresses) } else { Some(()) };
    }
    packet.set_words(from.l4.0, [ports_after])?;
    packet.adjust_l4_checksum(from.l4_checksum(), addresses, ports)
}

/// Takes one off the hop limit of a packet that we route ourselves.
#[inline(always)]
pub fn spend_hop<F: Layer3, P: Packet + ?Sized>(packet: &mut P, from: &Parsed<F>) -> Option<()> {
    let at = from.l3.0 + F::HOP_WORD;
    let [before] = packet.words(at)?;
    F::write(packet, from, from.source, from.destination, true)?;
    if !F::IPV6 {
        // The header's own checksum has made up for it.
        return Some(());
    }
    let [after] = packet.words(at)?;
    packet.sum_changed(Sum::ZERO.replace(before, after))
}

/// What putting `new` in the place of `old` does to a sum. Each word's complement stands for its
/// negative, so the complement of an address's whole sum will do.
#[inline(always)]
pub(crate) fn difference<F: Layer3>(old: F::Address, new: F::Address) -> Sum {
    F::sum(new).word(!F::sum(old).to_u32())
}
