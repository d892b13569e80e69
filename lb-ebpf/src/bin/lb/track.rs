//! Flows of the packet path: remembering a choice in both directions, and noting what goes by.
//!
//! How a new one gets its port and its entries is `enter`, taking flows out again `end`, looking
//! for those that are over `tokens`; `take` makes functions of all that.

use lb_common::{
    Be16, Family, Protocol,
    backend::BackendRef,
    counter::Counter,
    flow::{FlowKey, FlowKeyOf, FlowOf, Hop, hook, kind, life, state},
    limits,
};
use lb_ebpf::{
    life::Sides,
    parse::{Layer3, Parsed},
    verdict::Fault,
    wait::Age,
};

use crate::{
    count::count,
    enter::{ENTERED, NO_POOL, NO_PORT, NO_ROOM, THEIRS},
    helper,
    lookup::{self, Entry},
    maps::{Scratch, Tables},
    route::{self, NextHop},
    settings,
    take::Take,
};

/// A new flow: the packet, where it goes and how the answer comes back.
pub struct NewFlow<F: Family> {
    /// [`kind::TO_LOCAL`] or [`kind::TO_REMOTE`].
    pub kind: u8,
    /// The source the backend is to see: the client, or an address of ours.
    pub source: F::Address,
    /// The backend's address.
    pub destination: F::Address,
    /// The backend's port.
    pub destination_port: Be16,
    /// The backend.
    pub backend: BackendRef,
    /// Row of `SERVICES`.
    pub service: u32,
    /// How old its packet is.
    pub age: Age,
}

/// Lays a new flow out in the scratch room, but for the source port that the backend is to see.
#[inline(always)]
pub fn prepare<F: Layer3 + Tables>(
    packet: &Parsed<F>,
    new: &NewFlow<F>,
    next_hop: Option<NextHop>,
) -> Result<(), Fault> {
    let room = lookup::scratch::<F>().ok_or(Fault::FlowTable)?;
    let local = new.kind == kind::TO_LOCAL;
    let now_ns = helper::now_ns();
    room.age = new.age;
    room.ifindex = next_hop.map_or(0, |next_hop| next_hop.ifindex);
    room.key = packet.flow_key(hook::INGRESS);
    room.other_key = FlowKey {
        source: new.destination,
        destination: new.source,
        source_port: new.destination_port,
        destination_port: packet.source_port,
        protocol: packet.protocol,
        hook: if local { hook::EGRESS } else { hook::INGRESS },
        pad: 0,
    };
    room.other = FlowOf::<F> {
        source: packet.destination,
        destination: packet.source,
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        backend: new.backend,
        service: new.service,
        kind: if local { kind::FROM_LOCAL } else { kind::FROM_REMOTE },
        state: 0,
        answered: 0,
        shown: shown_now(seconds_of(now_ns)),
        id: now_ns as u32,
        end: life::HELD,
        hop: Hop::default(),
        seen_jiffies: helper::jiffies(),
        seen_s: seconds_of(now_ns),
    };
    room.flow = FlowOf::<F> {
        source: new.source,
        destination: new.destination,
        destination_port: new.destination_port,
        kind: new.kind,
        hop: next_hop.map_or(Hop::default(), |next_hop| route::to_remember(&next_hop, packet)),
        ..room.other
    };
    Ok(())
}

/// Remembers the flow in the scratch room and finds the source port the backend is to see.
///
/// The answer's entry is the reservation: its key holds the source port, and it is inserted only if
/// nobody has it. So no port is ever given out twice, on any number of CPUs.
#[inline(always)]
pub fn open<F: Take>() -> u32 {
    let Some(room) = lookup::scratch::<F>() else { return NO_ROOM };
    let known = Entry::<F>::find(&room.key);
    if let Some(entry) = known.filter(|entry| entry.flow().id == room.stale) {
        room.ending = room.key;
        keep_port(room, entry.flow());
        if F::end(room.stale) {
            count(if is_udp(&room.key) { Counter::FlowMoved } else { Counter::FlowEnded });
        }
    }
    let mut opened = F::enter();
    if opened == NO_ROOM && F::make_room() {
        opened = F::enter();
    }
    if opened == ENTERED {
        count(Counter::FlowNew);
        F::look_around();
    }
    room.opened = opened;
    opened
}

/// A client that calls again from the same port, by the same backend, is to have the same port of
/// ours: to the backend, no other connection from there can be mistaken for an older one.
#[inline(always)]
fn keep_port<F: Tables>(room: &mut Scratch<F>, last: &FlowOf<F>) {
    let same = last.destination == room.flow.destination
        && last.destination_port == room.flow.destination_port;
    if same && last.kind == kind::TO_REMOTE && room.flow.kind == kind::TO_REMOTE {
        room.other_key.destination_port = last.source_port;
    }
}

/// The flow that was opened last, on this CPU and for this packet, and where its packet leaves.
#[inline(always)]
pub fn opened<F: Tables>() -> Result<(&'static FlowOf<F>, Option<NextHop>), Fault> {
    let room = lookup::scratch::<F>().ok_or(Fault::FlowTable)?;
    match room.opened {
        ENTERED => {
            // Not asked for again: what the FIB said stands beside it.
            let next_hop = NextHop { ifindex: room.ifindex, resolved: true };
            Ok((&room.flow, (room.ifindex != 0).then_some(next_hop)))
        }
        THEIRS => Ok((&room.flow, None)),
        NO_PORT => Err(Fault::SnatExhausted),
        NO_POOL => Err(Fault::SnatPool),
        _ => Err(Fault::FlowTable),
    }
}

