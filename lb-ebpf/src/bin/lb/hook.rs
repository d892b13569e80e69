//! Entry of the packet programs: try, verdict, count.

use lb_common::flow::Hop;
use lb_ebpf::{
    packet::Packet,
    parse::{ETHERNET, Layer3, Parsed},
    verdict::{Fault, Verdict},
};

use crate::{
    count::count,
    route::{FibFamily, NextHop, Route},
    take::Take,
};

/// What XDP and tc do differently; everything else about a packet is written once.
pub trait Hook: Packet {
    /// Whether tc comes after us and can finish what we leave.
    const TC_FOLLOWS: bool;

    /// The device the packet is at.
    fn ifindex(&self) -> u32;

    /// Length, from the network header on, of the longest packet that this one will be sent as.
    fn longest<F: FibFamily>(&self, packet: &Parsed<F>) -> Option<u16>;

    /// Asks the kernel where a packet between these addresses goes.
    fn route<F: FibFamily>(
        &mut self,
        packet: &Parsed<F>,
        source: F::Address,
        destination: F::Address,
    ) -> Result<Route, Fault>;

    /// Cuts the packet to `keep` bytes, and then makes it longer by `more` behind the Ethernet
    /// header.
    fn resize(&mut self, keep: usize, more: usize) -> Option<()>;

    /// Prepares the rewritten packet to leave towards its next hop.
    fn send(&mut self, next_hop: &NextHop) -> Option<Verdict>;

    /// The same with a next hop that the FIB told of a packet before.
    fn send_again(&mut self, hop: &Hop) -> Option<Verdict>;
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
    let Some(packet) = F::parse(hook, ETHERNET) else { return Verdict::Other };
    settle(D::handle(hook, &packet))
}

/// Turns faults to verdicts, and counts those that are to be counted.
#[inline(always)]
pub fn settle(outcome: Result<Verdict, Fault>) -> Verdict {
    let verdict = outcome.unwrap_or_else(Fault::verdict);
    if let Verdict::LeaveToTc(counter) | Verdict::Answer(_, counter) | Verdict::Drop(counter) =
        verdict
    {
        count(counter);
    }
    verdict
}
