//! Past the host's stack (`--direct-delivery`): packets for a pod on this node, straight to its device.
//!
//! XDP asks before it changes anything, and leaves what it cannot bring there to tc. At tc this is a
//! step of its own, behind the rewriting, since both do not fit one stack frame. What is special
//! (hops that are used up, packets that do not fit, no such route) is left to the stack.

use lb_common::{
    counter::Counter,
    device::{Device, flags},
    flow::FlowOf,
    settings::flags as settings_flags,
};
use lb_ebpf::{
    fragment::{Fragmented, Part},
    parse::{ETHERNET, Layer3, Parsed},
    rewrite::spend_hop,
    verdict::{Fault, Verdict},
};

use crate::{
    count::count,
    hook::{Hook, settle},
    lookup,
    maps::DEVICES,
    route::{FibFamily, NextHop, Route},
    settings,
};

/// At XDP, the way to a pod's device. `None` is for the stack, or at tc for [`run`].
#[inline(always)]
pub fn device<F, H>(
    hook: &mut H,
    packet: &Parsed<F>,
    flow: &FlowOf<F>,
) -> Result<Option<NextHop>, Fault>
where
    F: Layer3 + FibFamily,
    H: Hook,
{
    if !H::TC_FOLLOWS || !settings::has(settings_flags::DIRECT_DELIVERY) || packet.ttl <= 1 {
        return Ok(None);
    }
    let next_hop = match hook.route(packet, flow.source, flow.destination) {
        Ok(Route::Out(next_hop)) => next_hop,
        Ok(Route::Up) | Err(Fault::TooBig(_)) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let Some(device) = of_a_pod(&next_hop) else { return Ok(None) };
    if device.flags & flags::XDP == 0 {
        return Err(Fault::Unfinished(Counter::XdpRoute));
    }
    count(Counter::DirectDelivery);
    Ok(Some(next_hop))
}

/// At tc, after the packet was rewritten.
#[inline(always)]
pub fn run<F, H>(hook: &mut H) -> Verdict
where
    F: Fragmented + FibFamily,
    H: Hook,
{
    settle(hand_over::<F, H>(hook))
}

#[inline(always)]
fn hand_over<F, H>(hook: &mut H) -> Result<Verdict, Fault>
where
    F: Fragmented + FibFamily,
    H: Hook,
{
    let packet =
        if F::part(hook) == Part::Later { F::later(hook) } else { F::parse(hook, ETHERNET) };
    let Some(packet) = packet.filter(|packet| packet.ttl > 1) else { return Ok(Verdict::Pass) };
    let Ok(Route::Out(next_hop)) = hook.route(&packet, packet.source, packet.destination) else {
        return Ok(Verdict::Pass);
    };
    let Some(device) = of_a_pod(&next_hop) else { return Ok(Verdict::Pass) };
    spend_hop(hook, &packet).ok_or(Fault::Rewrite)?;
    count(Counter::DirectDelivery);
    let at_its_own_end = next_hop.resolved && device.flags & flags::PEER != 0;
    if at_its_own_end { put_in(hook, &next_hop) } else { hook.send(&next_hop) }
        .ok_or(Fault::Rewrite)
}

/// In at the pod's own end of the device, as if the node had sent it by the other one.
#[inline(always)]
fn put_in<H: Hook>(hook: &mut H, next_hop: &NextHop) -> Option<Verdict> {
    hook.set_words(0, lookup::fib_params()?.ethernet())?;
    Some(Verdict::PutIn(next_hop.ifindex))
}

/// The device that a packet leaves by, if pods are behind it.
#[inline(always)]
fn of_a_pod(next_hop: &NextHop) -> Option<Device> {
    lookup::get(&DEVICES, &next_hop.ifindex).filter(|device| device.flags & flags::DIRECT != 0)
}