/// Notes that a known flow is not for its packet any more: if the packet opens another, it ends.
#[inline(always)]
pub fn leave<F: Tables>(id: u32) {
    if let Some(room) = lookup::scratch::<F>() {
        room.stale = id;
    }
}

#[inline(always)]
fn is_udp<A>(key: &FlowKey<A>) -> bool {
    key.protocol == Protocol::Udp.number()
}

/// Notes that a packet of the flow went by: now and then, so that most packets cost no store, and
/// whenever the flow's state changes. Comes after everything else that is done with the entry.
///
/// `now` is the time by which the next hop was believed or not: whoever refreshes an entry has asked
/// the FIB.
#[inline(always)]
pub fn touch<F>(key: &FlowKeyOf<F>, entry: Entry<F>, packet: &Parsed<F>, now: u32)
where
    F: Layer3 + Take,
{
    let flow = entry.flow();
    let recent = is_recent::<F>(flow, now);
    let was = flow.state;
    let mut state = was | packet.ending();
    if packet.is_connected() && !packet.opens_connection() && packet.ending() & state::RST == 0 {
        // After a true RST nothing follows.
        state &= !state::RST;
    }
    let first = is_first(flow.kind);
    if !first {
        state |= state::ANSWERED;
    } else if packet.is_connected() && flow.answered != 0 && !packet.opens_connection() {
        state |= state::CONFIRMED;
    }
    if recent && state == was {
        return;
    }
    if recent {
        entry.note(seconds(), state);
    } else {
        entry.refresh(now, seconds(), state);
    }
    if !first
        && was & state::ANSWERED == 0
        && let Some(client) = Entry::<F>::find(&other_key::<F>(key, flow))
    {
        client.set_answered();
    }
    let closes = state & !was & (state::FIN | state::RST) != 0;
    if closes
        && matches!(flow.kind, kind::TO_REMOTE | kind::FROM_REMOTE)
        && let Some(room) = lookup::scratch::<F>()
    {
        room.ending = first_key::<F>(key, flow);
        if !first {
            // The client was first.
            room.wait = 0;
        }
        F::close();
    }
}

/// Notes how old a client's packet is that may close the flow.
#[inline(always)]
pub fn note_age<F: Tables>(age: Option<Age>) {
    if let Some(room) = lookup::scratch::<F>() {
        room.wait = age.unwrap_or_default().wait();
    }
}

/// Whether an entry was refreshed a moment ago.
#[inline(always)]
pub fn is_recent<F: Family>(flow: &FlowOf<F>, now: u32) -> bool {
    now.wrapping_sub(flow.seen_jiffies) < settings::flow_refresh_jiffies()
}

/// Whether a connection that begins in a known flow is one of its own.
#[inline(always)]
pub fn begins_anew<F: Tables>(key: &FlowKeyOf<F>, flow: &FlowOf<F>) -> bool {
    let answer = Entry::<F>::find(&other_key::<F>(key, flow));
    let backend = answer.map_or(0, |answer| answer.flow().state);
    Sides { protocol: key.protocol, client: flow.state, backend }.begins_anew()
}

/// Notes that a known flow is to be ended, whichever direction it was met in. Not done on the spot:
/// it does not fit the stack beside what is done with a packet.
#[inline(always)]
pub fn part<F: Tables>(key: &FlowKeyOf<F>, flow: &FlowOf<F>) {
    if let Some(room) = lookup::scratch::<F>() {
        room.ending = first_key::<F>(key, flow);
        room.stale = flow.id;
    }
}

/// Ends the flow that [`part`] noted.
#[inline(always)]
pub fn end_parted<F: Take>() {
    if let Some(room) = lookup::scratch::<F>() {
        F::end(room.stale);
    }
}

/// Of an answer's entry: whether the client has ended the flow.
#[inline(always)]
pub fn client_has_left<F: Tables>(key: &FlowKeyOf<F>, flow: &FlowOf<F>) -> bool {
    Entry::<F>::find(&other_key::<F>(key, flow))
        .is_some_and(|first| first.flow().state & (state::FIN | state::RST) != 0)
}

/// The key of the other direction's entry.
#[inline(always)]
pub fn other_key<F: Tables>(key: &FlowKeyOf<F>, flow: &FlowOf<F>) -> FlowKeyOf<F> {
    FlowKey {
        source: flow.destination,
        destination: flow.source,
        source_port: flow.destination_port,
        destination_port: flow.source_port,
        protocol: key.protocol,
        hook: if flow.kind == kind::TO_LOCAL { hook::EGRESS } else { hook::INGRESS },
        pad: 0,
    }
}

/// The key of the client's direction.
#[inline(always)]
pub fn first_key<F: Tables>(key: &FlowKeyOf<F>, flow: &FlowOf<F>) -> FlowKeyOf<F> {
    if is_first(flow.kind) { *key } else { other_key::<F>(key, flow) }
}

/// Whether an entry of this kind is that of the client's direction.
#[inline(always)]
const fn is_first(of: u8) -> bool {
    matches!(of, kind::TO_LOCAL | kind::TO_REMOTE)
}

/// Seconds of the monotonic clock.
#[inline(always)]
pub fn seconds() -> u32 {
    seconds_of(helper::now_ns())
}

#[inline(always)]
const fn seconds_of(now_ns: u64) -> u32 {
    (now_ns / 1_000_000_000) as u32
}

/// A time as [`lb_common::flow::Flow::shown`] has it.
#[inline(always)]
pub const fn shown_now(seconds: u32) -> u8 {
    (seconds / limits::SHOWN_UNIT_S) as u8
}
