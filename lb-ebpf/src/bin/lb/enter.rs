//! Entering a new flow: both halves or none, and the source port that the backend is to see.
//!
//! Called by `track`, through functions that find the flow in the scratch room.

use lb_common::{Be16, flow::kind, limits};
use lb_ebpf::{life::Patience, wait::Age};

use crate::{
    end::Reclaimed,
    helper,
    lookup::{self, Entered, Entry},
    ports, settings,
    take::Take,
};

/// Both halves are in.
pub const ENTERED: u32 = 0;
/// Another CPU was faster with a packet of the same flow: the scratch room has theirs.
pub const THEIRS: u32 = 1;
/// No room in the table.
pub const NO_ROOM: u32 = 2;
/// No source port towards the backend.
pub const NO_PORT: u32 = 3;
/// No room for the backend's source ports.
pub const NO_POOL: u32 = 4;

/// Enters both halves of the flow in the scratch room, or none.
#[inline(always)]
pub fn enter<F: Take>() -> u32 {
    let Some(room) = lookup::scratch::<F>() else { return NO_ROOM };
    let local = room.flow.kind == kind::TO_LOCAL;
    let reserved = if local { beside_the_client::<F>() } else { reserve::<F>() };
    if reserved != TAKEN {
        return reserved;
    }
    room.flow.source_port = room.other_key.destination_port;
    let outcome = match lookup::enter::<F>(&room.key, &room.flow) {
        Entered::In if F::enrol() => return ENTERED,
        Entered::In => {
            lookup::erase::<F>(&room.key);
            NO_ROOM
        }
        Entered::Full => NO_ROOM,
        Entered::Held => match Entry::<F>::find(&room.key) {
            Some(theirs) => {
                room.flow = *theirs.flow();
                THEIRS
            }
            None => NO_ROOM,
        },
    };
    let port = room.other_key.destination_port.get();
    lookup::erase::<F>(&room.other_key);
    if !local {
        ports::give_port(port.into());
    }
    outcome
}

/// The answer's half is in.
const TAKEN: u32 = 0;
/// Somebody has the key.
const HELD: u32 = 5;
/// Somebody has the key, and does not hold the port any more: the pool has to be told.
const LINGERS: u32 = 6;

/// Finds a source port for a flow that goes on from an address of ours: the client's own if it can
/// be, else the next free one, else one whose flow will not be missed, and at last one whose backend
/// may take the connection for an old one: that is a second lost, and not all of it.
#[inline(always)]
fn reserve<F: Take>() -> u32 {
    let Some(room) = lookup::scratch::<F>() else { return NO_ROOM };
    let key = &mut room.other_key;
    let pool = ports::towards::<F>(key.source, key.source_port, key.destination, key.protocol);
    if pool.is_none() {
        return NO_POOL;
    }
    let mut wanted: u32 = key.destination_port.get().into();
    for _ in 0..limits::SNAT_TRIES {
        let port = ports::take_port(wanted);
        match port {
            ports::NO_POOL => return NO_POOL,
            ports::NONE => break,
            _ => {}
        }
        room.other_key.destination_port = Be16::new(port as u16);
        match F::take(Patience::Pressed) {
            // The pool is wrong about a port that another range gave out. It stays taken, and
            // comes back when that flow ends.
            HELD => {}
            LINGERS => _ = ports::give_port(port),
            TAKEN => return TAKEN,
            full => {
                ports::give_port(port);
                return full;
            }
        }
        wanted = 0;
    }
    for look in 0..limits::SNAT_LOOKS {
        if look == limits::SNAT_LOOKS / 2 {
            room.age = Age::default();
        }
        let port = ports::next_port();
        room.other_key.destination_port = Be16::new(port as u16);
        if F::reclaim(Patience::Pressed) != Reclaimed::Free {
            continue;
        }
        let port = ports::take_port(port);
        if port == ports::NONE || port == ports::NO_POOL {
            continue;
        }
        room.other_key.destination_port = Be16::new(port as u16);
        if F::take(Patience::Pressed) == TAKEN {
            return TAKEN;
        }
        ports::give_port(port);
    }
    NO_PORT
}

/// Finds a source port for a flow that keeps the client's address, beside the client's own ports:
/// its own, as a rule. Only if the client reaches one backend by two frontends from one port do the
/// two meet; then one of ours takes its place.
#[inline(always)]
fn beside_the_client<F: Take>() -> u32 {
    let Some(room) = lookup::scratch::<F>() else { return NO_ROOM };
    let (first, ports) = settings::snat_ports();
    let first_try = F::take(Patience::Full);
    if first_try == TAKEN || first_try == NO_ROOM {
        return first_try;
    }
    for _ in 0..limits::SNAT_TRIES {
        let position = (u64::from(helper::random()) * u64::from(ports)) >> 32;
        room.other_key.destination_port = Be16::new(first.wrapping_add(position as u16));
        let taken = F::take(Patience::Pressed);
        if taken == TAKEN || taken == NO_ROOM {
            return taken;
        }
    }
    NO_PORT
}

/// Enters the answer's half.
#[inline(always)]
pub fn take<F: Take>(patience: Patience) -> u32 {
    let Some(room) = lookup::scratch::<F>() else { return NO_ROOM };
    let mut entered = lookup::enter::<F>(&room.other_key, &room.other);
    if entered == Entered::Held {
        match F::reclaim(patience) {
            Reclaimed::Held => return HELD,
            Reclaimed::Lingers => return LINGERS,
            Reclaimed::Free => entered = lookup::enter::<F>(&room.other_key, &room.other),
        }
    }
    match entered {
        Entered::In => TAKEN,
        Entered::Held => HELD,
        Entered::Full => NO_ROOM,
    }
}
