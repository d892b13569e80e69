//! Packets arriving at an external device or from a pod: new and known flows to a frontend, and
//! the answers of backends on other nodes.

use lb_common::{
    Be32, Family,
    backend::flags as backend_flags,
    counter::Counter,
    device::{Device, flags as device_flags},
    flow::{FlowKeyOf, FlowOf, hook::INGRESS, kind as flow_kind},
    frontend::{Frontend, kind},
    run::Run,
    select::{self, FlowIdentity},
    service::flags,
    settings::flags as settings_flags,
    source_range::SourceRange,
};

use lb_ebpf::{
    parse::{FIN, Layer3, Parsed},
    rewrite::rewrite,
    verdict::{Fault, Verdict},
    wait::Age,
};

use crate::{
    count::count,
    helper,
    hook::{Direction, Hook},
    lookup::{self, Entry},
    maps::DEVICES,
    route::{FibFamily, Route},
    service::{self, Chosen, Client, Draw, There},
    settings,
    take::Take,
    track::{self, NewFlow},
    way,
};

/// Into the node, of flows that are known.
pub struct Known;

/// Into the node, of flows that are not: first packets to a service, and what is not ours.
pub struct New;

/// Into the node, of flows that were entered a moment ago.
///
/// Entering a flow is no part of [`New`]: what it takes to find a port does not fit the stack
/// beside what it takes to choose a backend.
pub struct Fresh;

impl Direction for Known {
    #[inline(always)]
    fn handle<F, H>(hook: &mut H, packet: &Parsed<F>) -> Result<Verdict, Fault>
    where
        F: Layer3 + Take + FibFamily,
        H: Hook,
    {
        let key = packet.flow_key(INGRESS);
        let Some(entry) = Entry::<F>::find(&key) else { return Ok(Verdict::Unknown) };
        finishable(hook, packet)?;
        if !still_good(packet, &key, entry.flow()) {
            track::leave::<F>(entry.flow().id);
            return Ok(Verdict::Unknown);
        }
        if packet.is_tcp() && packet.flags & FIN != 0 {
            track::note_age::<F>(Age::read(hook, packet));
        }
        let now = helper::jiffies();
        let verdict = way::deliver(hook, packet, entry, now)?;
        count(Counter::FlowHit);
        track::touch::<F>(&key, entry, packet, now);
        Ok(verdict)
    }
}

impl Direction for New {
    #[inline(always)]
    fn handle<F, H>(hook: &mut H, packet: &Parsed<F>) -> Result<Verdict, Fault>
    where
        F: Layer3 + Take + FibFamily,
        H: Hook,
    {
        let (address, port) = (packet.destination, packet.destination_port);
        let frontend = match service::there::<F>(address, port, packet.protocol) {
            There::Frontend(frontend) => frontend,
            There::UnusedPort(vip) => return nobody(hook, packet, vip),
            There::Stranger => return Ok(Verdict::Pass),
        };
        finishable(hook, packet)?;
        let chosen = admit(packet, frontend, faces_pods(hook))?;
        prepare(hook, packet, frontend.service, &chosen)?;
        Ok(Verdict::Enter)
    }
}

impl Direction for Fresh {
    #[inline(always)]
    fn handle<F, H>(hook: &mut H, packet: &Parsed<F>) -> Result<Verdict, Fault>
    where
        F: Layer3 + Take + FibFamily,
        H: Hook,
    {
        let (flow, known) = track::opened::<F>()?;
        if flow.kind == flow_kind::TO_LOCAL {
            return way::local(hook, packet, flow);
        }
        let next_hop = way::next_hop(hook, packet, flow.source, flow.destination, known)?;
        rewrite(hook, packet, &way::going_on::<F>(flow)).ok_or(Fault::Rewrite)?;
        hook.send(&next_hop).ok_or(Fault::Rewrite)
    }
}

/// Where no service answers at a VIP, which is nobody else's: refused, so that the packet is not
/// routed in circles.
#[inline(always)]
fn nobody<F, H>(hook: &H, packet: &Parsed<F>, vip: u32) -> Result<Verdict, Fault>
where
    F: Layer3 + Take,
    H: Hook,
{
    if !settings::has(settings_flags::REJECT_UNUSED_PORTS) {
        return Ok(Verdict::Pass);
    }
    if faces_pods(hook) {
        if !service::refuses_inside(vip) {
            return Ok(Verdict::Pass);
        }
    } else if !service::is_for_outside(vip) {
        return Err(Fault::ClusterIpFromOutside);
    }
    finishable(hook, packet)?;
    Err(Fault::UnusedPort)
}

/// Whether this program can rewrite the packet at all.
#[inline(always)]
fn finishable<F: Layer3, H: Hook>(_: &H, packet: &Parsed<F>) -> Result<(), Fault> {
    if H::TC_FOLLOWS && packet.checksum_is_partial() {
        return Err(Fault::Unfinished(Counter::XdpPartialChecksum));
    }
    Ok(())
}

/// Whether a known flow may go on as it is. TCP and SCTP always may, except for a new connection from
/// the same port: that starts anew if the old one was over, or if its backend takes no new ones. UDP
/// moves on when its backend stops serving.
#[inline(always)]
fn still_good<F: Layer3 + Take>(packet: &Parsed<F>, key: &FlowKeyOf<F>, flow: &FlowOf<F>) -> bool {
    const IN_A_LIST: u16 = backend_flags::IN_CLUSTER | backend_flags::IN_LOCAL;

    if flow.kind == flow_kind::FROM_REMOTE {
        return true;
    }
    if packet.opens_connection() {
        return !track::begins_anew::<F>(key, flow)
            && service::recall(flow.service, flow.backend, 0)
                .is_some_and(|chosen| chosen.backend.flags & IN_A_LIST != 0)
            && service::stay(flow.service, flow.backend, Client::Address(F::widen(packet.source)));
    }
    if packet.is_connected() {
        return true;
    }
    service::recall(flow.service, flow.backend, backend_flags::SERVING).is_some()
}

