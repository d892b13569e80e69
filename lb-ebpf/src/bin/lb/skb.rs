//! A packet in a socket buffer, as tc has it; [`tc`](crate::tc) has the programs.
//!
//! Reads go straight to the packet; writes go through helpers, for two reasons. Only they know
//! whether the checksum field is complete or left to the hardware. And a program that writes
//! directly makes the kernel copy the header of every cloned packet (all TCP that leaves) before
//! it runs, ours or not.

use aya_ebpf::{
    EbpfContext,
    helpers::generated::{
        bpf_csum_diff, bpf_csum_update, bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh,
        bpf_redirect_peer, bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_pull_data,
        bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use lb_common::{Protocol, flow::Hop};
use lb_ebpf::{
    csum::Sum,
    packet::{L4Checksum, Packet},
    parse::Parsed,
    sctp::ABORT,
    verdict::{Fault, Verdict},
};

use crate::{
    hook::Hook,
    lookup,
    route::{self, FibFamily, NextHop, Route},
};

/// A packet in a socket buffer.
pub struct Skb {
    /// The program's context.
    pub ctx: TcContext,
    /// Whether who sent the packet is on this node, and an answer goes up and not out.
    pub from_here: bool,
    next_hop: NextHopParams,
}

/// Whether a packet belongs to a VLAN device above the one it is at, by a tag that the kernel keeps
/// beside its bytes. Without a number, a tag gives but a priority.
#[inline(always)]
pub fn is_of_a_vlan(ctx: &TcContext) -> bool {
    const NUMBER: u32 = 0x0fff;

    // SAFETY: fields of the program's own context.
    unsafe { (*ctx.skb.skb).vlan_present != 0 && (*ctx.skb.skb).vlan_tci & NUMBER != 0 }
}

/// Whether the buffer is but the headers for packets in buffers of their own, as SCTP sends many at
/// once. Not a byte of those may be pulled to the headers: the lengths of the buffers are all that
/// says where a packet ends.
#[inline(always)]
fn is_of_whole_packets(ctx: &TcContext) -> bool {
    /// The kernel's `GSO_BY_FRAGS`.
    const BY_BUFFERS: u32 = 0xffff;

    // SAFETY: a field of the program's own context.
    unsafe { (*ctx.skb.skb).gso_size == BY_BUFFERS }
}

/// The kernel's `struct bpf_redir_neigh`.
#[repr(C)]
struct NextHopParams {
    family: u32,
    address: [lb_common::Be32; 4],
}

impl Skb {
    /// As much of the packet as headers can take: Ethernet, IPv4 with options, TCP.
    const HEADERS: usize = 14 + 60 + 20;
    /// The same for an ICMP error and what it quotes: Ethernet, twice IPv6, once with a fragment
    /// header, ICMP, TCP.
    const QUOTED_HEADERS: usize = 14 + 40 + 8 + 48 + 20;

    /// Takes the packet, its headers brought into the buffer's linear part if they are not.
    #[inline(always)]
    pub fn new(ctx: TcContext) -> Self {
        Self::reaching(ctx, Self::HEADERS)
    }

    /// Takes an ICMP error with the headers it quotes.
    #[inline(always)]
    pub fn quoting(ctx: TcContext) -> Self {
        Self::reaching(ctx, Self::QUOTED_HEADERS)
    }

    #[inline(always)]
    fn reaching(ctx: TcContext, headers: usize) -> Self {
        // A short packet is all there is: pulling would copy it if it is a clone, as what TCP
        // sends is.
        let length = ctx.len().min(headers as u32);
        if ctx.data() + length as usize > ctx.data_end() && !is_of_whole_packets(&ctx) {
            // Whatever stays out of reach fails its bounds check later.
            // SAFETY: the program's own context; pointers into the packet are taken only later.
            unsafe { bpf_skb_pull_data(ctx.skb.skb, length) };
        }
        Self::of(ctx)
    }

    /// Takes a packet whose headers are where they should be.
    #[inline(always)]
    pub fn of(ctx: TcContext) -> Self {
        let next_hop = NextHopParams { family: 0, address: Default::default() };
        Self { ctx, from_here: false, next_hop }
    }

    /// Sends the packet out of a device, to the next hop that [`Hook::send`] was told of: by the
    /// kernel's neighbour table, which thus learns that the neighbour is in use, and finds it if it
    /// has to. After [`Hook::send_again`] just as it is.
    #[inline(always)]
    pub fn redirect(&mut self, ifindex: u32) -> i32 {
        if self.next_hop.family == 0 {
            // SAFETY: takes two numbers.
            return unsafe { bpf_redirect(ifindex, 0) as i32 };
        }
        let params = (&raw mut self.next_hop).cast();
        // SAFETY: the parameters have the layout and size of the kernel's structure.
        unsafe { bpf_redirect_neigh(ifindex, params, size_of::<NextHopParams>() as i32, 0) as i32 }
    }

    /// Puts the packet in at the far end of a device, in another network namespace.
    #[inline(always)]
    pub fn redirect_to_peer(&self, ifindex: u32) -> i32 {
        // SAFETY: takes two numbers.
        unsafe { bpf_redirect_peer(ifindex, 0) as i32 }
    }

    /// Sends the packet back to where it came from.
    #[inline(always)]
    pub fn turn_back(&self) -> i32 {
        const INTO_THE_NODE: u64 = 1;

        let flags = if self.from_here { INTO_THE_NODE } else { 0 };
        // SAFETY: takes two numbers.
        unsafe { bpf_redirect(self.ifindex(), flags) as i32 }
    }

    /// The address of `N` values of `T` at `offset`, if the linear part reaches that far.
    #[inline(always)]
    fn at<T, const N: usize>(&self, offset: usize) -> Option<*const [T; N]> {
        let start = self.ctx.data() + offset;
        if start + size_of::<[T; N]>() > self.ctx.data_end() {
            return None;
        }
        Some(start as *const [T; N])
    }

    #[inline(always)]
    fn store<T>(&mut self, offset: usize, value: &T) -> Option<()> {
        let from = core::ptr::from_ref(value).cast();
        // SAFETY: the program's own context, and a value of the size given.
        let result = unsafe {
            bpf_skb_store_bytes(
                self.ctx.skb.skb.cast(),
                offset as u32,
                from,
                size_of::<T>() as u32,
                0,
            )
        };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn replace_l4(&mut self, at: usize, difference: Sum, flags: u64) -> i64 {
        // SAFETY: the program's own context; the helper checks the offset.
        unsafe {
            bpf_l4_csum_replace(
                self.ctx.skb.skb.cast(),
                at as u32,
                0,
                difference.to_u32().into(),
                flags,
            )
        }
    }
}

impl Packet for Skb {
    #[inline(always)]
    fn half_words<const N: usize>(&self, offset: usize) -> Option<[u16; N]> {
        // SAFETY: `at` checked the bounds; the kernel's BPF does unaligned loads.
        self.at(offset).map(|words| unsafe { *words })
    }

    #[inline(always)]
    fn words<const N: usize>(&self, offset: usize) -> Option<[u32; N]> {
        // SAFETY: `at` checked the bounds; the kernel's BPF does unaligned loads.
        self.at(offset).map(|words| unsafe { *words })
    }

    #[inline(always)]
    fn set_half_words<const N: usize>(&mut self, offset: usize, words: [u16; N]) -> Option<()> {
        self.store(offset, &words)
    }

    #[inline(always)]
    fn set_words<const N: usize>(&mut self, offset: usize, words: [u32; N]) -> Option<()> {
        self.store(offset, &words)
    }

    #[inline(always)]
    fn word_behind(&self, offset: usize) -> Option<u32> {
        self.ctx.load(offset).ok()
    }

    #[inline(always)]
    fn sum<const N: usize>(&self, offset: usize) -> Option<Sum> {
        let bytes = self.at::<u8, N>(offset)?;
        // SAFETY: `at` checked the bounds, and the helper only reads.
        let sum = unsafe {
            bpf_csum_diff(core::ptr::null_mut(), 0, bytes.cast_mut().cast(), N as u32, 0)
        };
        (sum >= 0).then_some(Sum::ZERO.word(sum as u32))
    }

    #[inline(always)]
    fn sum_changed(&mut self, difference: Sum) -> Option<()> {
        // Refused where there is no such sum, which is as good.
        // SAFETY: the program's own context.
        unsafe { bpf_csum_update(self.ctx.skb.skb, difference.to_u32()) };
        Some(())
    }

    #[inline(always)]
    fn adjust_l4_checksum(
        &mut self,
        checksum: L4Checksum,
        addresses: Sum,
        ports: Sum,
    ) -> Option<()> {
        const PSEUDO_HEADER: u64 = 1 << 4;
        const ZERO_IS_NONE: u64 = 1 << 5;
        /// The kernel otherwise spoils a checksum the card computed over an IPv6 packet (6.16;
        /// older kernels refuse the flag).
        const IPV6: u64 = 1 << 7;

        let zero = if checksum.zero_is_none { ZERO_IS_NONE } else { 0 };
        let flags = zero | PSEUDO_HEADER;
        let mut result = -1;
        if checksum.ipv6 {
            result = self.replace_l4(checksum.at, addresses, flags | IPV6);
        }
        if result != 0 {
            result = self.replace_l4(checksum.at, addresses, flags);
        }
        if result == 0 {
            result = self.replace_l4(checksum.at, ports, zero);
        }
        (result == 0).then_some(())
    }
}

impl Hook for Skb {
    const TC_FOLLOWS: bool = false;

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: a field of the program's own context.
        unsafe { (*self.ctx.skb.skb).ifindex }
    }

    /// A buffer may hold many segments of a connection.
    #[inline(always)]
    fn longest<F: FibFamily>(&self, packet: &Parsed<F>) -> Option<u16> {
        // SAFETY: a field of the program's own context.
        let segment = unsafe { (*self.ctx.skb.skb).gso_size };
        if segment == 0 {
            return Some(packet.length);
        }
        if packet.protocol == Protocol::Sctp.number() {
            // Its segments have lengths of their own, which are not to be seen from here. Nobody but a
            // sender on this machine makes such a buffer, by what its own link takes.
            return Some((packet.l4.0 - packet.l3.0 + ABORT) as u16);
        }
        let transport = if packet.protocol == Protocol::Tcp.number() {
            let [offset_flags] = self.half_words(packet.l4.0 + 12)?;
            let [offset, _] = offset_flags.to_ne_bytes();
            usize::from(offset >> 4) * 4
        } else {
            8
        };
        Some((packet.l4.0 - packet.l3.0 + transport) as u16 + segment as u16)
    }

    #[inline(always)]
    fn route<F: FibFamily>(
        &mut self,
        packet: &Parsed<F>,
        source: F::Address,
        destination: F::Address,
    ) -> Result<Route, Fault> {
        let ifindex = self.ifindex();
        let length = self.longest(packet).ok_or(Fault::Rewrite)?;
        route::ask(self.ctx.as_ptr(), ifindex, length, packet, source, destination)
    }

    #[inline(always)]
    fn resize(&mut self, keep: usize, more: usize) -> Option<()> {
        const BEHIND_ETHERNET: u32 = 1;

        let skb = self.ctx.skb.skb;
        // SAFETY: the program's own context; every access to the packet looks at its bounds anew.
        unsafe {
            let cut = bpf_skb_change_tail(skb, keep as u32, 0) == 0;
            let grown = more == 0 || bpf_skb_adjust_room(skb, more as i32, BEHIND_ETHERNET, 0) == 0;
            let linear = bpf_skb_pull_data(skb, (keep + more) as u32) == 0;
            (cut && grown && linear).then_some(())
        }
    }

    #[inline(always)]
    fn send(&mut self, next_hop: &NextHop) -> Option<Verdict> {
        let answer = lookup::fib_params()?;
        self.next_hop = NextHopParams { family: answer.family(), address: answer.address() };
        Some(Verdict::Send(next_hop.ifindex))
    }

    #[inline(always)]
    fn send_again(&mut self, hop: &Hop) -> Option<Verdict> {
        self.set_words(0, hop.ethernet)?;
        self.next_hop.family = 0;
        Some(Verdict::Send(hop.ifindex))
    }
}
