//! From a destination to a backend: shared by socket calls and packets.

use lb_common::{
    Address, Be16, V4, V6,
    affinity::{Affinity, AffinityKey, client_kind},
    backend::{self, Backend, BackendRef},
    counter::Counter,
    frontend::{Frontend, FrontendKey, kind, node_address, scope},
    run::Run,
    select,
    service::{ServiceSettings, flags},
    settings::flags as settings_flags,
    vip,
};

use crate::{
    count::count,
    helper, lookup,
    maps::{AFFINITY, BACKENDS, NODE_ADDRESSES, SLOTS, Tables, VIPS},
    settings,
};

/// Who is at a destination.
pub enum There {
    /// A frontend: exactly there, or as a NodePort if the address is one of the node's.
    Frontend(Frontend),
    /// Nobody, and the address is a VIP with these [`lb_common::vip::flags`] and not the node's own
    /// besides.
    UnusedPort(u32),
    /// Nobody of ours.
    Stranger,
}

/// Finds out who is at a packet's destination. Most are strangers: that takes one lookup, as whoever
/// answers at an address of its own has that among the VIPs.
#[inline(always)]
pub fn there<F: Tables>(address: F::Address, port: Be16, protocol: u8) -> There {
    let vip = lookup::get(&VIPS, &F::widen(address));
    if vip.is_some()
        && let Some(frontend) = exactly::<F>(address, port, protocol)
    {
        return There::Frontend(frontend);
    }
    let is_node_port = settings::is_node_port(port.get());
    if vip.is_none() && !is_node_port {
        return There::Stranger;
    }
    match (lookup::get(&NODE_ADDRESSES, &F::widen(address)), vip) {
        (None, Some(flags)) => return There::UnusedPort(flags),
        (Some(flags), _) if is_node_port && flags & node_address::NODE_PORTS != 0 => {}
        _ => return There::Stranger,
    }
    let address = F::Address::default();
    let key = FrontendKey { address, port, protocol, scope: scope::NODE_PORT };
    match lookup::get(F::frontends(), &key) {
        Some(frontend) => There::Frontend(frontend),
        None => There::Stranger,
    }
}

/// The [`lb_common::vip::flags`] of an address, if it is a VIP and not the node's own besides.
#[inline(always)]
pub fn vip(address: Address) -> Option<u32> {
    let flags = lookup::get(&VIPS, &address)?;
    lookup::get(&NODE_ADDRESSES, &address).is_none().then_some(flags)
}

/// Whether a process or a pod of this node is refused at an unused port of a VIP with these flags: at
/// a ClusterIP. Other VIPs are left to the network, whose load balancer may know more of them than
/// we do.
#[inline(always)]
pub fn refuses_inside(vip: u32) -> bool {
    settings::has(settings_flags::REJECT_UNUSED_PORTS) && vip & vip::flags::CLUSTER_IP != 0
}

/// Whether a VIP with these flags answers clients outside.
#[inline(always)]
pub fn is_for_outside(vip: u32) -> bool {
    vip & vip::flags::EXTERNAL != 0 || settings::has(settings_flags::EXTERNAL_CLUSTER_IP)
}

/// [`there`] for a socket call, of either family. Most are for a service, which takes one lookup.
#[inline(always)]
pub fn called(address: Address, port: Be16, protocol: u8) -> There {
    match address.as_v4() {
        Some(address) => called_in::<V4>(address, port, protocol),
        None => called_in::<V6>(address.0, port, protocol),
    }
}

#[inline(always)]
fn called_in<F: Tables>(address: F::Address, port: Be16, protocol: u8) -> There {
    match exactly::<F>(address, port, protocol) {
        Some(frontend) => There::Frontend(frontend),
        None => there::<F>(address, port, protocol),
    }
}

/// The frontend that has an address of its own.
#[inline(always)]
fn exactly<F: Tables>(address: F::Address, port: Be16, protocol: u8) -> Option<Frontend> {
    lookup::get(F::frontends(), &FrontendKey { address, port, protocol, scope: scope::ADDRESS })
}

/// Who asks, as session affinity tells clients apart.
#[derive(Clone, Copy)]
pub enum Client {
    /// A client outside, by its address.
    Address(Address),
    /// A process on this node, by the cookie of its network namespace.
    Namespace(u64),
}

/// A backend that was chosen, and how to remember it.
#[derive(Clone, Copy)]
pub struct Chosen {
    /// Its row.
    pub backend: Backend,
    /// The reference to keep.
    pub reference: BackendRef,
}

/// Where a new flow's backend is drawn from, and by which number.
#[derive(Clone, Copy)]
pub struct Draw {
    /// The list, or its hash table.
    pub run: Run,
    /// Random, or the flow's hash.
    pub number: u32,
}

