//! Entry of the packet programs: try, verdict, count.

use lb_ebpf::{
    packet::Packet,
    parse::{ETHERNET, Layer3, Parsed},
    verdict::{Fault, Verdict},
};

use crate::{
    count::count,
    route::{FibFamily, NextHop, Route},
    track::Take,
};

/// What XDP and tc do differently; everything else about a packet is written once.
pub trait Hook: Packet {
    /// Whether tc comes after us and can finish what we leave.
    const TC_FOLLOWS: bool;

    /// The device the packet is at.
    fn ifindex(&self) -> u32;

    /// Asks the kernel where a packet between these addresses goes.
    fn route<F: FibFamily>(
        &mut self,
        packet: &Parsed<F>,
        source: F::Address,
        destination: F::Address,
    ) -> Result<Route, Fault>;

    /// Prepares the rewritten packet to leave towards its next hop.
    fn send(&mut self, next_hop: &NextHop) -> Option<Verdict>;
}

/// A direction: what is to be done with a packet that was read.
pub trait Direction {
    /// Tries to.
    fn handle<F, H>(hook: &mut H, packet: &Parsed<F>) -> Result<Verdict, Fault>
    where
        F: Layer3 + Take + FibFamily,
        H: Hook;
}

/// Runs a direction on a packet of one family, counts the verdict and returns it.
///
/// Each hook has a function for each direction and family, called and not inlined: several bodies
/// in one function would share one stack frame, and 512 bytes do not hold them.
#[inline(always)]
pub fn run<D, F, H>(hook: &mut H) -> Verdict
where
    D: Direction,
    F: Layer3 + Take + FibFamily,
    H: Hook,
{
    let Some(packet) = F::parse(hook, ETHERNET) else { return Verdict::Pass };
    let verdict = D::handle(hook, &packet).unwrap_or_else(Fault::verdict);
    match verdict {
        Verdict::LeaveToTc(counter) | Verdict::Drop(counter) => count(counter),
        Verdict::Pass | Verdict::Unknown | Verdict::Enter | Verdict::Send(_) => {}
    }
    verdict
}
