//! tc on a device of ours, both ways: the path that can always finish.

use aya_ebpf::{bindings::__sk_buff, macros::classifier, programs::TcContext};
use lb_common::{
    V4, V6,
    flow::hook::{EGRESS, INGRESS},
    settings::flags,
};
use lb_ebpf::{
    answer::Answer,
    fragment::{Fragmented, Part},
    parse::{self, Network},
    verdict::Verdict,
};

use crate::{
    answer, direct,
    egress::Egress,
    fragment, hook, icmp,
    ingress::{Fresh, Known, New},
    log::trace,
    reply::Reply,
    settings,
    skb::{self, Skb},
    take::Take,
    track,
};

const TC_ACT_SHOT: i32 = 2;
/// "I have no opinion": the next program of the chain runs, and without one the packet goes on.
const TC_ACT_UNSPEC: i32 = -1;
/// Not an action: no flow knows the packet.
const UNKNOWN: i32 = i32::MIN;
/// Not an action: it is neither TCP, UDP nor SCTP.
const OTHER: i32 = i32::MIN + 1;
/// Not an action: the packet's flow is to be entered.
const ENTER: i32 = i32::MIN + 2;
/// Not an action: the packet may go straight to the device of a pod.
const DIRECT: i32 = i32::MIN + 3;
/// Beside an answer's code: for who is on this node.
const FROM_HERE: u32 = 1 << 31;

/// What tc is to do with a packet after our verdict.
#[inline(always)]
fn act(skb: &mut Skb, verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Unknown => UNKNOWN,
        Verdict::Other => OTHER,
        Verdict::Enter => ENTER,
        Verdict::Answer(answer, _) => answer.code() as i32,
        Verdict::Back => skb.turn_back(),
        Verdict::Local if settings::has(flags::DIRECT_DELIVERY) => DIRECT,
        Verdict::Pass | Verdict::Local | Verdict::LeaveToTc(_) => TC_ACT_UNSPEC,
        Verdict::Send(ifindex) => skb.redirect(ifindex),
        Verdict::PutIn(ifindex) => skb.redirect_to_peer(ifindex),
        Verdict::Drop(counter) => {
            trace!(&skb.ctx, "tc drop {}", counter.label());
            TC_ACT_SHOT
        }
    }
}

/// Ingress of an external device, or of one with pods behind it.
#[classifier]
pub fn tc_ingress(ctx: TcContext) -> i32 {
    if skb::is_of_a_vlan(&ctx) {
        return TC_ACT_UNSPEC;
    }
    let skb = Skb::new(ctx);
    match parse::network(&skb) {
        Network::V4 => ingress_v4(&skb),
        Network::V6 => ingress_v6(&skb),
        Network::Other => TC_ACT_UNSPEC,
    }
}

/// Egress of an external device, or of one with pods behind it.
#[classifier]
pub fn tc_egress(ctx: TcContext) -> i32 {
    if skb::is_of_a_vlan(&ctx) {
        return TC_ACT_UNSPEC;
    }
    let skb = Skb::new(ctx);
    match parse::network(&skb) {
        Network::V4 => egress_v4(&skb),
        Network::V6 => egress_v6(&skb),
        Network::Other => TC_ACT_UNSPEC,
    }
}

/// Ingress of a device with pods behind it, for what they answer.
#[classifier]
pub fn tc_reply(ctx: TcContext) -> i32 {
    if skb::is_of_a_vlan(&ctx) {
        return TC_ACT_UNSPEC;
    }
    let skb = Skb::new(ctx);
    match parse::network(&skb) {
        Network::V4 => reply_v4(&skb),
        Network::V6 => reply_v6(&skb),
        Network::Other => TC_ACT_UNSPEC,
    }
}

