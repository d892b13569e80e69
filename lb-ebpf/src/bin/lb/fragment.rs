//! Fragments: later ones go where the first one went.
//!
//! Only the first has ports. They are noted before it is handled like any packet; a later one finds
//! them, and with them the flow. One that comes before the first cannot wait here: at a VIP it is
//! dropped, at any other address the host's stack may be the one to wait for it.

use lb_common::{
    counter::Counter,
    flow::hook::INGRESS,
    fragment::{FragmentKey, Ports},
    limits,
};
use lb_ebpf::{
    fragment::{Fragmented, Part},
    parse::{ETHERNET, Parsed},
    rewrite::{Rewrite, rewrite},
    verdict::{Fault, Verdict},
};

use crate::{
    count::count,
    helper,
    hook::{Hook, settle},
    lookup::{self, Entry},
    maps::{FRAGMENTS, Tables},
    route::FibFamily,
    service::{self, There},
    track::seconds,
    way,
};

/// Looks at a fragment, at one of [`lb_common::flow::hook`]. The first one is left for others to
/// handle.
#[inline(always)]
pub fn run<F, H>(hook: &mut H, at: u8) -> Verdict
where
    F: Fragmented + Tables + FibFamily,
    H: Hook,
{
    if F::part(hook) == Part::Later {
        return settle(follow::<F, H>(hook, at));
    }
    _ = note::<F, H>(hook, at);
    Verdict::Unknown
}

/// Notes the ports of a first fragment that is ours.
#[inline(always)]
fn note<F, H>(hook: &H, at: u8) -> Option<()>
where
    F: Fragmented + Tables,
    H: Hook,
{
    let packet = F::parse(hook, ETHERNET)?;
    let (address, port) = (packet.destination, packet.destination_port);
    let is_ours = Entry::<F>::find(&packet.flow_key(at)).is_some()
        || at == INGRESS
            && matches!(service::there::<F>(address, port, packet.protocol), There::Frontend(_));
    if !is_ours {
        return None;
    }
    let ports = Ports {
        source: packet.source_port,
        destination: packet.destination_port,
        seen_s: seconds(),
    };
    lookup::put(&FRAGMENTS, &key(hook, &packet, at)?, &ports)
}

#[inline(always)]
fn follow<F, H>(hook: &mut H, at: u8) -> Result<Verdict, Fault>
where
    F: Fragmented + Tables + FibFamily,
    H: Hook,
{
    let Some(mut packet) = F::later(hook) else { return Ok(Verdict::Pass) };
    let Some(entry) = flow(hook, &mut packet, at) else {
        let waits_nowhere = at == INGRESS && service::vip(F::widen(packet.destination)).is_some();
        return Ok(if waits_nowhere {
            Verdict::Drop(Counter::DropFragment)
        } else {
            Verdict::Pass
        });
    };
    let flow = entry.flow();
    count(Counter::FragmentFollowed);
    if at == INGRESS {
        return way::deliver(hook, &packet, entry, helper::jiffies());
    }
    rewrite(hook, &packet, &Rewrite::of(flow)).ok_or(Fault::Rewrite)?;
    Ok(Verdict::Pass)
}

/// The flow of a later fragment, whose ports are filled in.
#[inline(always)]
fn flow<F, H>(hook: &H, packet: &mut Parsed<F>, at: u8) -> Option<Entry<F>>
where
    F: Fragmented + Tables,
    H: Hook,
{
    let key = key(hook, packet, at)?;
    let ports = *lookup::find(&FRAGMENTS, &key)?;
    if seconds().wrapping_sub(ports.seen_s) > limits::FRAGMENT_S {
        return None;
    }
    packet.source_port = ports.source;
    packet.destination_port = ports.destination;
    Entry::<F>::find(&packet.flow_key(at))
}

#[inline(always)]
fn key<F, H>(hook: &H, packet: &Parsed<F>, at: u8) -> Option<FragmentKey>
where
    F: Fragmented,
    H: Hook,
{
    Some(FragmentKey {
        source: F::widen(packet.source),
        destination: F::widen(packet.destination),
        identity: F::identity(hook)?,
        protocol: packet.protocol,
        hook: at,
        pad: 0,
    })
}
