//! tc on an external device, both ways: the path that can always finish.
//!
//! Reads go straight to the packet; writes go through helpers, for two reasons. Only they know
//! whether the checksum field is complete or left to the hardware. And a program that writes
//! directly makes the kernel copy the header of every cloned packet (all TCP that leaves) before
//! it runs, ours or not.

use aya_ebpf::{
    EbpfContext,
    bindings::__sk_buff,
    helpers::generated::{
        bpf_l4_csum_replace, bpf_redirect_neigh, bpf_skb_pull_data, bpf_skb_store_bytes,
    },
    macros::classifier,
    programs::TcContext,
};
use lb_common::{V4, V6};
use lb_ebpf::{
    csum::Sum,
    packet::{L4Checksum, Packet},
    parse::{self, Network, Parsed},
    verdict::{Fault, Verdict},
};

use crate::{
    egress::Egress,
    hook::{self, Hook},
    ingress::{Fresh, Known, New},
    log::trace,
    lookup,
    route::{self, FibFamily, NextHop, Route},
    track::Take,
};

const TC_ACT_SHOT: i32 = 2;
/// "I have no opinion": the next program of the chain runs, and without one the packet goes on.
const TC_ACT_UNSPEC: i32 = -1;
/// Not an action: no flow knows the packet.
const UNKNOWN: i32 = i32::MIN;
/// Not an action: the packet's flow is to be entered.
const ENTER: i32 = i32::MIN + 1;

/// A packet in a socket buffer.
struct Skb {
    ctx: TcContext,
    next_hop: NextHopParams,
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

    /// Takes the packet, its headers brought into the buffer's linear part if they are not.
    #[inline(always)]
    fn new(ctx: TcContext) -> Self {
        // A short packet is all there is: pulling would copy it if it is a clone, as what TCP
        // sends is.
        let length = ctx.len().min(Self::HEADERS as u32);
        if ctx.data() + length as usize > ctx.data_end() {
            // Whatever stays out of reach fails its bounds check later.
            // SAFETY: the program's own context; pointers into the packet are taken only later.
            unsafe { bpf_skb_pull_data(ctx.skb.skb, length) };
        }
        Self::of(ctx)
    }

    /// Takes a packet whose headers are where they should be.
    #[inline(always)]
    fn of(ctx: TcContext) -> Self {
        let next_hop = NextHopParams { family: 0, address: Default::default() };
        Self { ctx, next_hop }
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

    #[inline(always)]
    fn route<F: FibFamily>(
        &mut self,
        packet: &Parsed<F>,
        source: F::Address,
        destination: F::Address,
    ) -> Result<Route, Fault> {
        let ifindex = self.ifindex();
        route::lookup(self.ctx.as_ptr(), ifindex, 0, packet, source, destination)
    }

    #[inline(always)]
    fn send(&mut self, next_hop: &NextHop) -> Option<Verdict> {
        let answer = lookup::fib_params()?;
        self.next_hop = NextHopParams { family: answer.family(), address: answer.address() };
        Some(Verdict::Send(next_hop.ifindex))
    }
}

/// What tc is to do with a packet after our verdict.
#[inline(always)]
fn act(skb: &mut Skb, verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Unknown => UNKNOWN,
        Verdict::Enter => ENTER,
        Verdict::Pass | Verdict::LeaveToTc(_) => TC_ACT_UNSPEC,
        Verdict::Send(ifindex) => {
            let params = (&raw mut skb.next_hop).cast();
            // SAFETY: the parameters have the layout and size of the kernel's structure.
            unsafe {
                bpf_redirect_neigh(ifindex, params, size_of::<NextHopParams>() as i32, 0) as i32
            }
        }
        Verdict::Drop(counter) => {
            trace!(&skb.ctx, "tc drop {}", counter.label());
            TC_ACT_SHOT
        }
    }
}

/// Ingress of an external device.
#[classifier]
pub fn tc_ingress(ctx: TcContext) -> i32 {
    let skb = Skb::new(ctx);
    match parse::network(&skb) {
        Network::V4 => match tc_known_v4(skb.ctx.skb.skb) {
            UNKNOWN => match tc_new_v4(skb.ctx.skb.skb) {
                ENTER => {
                    V4::open();
                    tc_fresh_v4(skb.ctx.skb.skb)
                }
                action => action,
            },
            action => action,
        },
        Network::V6 => match tc_known_v6(skb.ctx.skb.skb) {
            UNKNOWN => match tc_new_v6(skb.ctx.skb.skb) {
                ENTER => {
                    V6::open();
                    tc_fresh_v6(skb.ctx.skb.skb)
                }
                action => action,
            },
            action => action,
        },
        Network::Other => TC_ACT_UNSPEC,
    }
}

/// Egress of an external device.
#[classifier]
pub fn tc_egress(ctx: TcContext) -> i32 {
    let skb = Skb::new(ctx);
    match parse::network(&skb) {
        Network::V4 => tc_egress_v4(skb.ctx.skb.skb),
        Network::V6 => tc_egress_v6(skb.ctx.skb.skb),
        Network::Other => TC_ACT_UNSPEC,
    }
}

macro_rules! for_family {
    ($($name:ident: $direction:ty, $family:ty;)*) => {$(
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(ctx: *mut __sk_buff) -> i32 {
            let mut skb = Skb::of(TcContext::new(ctx));
            let verdict = hook::run::<$direction, $family, _>(&mut skb);
            act(&mut skb, verdict)
        }
    )*};
}

for_family! {
    tc_known_v4: Known, V4;
    tc_known_v6: Known, V6;
    tc_new_v4: New, V4;
    tc_fresh_v4: Fresh, V4;
    tc_new_v6: New, V6;
    tc_fresh_v6: Fresh, V6;
    tc_egress_v4: Egress, V4;
    tc_egress_v6: Egress, V6;
}
