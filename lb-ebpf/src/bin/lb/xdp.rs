//! XDP on an external device: the fast path, for what it can finish.

use aya_ebpf::{
    EbpfContext,
    bindings::{xdp_action, xdp_md},
    helpers::generated::bpf_redirect,
    macros::xdp,
    programs::XdpContext,
};
use lb_common::{V4, V6, counter::Counter};
use lb_ebpf::{
    packet::Packet,
    parse::{self, Network, Parsed},
    verdict::{Fault, Verdict},
};

use crate::{
    hook::{self, Hook},
    ingress::{Fresh, Known, New},
    log::trace,
    lookup,
    route::{self, FibFamily, NextHop, Route},
    track::Take,
};

/// A frame that no socket buffer has been made for yet.
struct Frame(XdpContext);

impl Frame {
    /// The address of `N` values of `T` at `offset`, if the frame reaches that far.
    #[inline(always)]
    fn at<T, const N: usize>(&self, offset: usize) -> Option<*mut [T; N]> {
        let start = self.0.data() + offset;
        if start + size_of::<[T; N]>() > self.0.data_end() {
            return None;
        }
        Some(start as *mut [T; N])
    }
}

impl Packet for Frame {
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
        // SAFETY: `at` checked the bounds; the kernel's BPF does unaligned stores.
        self.at(offset).map(|place| unsafe { *place = words })
    }

    #[inline(always)]
    fn set_words<const N: usize>(&mut self, offset: usize, words: [u32; N]) -> Option<()> {
        // SAFETY: `at` checked the bounds; the kernel's BPF does unaligned stores.
        self.at(offset).map(|place| unsafe { *place = words })
    }
}

impl Hook for Frame {
    const TC_FOLLOWS: bool = true;

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.0.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn route<F: FibFamily>(
        &mut self,
        packet: &Parsed<F>,
        source: F::Address,
        destination: F::Address,
    ) -> Result<Route, Fault> {
        let ifindex = self.ifindex();
        let route =
            route::lookup(self.0.as_ptr(), ifindex, packet.length, packet, source, destination);
        match route {
            Ok(Route::Out(next_hop)) if !next_hop.resolved => {
                Err(Fault::Unfinished(Counter::XdpRoute))
            }
            Ok(route) => Ok(route),
            Err(_) => Err(Fault::Unfinished(Counter::XdpRoute)),
        }
    }

    #[inline(always)]
    fn send(&mut self, next_hop: &NextHop) -> Option<Verdict> {
        self.set_half_words(0, lookup::fib_params()?.ethernet())?;
        Some(Verdict::Send(next_hop.ifindex))
    }
}

/// Not an action: no flow knows the frame.
const UNKNOWN: u32 = u32::MAX;
/// Not an action: the frame's flow is to be entered.
const ENTER: u32 = u32::MAX - 1;

/// What XDP is to do with a frame after our verdict.
#[inline(always)]
fn act(frame: &Frame, verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Unknown => UNKNOWN,
        Verdict::Enter => ENTER,
        Verdict::Pass | Verdict::LeaveToTc(_) => xdp_action::XDP_PASS,
        // SAFETY: takes two numbers.
        Verdict::Send(ifindex) => unsafe { bpf_redirect(ifindex, 0) as u32 },
        Verdict::Drop(counter) => {
            trace!(&frame.0, "xdp drop {}", counter.label());
            xdp_action::XDP_DROP
        }
    }
}

/// Ingress of an external device.
#[xdp]
pub fn xdp_ingress(ctx: XdpContext) -> u32 {
    let frame = Frame(ctx);
    match parse::network(&frame) {
        Network::V4 => match xdp_known_v4(frame.0.ctx) {
            UNKNOWN => match xdp_new_v4(frame.0.ctx) {
                ENTER => {
                    V4::open();
                    xdp_fresh_v4(frame.0.ctx)
                }
                action => action,
            },
            action => action,
        },
        Network::V6 => match xdp_known_v6(frame.0.ctx) {
            UNKNOWN => match xdp_new_v6(frame.0.ctx) {
                ENTER => {
                    V6::open();
                    xdp_fresh_v6(frame.0.ctx)
                }
                action => action,
            },
            action => action,
        },
        Network::Other => xdp_action::XDP_PASS,
    }
}

macro_rules! for_family {
    ($($name:ident: $direction:ty, $family:ty;)*) => {$(
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(ctx: *mut xdp_md) -> u32 {
            let mut frame = Frame(XdpContext::new(ctx));
            let verdict = hook::run::<$direction, $family, _>(&mut frame);
            act(&frame, verdict)
        }
    )*};
}

for_family! {
    xdp_known_v4: Known, V4;
    xdp_known_v6: Known, V6;
    xdp_new_v4: New, V4;
    xdp_fresh_v4: Fresh, V4;
    xdp_new_v6: New, V6;
    xdp_fresh_v6: Fresh, V6;
}
