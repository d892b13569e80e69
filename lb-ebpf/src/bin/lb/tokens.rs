//! Looking for flows that are over.
//!
//! Each flow has a token in one of two queues, or in the hand of a program that looks at it. A new
//! flow's goes to the queue of provisional flows, which is short: whoever finds it full ends the
//! oldest. So a flood of first packets takes room from itself and from nobody else. The token of a
//! flow that turns out to be confirmed moves to the other queue, which goes round: every new flow
//! looks at a few tokens, and the agent at all of them now and then. A token whose flow has ended
//! otherwise is dropped when its turn comes.

use aya_ebpf::{macros::classifier, programs::TcContext};
use lb_common::{V4, V6, counter::Counter, flow::Token, limits};
use lb_ebpf::life::Patience;

use crate::{count::count, end::Whole, lookup, maps::Tables, take::Take, track::seconds};

/// Gives the new flow in the scratch room its token.
#[inline(always)]
pub fn enrol<F: Take>() -> bool {
    let Some(room) = lookup::scratch::<F>() else { return false };
    let token = Token { key: room.key, id: room.flow.id, looked_s: room.flow.seen_s };
    if lookup::push(F::provisional(), &token) {
        return true;
    }
    F::look_at_provisional(true);
    lookup::push(F::provisional(), &token) || lookup::push(F::confirmed(), &token)
}

/// Looks at the oldest provisional flow if it has had its time, or is `forced` out. Whether there
/// may be more to do.
#[inline(always)]
pub fn look_at_provisional<F: Take>(forced: bool) -> bool {
    let now = seconds();
    let Some(token) = lookup::peek(F::provisional()) else { return false };
    if !forced && (now.wrapping_sub(token.looked_s) as i32) < limits::TCP_OPENING_S as i32 {
        return false;
    }
    let Some(mut token) = lookup::pop(F::provisional()) else { return false };
    let Some(whole) = find::<F>(&token) else { return true };
    if whole.is_over(Patience::Full) {
        end::<F>(token.id, Counter::FlowEnded);
    } else if whole.sides.confirmed() {
        token.looked_s = now;
        keep::<F>(lookup::push(F::confirmed(), &token), token.id);
    } else if forced {
        end::<F>(token.id, Counter::FlowEvicted);
    } else {
        token.looked_s = now;
        keep::<F>(lookup::push(F::provisional(), &token), token.id);
    }
    true
}

/// Looks at the confirmed flow that was not looked at for longest, unless that was a moment ago.
/// Whether there may be more to do.
#[inline(always)]
pub fn look_at_confirmed<F: Take>(patience: Patience) -> bool {
    let now = seconds();
    let Some(mut token) = lookup::pop(F::confirmed()) else { return false };
    let fresh = token.looked_s == now && patience == Patience::Full;
    if !fresh {
        let Some(whole) = find::<F>(&token) else { return true };
        if whole.is_over(patience) {
            let early = !whole.is_over(Patience::Full);
            end::<F>(token.id, if early { Counter::FlowEvicted } else { Counter::FlowEnded });
            return true;
        }
        token.looked_s = now;
    }
    keep::<F>(lookup::push(F::confirmed(), &token), token.id);
    !fresh
}

/// The token's flow, if it is still there. Its first key is in the scratch room then.
#[inline(always)]
fn find<F: Tables>(token: &lb_common::flow::TokenOf<F>) -> Option<Whole<F>> {
    let room = lookup::scratch::<F>()?;
    room.ending = token.key;
    Whole::<F>::find().filter(|whole| whole.first.flow().id == token.id)
}

/// Ends the flow whose first key is in the scratch room.
#[inline(always)]
fn end<F: Take>(id: u32, counter: Counter) {
    if F::end(id) {
        count(counter);
    }
}

/// A flow whose token no queue takes would never be looked at again.
#[inline(always)]
fn keep<F: Take>(kept: bool, id: u32) {
    if !kept {
        end::<F>(id, Counter::FlowEvicted);
    }
}

/// Looks at a few flows.
#[inline(always)]
pub fn look_around<F: Take>() -> u32 {
    F::look_at_provisional(false);
    for _ in 0..limits::TOKEN_LOOKS {
        F::look_at_confirmed(Patience::Full);
    }
    0
}

/// Looks at more flows, and parts with those that others can do without.
#[inline(always)]
pub fn make_room<F: Take>() -> bool {
    F::look_at_provisional(true);
    for _ in 0..limits::TOKEN_LOOKS_PRESSED {
        F::look_at_confirmed(Patience::Pressed);
    }
    true
}

/// Looks at many flows of both families; run by the agent. Says whether there are more.
#[classifier]
pub fn sweep(_: TcContext) -> i32 {
    let mut more = false;
    for _ in 0..limits::TOKEN_LOOKS_SWEEP {
        more = V4::look_at_provisional(false);
        more |= V4::look_at_confirmed(Patience::Full);
        more |= V6::look_at_provisional(false);
        more |= V6::look_at_confirmed(Patience::Full);
        if !more {
            break;
        }
    }
    more.into()
}
