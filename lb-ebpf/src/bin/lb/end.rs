//! The end of flows: whether one is over, and taking it out.
//!
//! Of all who want to end a flow (a new flow that needs its port or its key, whoever holds its
//! token), one moves it to [`life::ENDED`], and only that one removes its entries and gives its
//! port back. So both halves go together, and a port comes back once.

use lb_common::{
    counter::Counter,
    flow::{FlowOf, kind, life},
};
use lb_ebpf::life::{Patience, Sides};

use crate::{
    count::count,
    lookup::{self, Entry},
    maps::Tables,
    ports,
    take::Take,
    track::{first_key, other_key, seconds},
};

/// What became of a key that a flow has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reclaimed {
    /// The flow was over and is gone.
    Free,
    /// It is not over.
    Held,
    /// It is closed, its port is free, and it has not been silent for long enough, or its backend
    /// would not take the connection that is to have the port.
    Lingers,
}

impl Reclaimed {
    /// As a function of its own returns it.
    #[inline(always)]
    pub const fn number(self) -> u32 {
        match self {
            Self::Free => 0,
            Self::Held => 1,
            Self::Lingers => 2,
        }
    }

    /// Back from [`Self::number`].
    #[inline(always)]
    pub const fn of(number: u32) -> Self {
        match number {
            0 => Self::Free,
            1 => Self::Held,
            _ => Self::Lingers,
        }
    }
}

/// A flow, both of its halves.
pub struct Whole<F: Tables> {
    /// The client's direction.
    pub first: Entry<F>,
    /// The backend's direction.
    answer: Entry<F>,
    /// What both have seen.
    pub sides: Sides,
    /// Since when neither has seen a packet, to within the refresh interval.
    idle_s: u32,
}

impl<F: Tables> Whole<F> {
    /// The flow whose first key is in the scratch room; puts the other beside it. A half that is
    /// missing is being put in, or out, at this moment.
    #[inline(always)]
    pub fn find() -> Option<Self> {
        let room = lookup::scratch::<F>()?;
        let first = Entry::<F>::find(&room.ending)?;
        room.ending_answer = other_key::<F>(&room.ending, first.flow());
        let answer = Entry::<F>::find(&room.ending_answer)?;
        let (there, back): (&FlowOf<F>, &FlowOf<F>) = (first.flow(), answer.flow());
        if there.id != back.id {
            return None;
        }
        let now = seconds();
        let (there_s, back_s) = (now.wrapping_sub(there.seen_s), now.wrapping_sub(back.seen_s));
        // What another CPU has noted just now may lie ahead of our clock by a second.
        let idle_s = if (there_s as i32) < back_s as i32 { there_s } else { back_s };
        let idle_s = if (idle_s as i32) < 0 { 0 } else { idle_s };
        let sides =
            Sides { protocol: room.ending.protocol, client: there.state, backend: back.state };
        Some(Self { first, answer, sides, idle_s })
    }

    /// Whether it will not be missed.
    #[inline(always)]
    pub fn is_over(&self, patience: Patience) -> bool {
        self.idle_s >= self.sides.timeout_s(patience)
    }
}

/// Ends the flow that has the answer's key in the scratch room, if it is over.
#[inline(always)]
pub fn reclaim<F: Take>(patience: Patience) -> Reclaimed {
    let Some(room) = lookup::scratch::<F>() else { return Reclaimed::Held };
    let Some(answer) = Entry::<F>::find(&room.other_key) else { return Reclaimed::Held };
    room.ending = first_key::<F>(&room.other_key, answer.flow());
    let Some(whole) = Whole::<F>::find() else { return Reclaimed::Held };
    let flow = whole.first.flow();
    if !whole.is_over(patience) || !room.age.is_taken_after(answer.flow().end) {
        let released = flow.end == life::RELEASED;
        return if released { Reclaimed::Lingers } else { Reclaimed::Held };
    }
    let early = !whole.is_over(Patience::Full);
    if !F::end(flow.id) {
        return Reclaimed::Held;
    }
    count(if early { Counter::FlowEvicted } else { Counter::FlowEnded });
    Reclaimed::Free
}

/// Ends the flow whose first key is in the scratch room, if it is the one with this id and nobody
/// else does.
#[inline(always)]
pub fn end<F: Tables>(id: u32) -> bool {
    let Some(room) = lookup::scratch::<F>() else { return false };
    let Some(first) = Entry::<F>::find(&room.ending) else { return false };
    let Some(life) = first.advance(id, life::ENDED) else { return false };
    let flow = first.flow();
    room.ending_answer = other_key::<F>(&room.ending, flow);
    let holds = flow.kind == kind::TO_REMOTE && life == life::HELD;
    let answer = &room.ending_answer;
    lookup::erase::<F>(answer);
    lookup::erase::<F>(&room.ending);
    if holds {
        ports::towards::<F>(answer.source, answer.source_port, answer.destination, answer.protocol);
        ports::give_port(answer.destination_port.get().into());
    }
    true
}

/// Gives the source port back of the flow whose first key is in the scratch room, if it has closed.
/// Its entries stay for what is still under way; while ports are left, others are given out first.
#[inline(always)]
pub fn close<F: Tables>() -> u32 {
    let Some(room) = lookup::scratch::<F>() else { return 0 };
    let Some(whole) = Whole::<F>::find() else { return 0 };
    let flow = whole.first.flow();
    if !whole.sides.closed() || whole.first.advance(flow.id, life::RELEASED).is_none() {
        return 0;
    }
    if !whole.sides.reset() {
        whole.answer.set_wait(room.wait);
    }
    ports::towards::<F>(flow.destination, flow.destination_port, flow.source, room.ending.protocol);
    ports::give_port(flow.source_port.get().into())
}
