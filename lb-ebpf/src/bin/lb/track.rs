//! Flows of the packet path: remembering a choice in both directions, refreshing it, and putting
//! back the half that the LRU took.

use lb_common::{
    Be16, Family, Protocol, V4, V6,
    backend::BackendRef,
    counter::Counter,
    flow::{FlowKey, FlowKeyOf, FlowOf, hook, kind, state},
    limits,
};
use lb_ebpf::{
    parse::{Layer3, Parsed},
    verdict::Fault,
};

use crate::{
    count::count,
    helper,
    lookup::{self, Entry},
    maps::Tables,
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
}

/// Remembers a new flow and finds the source port the backend is to see.
///
/// The answer's entry is the reservation: its key holds the source port, and it is inserted only if
/// nobody has it. So no port is ever given out twice, on any number of CPUs.
#[inline(always)]
pub fn open<F>(packet: &Parsed<F>, new: &NewFlow<F>) -> Result<&'static FlowOf<F>, Fault>
where
    F: Layer3 + Take,
{
    let room = lookup::scratch::<F>().ok_or(Fault::FlowTable)?;
    let local = new.kind == kind::TO_LOCAL;
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
        pad: 0,
        seen_jiffies: helper::jiffies(),
        seen_s: seconds(),
    };
    // A client's own address may keep the client's own port; ours only in the range that we keep
    // for this, where no socket of the host's can be.
    let keep = local || is_ours_to_give(packet.source_port.get());
    if !(keep && F::take(LASTING)) && !search::<F>() {
        return Err(Fault::SnatExhausted);
    }
    room.flow = FlowOf::<F> {
        source: new.source,
        destination: new.destination,
        source_port: room.other_key.destination_port,
        destination_port: new.destination_port,
        kind: new.kind,
        ..room.other
    };
    if lookup::put(F::flows(), &packet.flow_key(hook::INGRESS), &room.flow).is_none() {
        lookup::remove(F::flows(), &room.other_key);
        return Err(Fault::FlowTable);
    }
    count(Counter::FlowNew);
    Ok(&room.flow)
}

/// Patience with the holder of a source port: it must be over for the backend, too.
const LASTING: u32 = 0;
/// Patience with the holder of a source port: it must have closed. Better than no port at all.
const ENDED: u32 = 1;

/// The family's own [`take`].
pub trait Take: Tables {
    /// See [`take`].
    fn take(patience: u32) -> bool;
}

impl Take for V4 {
    #[inline(always)]
    fn take(patience: u32) -> bool {
        take_v4(patience) != 0
    }
}

