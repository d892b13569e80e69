//! Making a packet its own answer, at XDP and at tc.

use lb_common::{Protocol, counter::Counter, limits};
use lb_ebpf::{
    answer::{self, Answer, Header, RESET},
    icmp::HEADER,
    parse::ETHERNET,
    sctp::{self, ABORT},
    verdict::Verdict,
};

use crate::{count::count, helper, hook::Hook, lookup};

/// Answers a packet; one that cannot be answered is dropped all the same.
#[inline(always)]
pub fn run<F: Header, H: Hook>(hook: &mut H, code: u32) -> Verdict {
    let made = Answer::from_code(code).and_then(|answer| make::<F, H>(hook, answer));
    if made.is_some() {
        return Verdict::Back;
    }
    count(Counter::DropUnanswered);
    Verdict::Drop(Counter::DropUnanswered)
}

#[inline(always)]
fn make<F: Header, H: Hook>(hook: &mut H, answer: Answer) -> Option<()> {
    let packet = F::parse(hook, ETHERNET)?;
    let protocol = answer::protocol(&packet, answer).filter(|_| answer::is_for_one(hook))?;
    if protocol == Protocol::Sctp.number() {
        let tag = sctp::abort_tag(hook, &packet)?;
        hook.resize(ETHERNET.0 + F::LENGTH + ABORT, 0)?;
        answer::turn_back(hook)?;
        return sctp::abort(hook, &packet, tag);
    }
    if protocol != F::PROTOCOL {
        let (numbers, data) = answer::segment(hook, &packet)?;
        hook.resize(ETHERNET.0 + F::LENGTH + RESET, 0)?;
        answer::turn_back(hook)?;
        return answer::reset(hook, &packet, numbers, data);
    }
    // A link's size is not withheld from anybody: nothing would arrive.
    if !matches!(answer, Answer::TooBig(_)) && !is_due() {
        return None;
    }
    let quoted = answer::quote_length(&packet);
    hook.resize(ETHERNET.0 + quoted, F::LENGTH + HEADER)?;
    answer::turn_back(hook)?;
    answer::error(hook, &packet, answer, quoted)
}

/// Whether this CPU may make another ICMP error now.
#[inline(always)]
fn is_due() -> bool {
    let Some(clock) = lookup::icmp_clock() else { return false };
    let now = helper::now_ns();
    let due = if *clock > now { *clock } else { now };
    if due - now > limits::ICMP_BURST * limits::ICMP_EVERY_NS {
        return false;
    }
    *clock = due + limits::ICMP_EVERY_NS;
    true
}
