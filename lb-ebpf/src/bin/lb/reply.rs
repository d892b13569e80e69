//! Answers of pods on this node, straight out past the host's stack (`--direct-delivery`): at the
//! ingress of the pods' devices, what `egress` does where packets leave.
//!
//! Finishes a packet or leaves it as it was: to the stack, and then to `egress`. What is left is all
//! that is no answer of a known flow, and what is special: hops that are used up, fragments, packets
//! that do not fit, a way out that is not an external device of ours.

use lb_common::{
    counter::Counter,
    device::flags,
    flow::{Hop, hook::EGRESS},
};
use lb_ebpf::{
    parse::{Layer3, Parsed},
    rewrite::rewrite,
    verdict::{Fault, Verdict},
};

use crate::{
    count::count,
    egress, helper,
    hook::{Direction, Hook},
    lookup::{self, Entry},
    maps::DEVICES,
    route::{self, FibFamily, NextHop, Route},
    take::Take,
    track, way,
};

/// From a pod to the outside.
pub struct Reply;

/// How an answer leaves.
enum Way {
    /// As its flow remembers.
    Known(Hop),
    /// As the FIB just said.
    Told(NextHop),
}

impl Direction for Reply {
    #[inline(always)]
    fn handle<F, H>(hook: &mut H, packet: &Parsed<F>) -> Result<Verdict, Fault>
    where
        F: Layer3 + Take + FibFamily,
        H: Hook,
    {
        let key = packet.flow_key(EGRESS);
        let Some(entry) = Entry::<F>::find(&key) else { return Ok(Verdict::Pass) };
        let flow = entry.flow();
        if packet.ttl <= 1 || egress::began_without_us(packet, &key, flow) {
            return Ok(Verdict::Pass);
        }
        let now = helper::jiffies();
        let Some(way) = out(hook, packet, entry, now) else { return Ok(Verdict::Pass) };
        rewrite(hook, packet, &way::going_on::<F>(flow)).ok_or(Fault::Rewrite)?;
        let verdict = match way {
            Way::Known(hop) => hook.send_again(&hop),
            Way::Told(next_hop) => hook.send(&next_hop),
        };
        count(Counter::DirectReply);
        track::touch::<F>(&key, entry, packet, now);
        verdict.ok_or(Fault::Rewrite)
    }
}

/// The way out that the stack would choose, if it is by an external device.
#[inline(always)]
fn out<F, H>(hook: &mut H, packet: &Parsed<F>, entry: Entry<F>, now: u32) -> Option<Way>
where
    F: Layer3 + Take + FibFamily,
    H: Hook,
{
    let flow = entry.flow();
    let hop = flow.hop;
    let longest = hook.longest(packet)?;
    if route::holds::<F>(flow, packet, longest, now) {
        return Some(Way::Known(hop));
    }
    let Ok(Route::Out(next_hop)) = hook.route(packet, packet.source, packet.destination) else {
        return None;
    };
    let device = lookup::get(&DEVICES, &next_hop.ifindex)?;
    if device.flags & (flags::PODS | flags::DIRECT) != 0 {
        return None;
    }
    entry.remember(&route::to_remember(&next_hop, packet));
    Some(Way::Told(next_hop))
}
