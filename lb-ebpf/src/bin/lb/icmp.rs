//! ICMP messages: errors about flows of ours, both ways, and pings of a VIP.
//!
//! An error travels the way an answer to the packet it quotes would travel. So it is met where that
//! answer is met, the answer's flow entry says who it is for, and what is quoted is translated as
//! the answer is, turned round.

use lb_common::{
    counter::Counter,
    flow::{FlowKey, hook::EGRESS, kind},
    settings::flags as settings_flags,
    vip::flags,
};
use lb_ebpf::{
    icmp::{self, HEADER, Icmp, Message},
    packet::L3,
    parse::Parsed,
    rewrite::Rewrite,
    verdict::{Fault, Verdict},
};

use crate::{
    count::count,
    hook::{Hook, settle},
    ingress,
    lookup::Entry,
    maps::Tables,
    route::FibFamily,
    service, settings, way,
};

/// Looks at a packet that is neither TCP, UDP nor SCTP, at one of [`lb_common::flow::hook`].
#[inline(always)]
pub fn run<F, H>(hook: &mut H, at: u8) -> Verdict
where
    F: Icmp + Tables + FibFamily,
    H: Hook,
{
    let Some((message, kind)) = F::envelope(hook) else { return Verdict::Pass };
    match F::message(kind) {
        Message::Error => settle(error(hook, &message, at)),
        Message::EchoRequest => settle(ping(hook, &message, at)),
        Message::Other => Verdict::Pass,
    }
}

#[inline(always)]
fn error<F, H>(hook: &mut H, message: &Parsed<F>, at: u8) -> Result<Verdict, Fault>
where
    F: Icmp + Tables + FibFamily,
    H: Hook,
{
    let Some(quoted) = F::quoted(hook, L3(message.l4.0 + HEADER)) else {
        return Ok(Verdict::Pass);
    };
    if message.destination != quoted.source {
        return Ok(Verdict::Pass);
    }
    let answer = FlowKey {
        source: quoted.destination,
        destination: quoted.source,
        source_port: quoted.destination_port,
        destination_port: quoted.source_port,
        protocol: quoted.protocol,
        hook: at,
        pad: 0,
    };
    let Some(entry) = Entry::<F>::find(&answer) else { return Ok(Verdict::Pass) };
    let flow = entry.flow();
    // Who is to hear of it knows a router's address, but not that of the host behind the one it
    // called. A backend elsewhere has nothing to do with anybody but us.
    let unknown = message.source == answer.source || flow.kind == kind::TO_REMOTE;
    let source = if unknown { flow.source } else { message.source };
    let mut to = Rewrite::of(flow);
    if !matches!(flow.kind, kind::TO_REMOTE | kind::FROM_REMOTE) {
        icmp::translate(hook, message, &quoted, source, &to).ok_or(Fault::Rewrite)?;
        count(Counter::IcmpTranslated);
        return Ok(Verdict::Pass);
    }
    let next_hop = way::next_hop(hook, message, source, to.destination, None)?;
    to.hop = true;
    icmp::translate(hook, message, &quoted, source, &to).ok_or(Fault::Rewrite)?;
    count(Counter::IcmpTranslated);
    hook.send(&next_hop).ok_or(Fault::Rewrite)
}

#[inline(always)]
fn ping<F, H>(hook: &mut H, request: &Parsed<F>, at: u8) -> Result<Verdict, Fault>
where
    F: Icmp + Tables,
    H: Hook,
{
    if !settings::has(settings_flags::VIP_PING) {
        return Ok(Verdict::Pass);
    }
    let Some(vip) = service::vip(F::widen(request.destination)) else {
        return Ok(Verdict::Pass);
    };
    if at == EGRESS || ingress::faces_pods(hook) {
        // From a pod or the node itself: only a ClusterIP is nobody else's out there.
        if vip & flags::CLUSTER_IP == 0 {
            return Ok(Verdict::Pass);
        }
    } else if !service::is_for_outside(vip) {
        return Err(Fault::ClusterIpFromOutside);
    }
    icmp::echo(hook, request).ok_or(Fault::Rewrite)?;
    lb_ebpf::answer::turn_back(hook).ok_or(Fault::Rewrite)?;
    count(Counter::VipPing);
    Ok(Verdict::Back)
}
