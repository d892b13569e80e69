//! XDP on an external device: the fast path, for what it can finish.

use aya_ebpf::{
    EbpfContext,
    bindings::{xdp_action, xdp_md},
    helpers::generated::{
        bpf_csum_diff, bpf_redirect, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len,
    },
    macros::xdp,
    programs::XdpContext,
};
use lb_common::{
    V4, V6,
    counter::Counter,
    flow::{Hop, hook::INGRESS},
    settings::flags,
};
use lb_ebpf::{
    answer::Answer,
    csum::Sum,
    fragment::{Fragmented, Part},
    packet::Packet,
    parse::{self, Network, Parsed},
    verdict::{Fault, Verdict},
};

use crate::{
    answer,
    count::count,
    fragment,
    hook::{self, Hook},
    icmp,
    ingress::{Fresh, Known, New},
    log::trace,
    lookup,
    route::{self, FibFamily, NextHop, Route},
    settings,
    take::Take,
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

    /// Whether there is more of the frame than its first buffer, which is all we reach. Such a frame
    /// can be translated, but not made into an answer.
    #[inline(always)]
    fn goes_on(&self) -> bool {
        if !settings::has(flags::XDP_FRAGS) {
            return false;
        }
        let first = (self.0.data_end() - self.0.data()) as u64;
        // SAFETY: the program's own context; only a kernel that has the helper gets here.
        unsafe { bpf_xdp_get_buff_len(self.0.ctx) != first }
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

    #[inline(always)]
    fn sum<const N: usize>(&self, offset: usize) -> Option<Sum> {
        let bytes = self.at::<u8, N>(offset)?;
        // SAFETY: `at` checked the bounds.
        let sum = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, bytes.cast(), N as u32, 0) };
        (sum >= 0).then_some(Sum::ZERO.word(sum as u32))
    }
}

impl Hook for Frame {
    const TC_FOLLOWS: bool = true;