/// Whether a packet is at a device behind which pods are: it comes from inside, past every socket
/// hook.
#[inline(always)]
pub fn faces_pods<H: Hook>(hook: &H) -> bool {
    pods_device(hook).is_some()
}

#[inline(always)]
fn pods_device<H: Hook>(hook: &H) -> Option<Device> {
    if H::TC_FOLLOWS {
        // XDP is on external devices only.
        return None;
    }
    lookup::get(&DEVICES, &hook.ifindex()).filter(has_pods)
}

#[inline(always)]
const fn has_pods(device: &Device) -> bool {
    device.flags & device_flags::PODS != 0
}

/// Applies what the service asks of a client outside, or of one that is not, and chooses a backend.
#[inline(always)]
fn admit<F: Layer3>(packet: &Parsed<F>, frontend: Frontend, inside: bool) -> Result<Chosen, Fault> {
    let nobody = Fault::NoEndpoint;
    let row = lookup::settings(frontend.service).filter(|row| row.flags & flags::LIVE != 0);
    let Some(row) = row else {
        count(Counter::TableInconsistent);
        return Err(nobody);
    };
    let cluster_ip = frontend.kind == kind::CLUSTER_IP;
    if cluster_ip && !inside && !settings::has(settings_flags::EXTERNAL_CLUSTER_IP) {
        return Err(Fault::ClusterIpFromOutside);
    }
    let client = F::widen(packet.source);
    if frontend.kind == kind::LOAD_BALANCER && row.flags & flags::SOURCE_RANGES != 0 {
        let range = SourceRange { service: Be32::new(frontend.service), client };
        if !lookup::in_source_ranges(range) {
            return Err(Fault::SourceRange);
        }
    }
    let local = (cluster_ip || !inside) && service::wants_local(row.flags, frontend.kind);
    let run = lookup::run(frontend.service, local).unwrap_or_default();
    if run.is_empty() {
        let elsewhere = local
            && lookup::run(frontend.service, false).is_some_and(|cluster| !cluster.is_empty());
        return Err(if elsewhere { Fault::NoLocalEndpoint } else { nobody });
    }
    let list = service::list_flag(local);
    let draw = draw(packet, frontend.service, row.flags, local, run);
    service::choose(frontend.service, draw, list, || Client::Address(client)).ok_or(nobody)
}

/// From the list's hash table, if there is one, by what every node makes of the packet; else from
/// the list at random.
#[inline(always)]
fn draw<F: Layer3>(
    packet: &Parsed<F>,
    service: u32,
    service_flags: u32,
    local: bool,
    list: Run,
) -> Draw {
    let table = lookup::hashed_run(service, local).unwrap_or_default();
    if table.is_empty() {
        return Draw { run: list, number: helper::random() };
    }
    let client = F::widen(packet.source);
    let number = if service_flags & flags::AFFINITY != 0 {
        select::client_hash(client)
    } else {
        select::flow_hash(&FlowIdentity {
            client,
            frontend: F::widen(packet.destination),
            client_port: packet.source_port,
            frontend_port: packet.destination_port,
            protocol: packet.protocol,
        })
    };
    Draw { run: table, number }
}

/// Finds out whether the backend is reached through this node's stack or through a device we sit
/// on, and prepares the flow accordingly.
#[inline(always)]
fn prepare<F, H>(
    hook: &mut H,
    packet: &Parsed<F>,
    service: u32,
    chosen: &Chosen,
) -> Result<(), Fault>
where
    F: Layer3 + Take + FibFamily,
    H: Hook,
{
    let destination = F::narrow(chosen.backend.address);
    let mut new = NewFlow::<F> {
        kind: flow_kind::TO_LOCAL,
        source: packet.source,
        destination,
        destination_port: chosen.backend.port,
        backend: chosen.reference,
        service,
        age: if packet.is_tcp() {
            Age::read(hook, packet).unwrap_or_default()
        } else {
            Age::default()
        },
    };
    let mut next_hop = None;
    if let Some(device) = pods_device(hook) {
        // Answers come by the stack, out of the device where the pod is. Only a pod that calls
        // itself would answer itself past us: it is to see an address of ours instead.
        if destination == packet.source {
            new.kind = flow_kind::TO_REMOTE;
            new.source = F::device_source(&device);
            if new.source == <F as Family>::Address::default() {
                return Err(Fault::NoSnatAddress);
            }
        }
        return track::prepare::<F>(packet, &new, None);
    }
    if chosen.backend.flags & backend_flags::LOCAL == 0
        && let Route::Out(hop) = hook.route(packet, packet.source, destination)?
        && let Some(device) = lookup::get(&DEVICES, &hop.ifindex)
        && !has_pods(&device)
        && device.flags & device_flags::DIRECT == 0
    {
        new.kind = flow_kind::TO_REMOTE;
        new.source = F::device_source(&device);
        if new.source == <F as Family>::Address::default() {
            return Err(Fault::NoSnatAddress);
        }
        next_hop = Some(hop);
    }
    track::prepare::<F>(packet, &new, next_hop)
}
