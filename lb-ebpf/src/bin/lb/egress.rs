//! Packets leaving by an external device or towards a pod: the answers of backends whose client
//! kept its address, which are to come from the address the client asked for.

use lb_common::flow::hook::EGRESS;
use lb_ebpf::{
    parse::{Layer3, Parsed},
    rewrite::{Rewrite, rewrite},
    verdict::{Fault, Verdict},
};

use crate::{
    helper,
    hook::{Direction, Hook},
    lookup::Entry,
    route::FibFamily,
    service::{self, There},
    track::{self, Take},
};

/// The direction out of the node.
pub struct Egress;

impl Direction for Egress {
    #[inline(always)]
    fn handle<F, H>(hook: &mut H, packet: &Parsed<F>) -> Result<Verdict, Fault>
    where
        F: Layer3 + Take + FibFamily,
        H: Hook,
    {
        let key = packet.flow_key(EGRESS);
        let Some(entry) = Entry::<F>::find(&key) else { return nobody(packet) };
        let flow = entry.flow();
        if packet.accepts_connection() && track::client_has_left::<F>(&key, flow) {
            // A connection that began without us: the client calls the pod itself, from a port that
            // it used through a frontend before. Had it come through one, the flow would be open.
            track::part::<F>(&key, flow);
            return Ok(Verdict::Unknown);
        }
        rewrite(hook, packet, &Rewrite::of(flow)).ok_or(Fault::Rewrite)?;
        track::touch::<F>(&key, entry, packet, helper::jiffies());
        Ok(Verdict::Pass)
    }
}

/// A packet of no flow: refused if it is for a ClusterIP where no service answers. It was sent by a
/// pod that no socket hook sees, and nobody out there would take it.
#[inline(always)]
fn nobody<F: Layer3 + Take>(packet: &Parsed<F>) -> Result<Verdict, Fault> {
    let (address, port) = (packet.destination, packet.destination_port);
    if packet.is_connected() && !packet.opens_connection() {
        return Ok(Verdict::Pass);
    }
    match service::there::<F>(address, port, packet.protocol) {
        There::UnusedPort(vip) if service::refuses_inside(vip) => Err(Fault::UnusedPort),
        _ => Ok(Verdict::Pass),
    }
}