    #[inline(always)]
    fn ifindex(&self) -> u32 {
        self.0.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn longest<F: FibFamily>(&self, packet: &Parsed<F>) -> Option<u16> {
        Some(packet.length)
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
            route::ask(self.0.as_ptr(), ifindex, packet.length, packet, source, destination);
        match route {
            Ok(Route::Out(next_hop)) if !next_hop.resolved => {
                Err(Fault::Unfinished(Counter::XdpRoute))
            }
            Ok(route) => Ok(route),
            Err(Fault::TooBig(mtu)) => Err(Fault::TooBig(mtu)),
            Err(_) => Err(Fault::Unfinished(Counter::XdpRoute)),
        }
    }

    #[inline(always)]
    fn resize(&mut self, keep: usize, more: usize) -> Option<()> {
        let length = self.0.data_end() - self.0.data();
        let less = length.checked_sub(keep)?;
        // SAFETY: the program's own context; every access to the packet looks at its bounds anew.
        if unsafe { bpf_xdp_adjust_tail(self.0.ctx, -(less as i32)) } != 0 {
            return None;
        }
        if more == 0 {
            return Some(());
        }
        let ethernet = self.half_words::<7>(0)?;
        // SAFETY: as above.
        if unsafe { bpf_xdp_adjust_head(self.0.ctx, -(more as i32)) } != 0 {
            return None;
        }
        self.set_half_words(0, ethernet)
    }

    #[inline(always)]
    fn send(&mut self, next_hop: &NextHop) -> Option<Verdict> {
        self.set_words(0, lookup::fib_params()?.ethernet())?;
        Some(Verdict::Send(next_hop.ifindex))
    }

    #[inline(always)]
    fn send_again(&mut self, hop: &Hop) -> Option<Verdict> {
        self.set_words(0, hop.ethernet)?;
        Some(Verdict::Send(hop.ifindex))
    }
}

/// Not an action: no flow knows the frame.
const UNKNOWN: u32 = u32::MAX;
/// Not an action: it is neither TCP, UDP nor SCTP.
const OTHER: u32 = u32::MAX - 1;
/// Not an action: the frame's flow is to be entered.
const ENTER: u32 = u32::MAX - 2;

/// Sends a frame out of a device.
#[inline(always)]
fn send(frame: &Frame, ifindex: u32) -> u32 {
    if settings::has(flags::XDP_TX) && ifindex == frame.ifindex() {
        return xdp_action::XDP_TX;
    }
    // SAFETY: takes two numbers.
    unsafe { bpf_redirect(ifindex, 0) as u32 }
}

/// What XDP is to do with a frame after our verdict.
#[inline(always)]
fn act(frame: &Frame, verdict: Verdict) -> u32 {
    match verdict {
        Verdict::Unknown => UNKNOWN,
        Verdict::Other => OTHER,
        Verdict::Answer(answer, _) => answer.code(),
        Verdict::Enter => ENTER,
        Verdict::Pass | Verdict::Local | Verdict::LeaveToTc(_) | Verdict::PutIn(_) => {
            xdp_action::XDP_PASS
        }
        Verdict::Send(ifindex) => send(frame, ifindex),
        Verdict::Back => send(frame, frame.ifindex()),
        Verdict::Drop(counter) => {
            trace!(&frame.0, "xdp drop {}", counter.label());
            xdp_action::XDP_DROP
        }
    }
}

/// Ingress of an external device.
#[xdp(frags)]
pub fn xdp_ingress(ctx: XdpContext) -> u32 {
    let frame = Frame(ctx);
    match parse::network(&frame) {
        Network::V4 => way_v4(&frame),
        Network::V6 => way_v6(&frame),
        Network::Other => xdp_action::XDP_PASS,
    }
}

/// A function for each thing that may be done with a frame of a family, and the way from one to the
/// next. Called and not inlined: see [`hook::run`].
macro_rules! for_family {
    (
        $family:ty, $way:ident: $fragment:ident, $known:ident, $icmp:ident, $new:ident, $fresh:ident,
        $answer:ident
    ) => {
        #[inline(always)]
        fn $way(frame: &Frame) -> u32 {
            let ctx = frame.0.ctx;
            let mut action = UNKNOWN;
            if <$family>::part(frame) != Part::Whole {
                action = $fragment(ctx);
            }
            if action == UNKNOWN {
                action = $known(ctx);
            }
            match action {
                OTHER => action = $icmp(ctx),
                UNKNOWN => action = $new(ctx),
                _ => {}
            }
            if action == ENTER {
                <$family>::open();
                action = $fresh(ctx);
            }
            if Answer::from_code(action).is_some() {
                if frame.goes_on() {
                    count(Counter::XdpParts);
                    return xdp_action::XDP_PASS;
                }
                action = $answer(ctx, action);
            }
            action
        }

        called!($fragment, |frame| fragment::run::<$family, _>(frame, INGRESS));
        called!($known, |frame| hook::run::<Known, $family, _>(frame));
        called!($icmp, |frame| icmp::run::<$family, _>(frame, INGRESS));
        called!($new, |frame| hook::run::<New, $family, _>(frame));
        called!($fresh, |frame| hook::run::<Fresh, $family, _>(frame));
        called!($answer, |frame, code: u32| answer::run::<$family, _>(frame, code));
    };
}

macro_rules! called {
    ($name:ident, |$frame:ident $(, $argument:ident: $type:ty)?| $verdict:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(ctx: *mut xdp_md $(, $argument: $type)?) -> u32 {
            let mut frame = Frame(XdpContext::new(ctx));
            let $frame = &mut frame;
            let verdict = $verdict;
            act(&frame, verdict)
        }
    };
}

for_family! {
    V4, way_v4:
    xdp_fragment_v4, xdp_known_v4, xdp_icmp_v4, xdp_new_v4, xdp_fresh_v4,
    xdp_answer_v4
}
for_family! {
    V6, way_v6:
    xdp_fragment_v6, xdp_known_v6, xdp_icmp_v6, xdp_new_v6, xdp_fresh_v6,
    xdp_answer_v6
}