impl Take for V6 {
    #[inline(always)]
    fn take(patience: u32) -> bool {
        take_v6(patience) != 0
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take_v4(patience: u32) -> u32 {
    take::<V4>(patience).into()
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take_v6(patience: u32) -> u32 {
    take::<V6>(patience).into()
}

/// Takes the answer's key, which holds the source port: if it is free, if it is this very flow's
/// already, or if the flow that has it is over. Key and answer are those in the scratch room, so
/// that each family's function takes only a number: as a function of its own the verifier looks at
/// it once, not once an attempt.
#[inline(always)]
fn take<F: Tables>(patience: u32) -> bool {
    let Some(room) = lookup::scratch::<F>() else { return false };
    let (key, answer) = (&room.other_key, &room.other);
    if lookup::claim(F::flows(), key, answer) {
        return true;
    }
    let Some(holder) = Entry::<F>::find(key) else { return false };
    let holder = holder.flow();
    let same = holder.source == answer.source
        && holder.destination == answer.destination
        && holder.source_port == answer.source_port
        && holder.destination_port == answer.destination_port;
    if !same {
        if !is_over::<F>(key, holder, answer.seen_s, patience) {
            return false;
        }
        let forward = other_key::<F>(key, holder);
        if Entry::<F>::find(&forward).is_some_and(|half| answers::<F>(key, half.flow())) {
            lookup::remove(F::flows(), &forward);
        }
        lookup::remove(F::flows(), key);
        return lookup::claim(F::flows(), key, answer);
    }
    lookup::put(F::flows(), key, answer).is_some()
}

/// Whether a flow will not be missed.
#[inline(always)]
fn is_over<F: Tables>(key: &FlowKeyOf<F>, flow: &FlowOf<F>, now_s: u32, patience: u32) -> bool {
    let idle_s = now_s.wrapping_sub(flow.seen_s);
    if key.protocol == Protocol::Udp.number() {
        return idle_s >= limits::UDP_IDLE_S;
    }
    let closed = flow.state & state::CLOSING != 0;
    (closed && (patience == ENDED || idle_s >= limits::TCP_CLOSED_S))
        || idle_s >= limits::TCP_IDLE_S
}

/// Looks for a source port from a random start, in a bounded number of steps.
#[inline(always)]
fn search<F: Take>() -> bool {
    const PORTS: u32 = (limits::SNAT_PORT_LAST - limits::SNAT_PORT_FIRST) as u32 + 1;
    /// Coprime to the number of ports, so that the steps meet different ones.
    const STEP: u32 = 7_919;
    const _: () = assert!(!PORTS.is_multiple_of(STEP));

    let Some(room) = lookup::scratch::<F>() else { return false };
    let mut position = ((u64::from(helper::random()) * u64::from(PORTS)) >> 32) as u32;
    for attempt in 0..limits::SNAT_TRIES {
        room.other_key.destination_port = Be16::new(limits::SNAT_PORT_FIRST + position as u16);
        let patient = attempt < limits::SNAT_TRIES / 2;
        if F::take(if patient { LASTING } else { ENDED }) {
            return true;
        }
        position += STEP;
        if position >= PORTS {
            position -= PORTS;
        }
    }
    false
}

#[inline(always)]
fn is_ours_to_give(port: u16) -> bool {
    (limits::SNAT_PORT_FIRST..=limits::SNAT_PORT_LAST).contains(&port)
}

/// Notes that a packet of the flow went by: now and then, so that most packets cost no store. Comes
/// after everything else that is done with the entry, as it may insert.
///
/// The same moment is used to look after the other half, which the LRU may have taken.
#[inline(always)]
pub fn touch<F>(key: &FlowKeyOf<F>, entry: Entry<F>, packet: &Parsed<F>)
where
    F: Layer3 + Tables,
{
    let now = helper::jiffies();
    let flow = entry.flow();
    let recent = now.wrapping_sub(flow.seen_jiffies) < limits::FLOW_REFRESH_JIFFIES;
    let state = if packet.closes_connection() {
        flow.state | state::CLOSING
    } else if packet.opens_connection() {
        0
    } else {
        flow.state
    };
    if recent && state == flow.state {
        return;
    }
    let seen_s = seconds();
    entry.refresh(now, seen_s, state);
    let other_key = other_key::<F>(key, flow);
    if let Some(other) = Entry::<F>::find(&other_key) {
        // It may belong to a newer flow of the same client: this one is over then.
        if answers::<F>(key, other.flow()) {
            other.refresh(now, seen_s, state);
        }
        return;
    }
    let Some(room) = lookup::scratch::<F>() else { return };
    room.other = FlowOf::<F> {
        source: key.destination,
        destination: key.source,
        source_port: key.destination_port,
        destination_port: key.source_port,
        kind: other_kind(flow.kind),
        state,
        seen_jiffies: now,
        seen_s,
        ..*flow
    };
    // If the table takes it not, the flow's next refresh tries again.
    if lookup::claim(F::flows(), &other_key, &room.other) {
        count(Counter::FlowRepaired);
    }
}

/// The key of the other direction's entry.
#[inline(always)]
fn other_key<F: Tables>(key: &FlowKeyOf<F>, flow: &FlowOf<F>) -> FlowKeyOf<F> {
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

/// Whether an entry is the other half of the flow with this key.
#[inline(always)]
fn answers<F: Tables>(key: &FlowKeyOf<F>, half: &FlowOf<F>) -> bool {
    half.source == key.destination
        && half.destination == key.source
        && half.source_port == key.destination_port
        && half.destination_port == key.source_port
}

/// The kind of the other direction's entry.
#[inline(always)]
const fn other_kind(of: u8) -> u8 {
    match of {
        kind::TO_LOCAL => kind::FROM_LOCAL,
        kind::TO_REMOTE => kind::FROM_REMOTE,
        kind::FROM_LOCAL => kind::TO_LOCAL,
        _ => kind::TO_REMOTE,
    }
}

/// For how long the flow has had no packet, to within the refresh interval.
#[inline(always)]
pub fn idle_s<F: Family>(flow: &FlowOf<F>) -> u32 {
    seconds().wrapping_sub(flow.seen_s)
}

/// Seconds of the monotonic clock.
#[inline(always)]
pub fn seconds() -> u32 {
    (helper::now_ns() / 1_000_000_000) as u32
}
