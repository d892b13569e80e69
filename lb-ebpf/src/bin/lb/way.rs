//! The way of a packet whose flow is known: to a backend on this node, or on from here by the next hop
//! that its entry remembers or the FIB tells.

use lb_common::{
    Family,
    counter::Counter,
    device::flags as device_flags,
    flow::{FlowOf, kind as flow_kind},
    limits,
};
use lb_ebpf::{
    parse::{Layer3, Parsed},
    rewrite::{Rewrite, rewrite},
    verdict::{Fault, Verdict},
};

use crate::{
    direct,
    hook::Hook,
    lookup::{self, Entry},
    maps::{DEVICES, Tables},
    route::{self, FibFamily, NextHop, Route},
    track,
};

/// Rewrites a packet of a known flow and brings it on its way.
#[inline(always)]
pub fn deliver<F, H>(
    hook: &mut H,
    packet: &Parsed<F>,
    entry: Entry<F>,
    now: u32,
) -> Result<Verdict, Fault>
where
    F: Layer3 + Tables + FibFamily,
    H: Hook,
{
    let flow = entry.flow();
    if flow.kind == flow_kind::TO_LOCAL {
        return local(hook, packet, flow);
    }
    let hop = flow.hop;
    let longest = hook.longest(packet).ok_or(Fault::Rewrite)?;
    let mut asked = None;
    if packet.ttl > 1 && route::holds::<F>(flow, packet, longest, now) {
        if H::TC_FOLLOWS && hop.xdp == 0 && hop.ifindex != hook.ifindex() {
            return Err(Fault::Unfinished(Counter::XdpRoute));
        }
    } else {
        show::<F, H>(entry)?;
        let next_hop = next_hop(hook, packet, flow.source, flow.destination, None)?;
        entry.remember(&route::to_remember(&next_hop, packet));
        asked = Some(next_hop);
    }
    rewrite(hook, packet, &going_on::<F>(flow)).ok_or(Fault::Rewrite)?;
    match asked {
        Some(next_hop) => hook.send(&next_hop),
        None => hook.send_again(&hop),
    }
    .ok_or(Fault::Rewrite)
}

/// Sees to it that the kernel's neighbour table has a part in it now and then. XDP's frames go past
/// it: nothing would ask again whether a neighbour is still there under its address. So XDP leaves
/// a packet of each flow to tc, which sends by that table.
#[inline(always)]
fn show<F, H>(entry: Entry<F>) -> Result<(), Fault>
where
    F: Tables,
    H: Hook,
{
    let now = track::shown_now(track::seconds());
    if !H::TC_FOLLOWS {
        entry.show(now);
    } else if now.wrapping_sub(entry.flow().shown) >= limits::SHOWN_UNITS {
        return Err(Fault::Unfinished(Counter::XdpRoute));
    }
    Ok(())
}

/// To a backend on this node: by the host's stack, which knows the way, or straight to its device.
#[inline(always)]
pub fn local<F, H>(hook: &mut H, packet: &Parsed<F>, flow: &FlowOf<F>) -> Result<Verdict, Fault>
where
    F: Layer3 + FibFamily,
    H: Hook,
{
    let Some(known) = direct::device(hook, packet, flow)? else {
        rewrite(hook, packet, &Rewrite::of(flow)).ok_or(Fault::Rewrite)?;
        return Ok(Verdict::Local);
    };
    let next_hop = next_hop(hook, packet, flow.source, flow.destination, Some(known))?;
    rewrite(hook, packet, &going_on::<F>(flow)).ok_or(Fault::Rewrite)?;
    hook.send(&next_hop).ok_or(Fault::Rewrite)
}

/// What a flow makes of a packet that goes on from here.
#[inline(always)]
pub fn going_on<F: Family>(flow: &FlowOf<F>) -> Rewrite<F::Address> {
    Rewrite { hop: true, ..Rewrite::of(flow) }
}

/// Where a packet that is to go on from here leaves, if it may.
#[inline(always)]
pub fn next_hop<F, H>(
    hook: &mut H,
    packet: &Parsed<F>,
    source: F::Address,
    destination: F::Address,
    known: Option<NextHop>,
) -> Result<NextHop, Fault>
where
    F: Layer3 + FibFamily,
    H: Hook,
{
    if packet.ttl <= 1 {
        return Err(Fault::Ttl);
    }
    let next_hop = match known {
        Some(next_hop) => next_hop,
        None => match hook.route(packet, source, destination)? {
            Route::Out(next_hop) => next_hop,
            Route::Up => return Err(Fault::NoRoute),
        },
    };
    if H::TC_FOLLOWS && !takes_xdp_frames(hook, next_hop.ifindex) {
        return Err(Fault::Unfinished(Counter::XdpRoute));
    }
    Ok(next_hop)
}

/// Whether XDP may send a frame out of a device: the one it came by, where XDP is at work, and any
/// other that the agent found fit.
#[inline(always)]
fn takes_xdp_frames<H: Hook>(hook: &H, ifindex: u32) -> bool {
    ifindex == hook.ifindex()
        || lookup::get(&DEVICES, &ifindex)
            .is_some_and(|device| device.flags & device_flags::XDP != 0)
}