/// A function for each thing that may be done with a packet of a family, and the way from one to
/// the next. Called and not inlined: see [`hook::run`].
macro_rules! for_family {
    (
        $family:ty, $in:ident: $fragment:ident, $known:ident, $icmp:ident, $new:ident, $fresh:ident,
        $direct:ident, $answer:ident;
        $out:ident: $out_fragment:ident, $leaving:ident, $out_icmp:ident;
        $straight:ident: $reply:ident
    ) => {
        #[inline(always)]
        fn $in(skb: &Skb) -> i32 {
            let ctx = skb.ctx.skb.skb;
            let mut action = UNKNOWN;
            if <$family>::part(skb) != Part::Whole {
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
            if action == DIRECT {
                action = $direct(ctx);
            }
            if Answer::from_code(action as u32).is_some() {
                action = $answer(ctx, action as u32);
            }
            action
        }

        #[inline(always)]
        fn $out(skb: &Skb) -> i32 {
            let ctx = skb.ctx.skb.skb;
            let mut action = UNKNOWN;
            if <$family>::part(skb) != Part::Whole {
                action = $out_fragment(ctx);
            }
            if action == UNKNOWN {
                action = $leaving(ctx);
                if action == UNKNOWN {
                    track::end_parted::<$family>();
                    action = TC_ACT_UNSPEC;
                }
            }
            if action == OTHER {
                action = $out_icmp(ctx);
            }
            if Answer::from_code(action as u32).is_some() {
                action = $answer(ctx, action as u32 | FROM_HERE);
            }
            action
        }

        called!($fragment, Skb::of, |skb| fragment::run::<$family, _>(skb, INGRESS));
        called!($known, Skb::of, |skb| hook::run::<Known, $family, _>(skb));
        called!($icmp, Skb::quoting, |skb| icmp::run::<$family, _>(skb, INGRESS));
        called!($new, Skb::of, |skb| hook::run::<New, $family, _>(skb));
        called!($fresh, Skb::of, |skb| hook::run::<Fresh, $family, _>(skb));
        called!($direct, Skb::of, |skb| direct::run::<$family, _>(skb));
        called!($answer, Skb::of, |skb, code: u32| {
            skb.from_here = code & FROM_HERE != 0;
            answer::run::<$family, _>(skb, code & !FROM_HERE)
        });
        called!($out_fragment, Skb::of, |skb| fragment::run::<$family, _>(skb, EGRESS));
        called!($leaving, Skb::of, |skb| hook::run::<Egress, $family, _>(skb));
        called!($out_icmp, Skb::quoting, |skb| {
            skb.from_here = true;
            icmp::run::<$family, _>(skb, EGRESS)
        });

        #[inline(always)]
        fn $straight(skb: &Skb) -> i32 {
            if <$family>::part(skb) != Part::Whole {
                return TC_ACT_UNSPEC;
            }
            match $reply(skb.ctx.skb.skb) {
                OTHER => TC_ACT_UNSPEC,
                action => action,
            }
        }

        called!($reply, Skb::of, |skb| hook::run::<Reply, $family, _>(skb));
    };
}

macro_rules! called {
    ($name:ident, $take:path, |$skb:ident $(, $argument:ident: $type:ty)?| $verdict:expr) => {
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $name(ctx: *mut __sk_buff $(, $argument: $type)?) -> i32 {
            let mut skb = $take(TcContext::new(ctx));
            let $skb = &mut skb;
            let verdict = $verdict;
            act(&mut skb, verdict)
        }
    };
}

for_family! {
    V4, ingress_v4:
    tc_fragment_v4, tc_known_v4, tc_icmp_v4, tc_new_v4, tc_fresh_v4,
    tc_direct_v4, tc_answer_v4;
    egress_v4: tc_egress_fragment_v4, tc_egress_v4, tc_egress_icmp_v4;
    reply_v4: tc_reply_v4
}
for_family! {
    V6, ingress_v6:
    tc_fragment_v6, tc_known_v6, tc_icmp_v6, tc_new_v6, tc_fresh_v6,
    tc_direct_v6, tc_answer_v6;
    egress_v6: tc_egress_fragment_v6, tc_egress_v6, tc_egress_icmp_v6;
    reply_v6: tc_reply_v6
}