/// Chooses: the client's own backend under session affinity, else what was drawn. `list` is the
/// backend flag that says "in this list"; `client` is asked only if affinity wants to know.
#[inline(always)]
pub fn choose(
    service: u32,
    draw: Draw,
    list: u16,
    client: impl FnOnce() -> Client,
) -> Option<Chosen> {
    let settings = lookup::settings(service)?;
    if settings.flags & flags::AFFINITY == 0 {
        return drawn(service, draw);
    }
    let key = affinity_key(service, client());
    let now = helper::now_ns();
    if let Some(entry) = lookup::find(&AFFINITY, &key) {
        if let Some(chosen) = remembered(service, settings, entry, list, now) {
            lookup::seen(&AFFINITY, &key, now);
            return Some(chosen);
        }
        lookup::remove(&AFFINITY, &key);
    }
    let chosen = drawn(service, draw)?;
    if !lookup::claim(&AFFINITY, &key, &memory(&chosen, now))
        && let Some(entry) = lookup::find(&AFFINITY, &key)
        && let Some(earlier) = remembered(service, settings, entry, list, now)
    {
        // Another CPU was faster with a connection of the same client: theirs counts.
        return Some(earlier);
    }
    // A table that took nothing costs the client its memory, not its connection.
    Some(chosen)
}

/// Whether a new connection from a port whose last one went to this backend may go there again, which
/// is then noted. Under session affinity, it may not if its client belongs elsewhere now.
#[inline(always)]
pub fn stay(service: u32, reference: BackendRef, client: Client) -> bool {
    let Some(settings) = lookup::settings(service) else { return false };
    if settings.flags & flags::AFFINITY == 0 {
        return true;
    }
    let Some(chosen) = recall(service, reference, 0) else { return false };
    let key = affinity_key(service, client);
    let now = helper::now_ns();
    if let Some(entry) = lookup::find(&AFFINITY, &key)
        && remembered(service, settings, entry, 0, now).is_some()
    {
        let own = entry.backend == reference;
        if own {
            lookup::seen(&AFFINITY, &key, now);
        }
        return own;
    }
    // As good a choice as any; and the second packet of a handshake must not be sent elsewhere
    // than the first, whatever has become of the memory in between.
    _ = lookup::put(&AFFINITY, &key, &memory(&chosen, now));
    true
}

/// What is remembered of a choice.
#[inline(always)]
fn memory(chosen: &Chosen, now: u64) -> Affinity {
    Affinity {
        backend: chosen.reference,
        seen_ns: now,
        membership: chosen.backend.membership.into(),
        pad: 0,
    }
}

/// The backend of a client's memory, if that has neither run out nor been ended, and the backend
/// is in the list asked for.
#[inline(always)]
fn remembered(
    service: u32,
    settings: ServiceSettings,
    entry: &Affinity,
    list: u16,
    now: u64,
) -> Option<Chosen> {
    let timeout_ns = u64::from(settings.affinity_timeout_s) * 1_000_000_000;
    if now.wrapping_sub(entry.seen_ns) > timeout_ns {
        return None;
    }
    let chosen = recall(service, entry.backend, list)?;
    (u32::from(chosen.backend.membership) == entry.membership).then_some(chosen)
}

/// A remembered backend, if the row is still the same endpoint of this service and has all of the
/// given flags.
#[inline(always)]
pub fn recall(service: u32, reference: BackendRef, needed: u16) -> Option<Chosen> {
    let backend = lookup::row(&BACKENDS, reference.index)?;
    let same = backend.generation == reference.generation && backend.service == service;
    (same && backend.flags & needed == needed).then_some(Chosen { backend, reference })
}

/// The backend at the slot drawn.
#[inline(always)]
fn drawn(service: u32, draw: Draw) -> Option<Chosen> {
    let slot = select::slot(draw.run, draw.number)?;
    let chosen = lookup::row(&SLOTS, slot).and_then(|index| {
        let backend = lookup::row(&BACKENDS, index)?;
        let reference = BackendRef { index, generation: backend.generation };
        // A free row is all zero, and zero is a service.
        let ours = backend.service == service && backend.flags != 0;
        ours.then_some(Chosen { backend, reference })
    });
    if chosen.is_none() {
        count(Counter::TableInconsistent);
    }
    chosen
}

#[inline(always)]
fn affinity_key(service: u32, client: Client) -> AffinityKey {
    match client {
        Client::Address(client) => {
            AffinityKey { client, service, client_kind: client_kind::ADDRESS }
        }
        Client::Namespace(cookie) => {
            let mut client = Address::default();
            let [low, high, _, _] = &mut client.0;
            *low = lb_common::Be32::from_wire(cookie as u32);
            *high = lb_common::Be32::from_wire((cookie >> 32) as u32);
            AffinityKey { client, service, client_kind: client_kind::NETWORK_NAMESPACE }
        }
    }
}

/// The list a frontend draws from, as [`lookup::run`] wants it and as a backend's flag.
#[inline(always)]
pub fn list_flag(local: bool) -> u16 {
    if local { backend::flags::IN_LOCAL } else { backend::flags::IN_CLUSTER }
}

/// Whether a frontend of this kind is bound to endpoints of this node, for a client outside.
#[inline(always)]
pub fn wants_local(service_flags: u32, frontend_kind: u8) -> bool {
    let policy = if frontend_kind == kind::CLUSTER_IP {
        flags::INTERNAL_LOCAL
    } else {
        flags::EXTERNAL_LOCAL
    };
    service_flags & policy != 0
}
