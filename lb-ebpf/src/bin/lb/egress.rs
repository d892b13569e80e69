//! Packets leaving by an external device or towards a pod: the answers of backends whose client
//! kept its address, which are to come from the address the client asked for.

use lb_common::flow::{FlowKeyOf, FlowOf, hook::EGRESS};
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
    take::Take,
    track,
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
        if began_without_us(packet, &key, flow) {
            track::part::<F>(&key, flow);
            return Ok(Verdict::Unknown);
        }
        rewrite(hook, packet, &Rewrite::of(flow)).ok_or(Fault::Rewrite)?;
        if flow.hop.ifindex != 0 {
            // What `reply` was told is not for the time from which this packet refreshes the entry.
            entry.forget_hop();
        }
        track::touch::<F>(&key, entry, packet, helper::jiffies());
        Ok(Verdict::Pass)
    }
}

/// Whether a connection began without us that looks like the answer's: the client calls the pod
/// itself, from a port that it used through a frontend before. Had it come through one, the flow
/// would be open.
#[inline(always)]
pub fn began_without_us<F>(packet: &Parsed<F>, key: &FlowKeyOf<F>, flow: &FlowOf<F>) -> bool
where
    F: Layer3 + Take,
{
    packet.accepts_connection() && track::client_has_left::<F>(key, flow)
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
