//! The slots of a run: who stands in a service's list and hash table, and how often.
//!
//! Pure arithmetic over a list's members. The list is for choosing at random: each backend as often
//! as its weight. The table is for choosing by a flow's hash, so that every node that has the same
//! backends sends the flow to the same one, and almost no flow moves when another backend goes.

mod rival;
mod table;

use std::net::SocketAddr;

use lb_common::run::Run;

pub(super) use table::{table, table_size};

/// A member of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share {
    /// Row of `BACKENDS`.
    pub(super) index: u32,
    /// How much of the traffic beside the others; not 0.
    pub(super) weight: u16,
    /// What every node knows it by.
    pub(super) address: SocketAddr,
}

/// The slots of the list: each backend as often as its weight says, in the least whole numbers. A
/// list that no run could hold is thinned out, to one slot each at last.
pub(super) fn list(shares: &[Share]) -> Vec<u32> {
    let divisor = divisor(shares);
    let total: u64 = shares.iter().map(|share| u64::from(share.weight / divisor)).sum();
    let longest = u64::from(Run::LONGEST);
    // One slot is everybody's; what weights add to that shares the rest.
    let spare = longest.saturating_sub(shares.len() as u64).max(1);
    let thinner = if total <= longest { 1 } else { total.div_ceil(spare) };
    let mut slots = Vec::with_capacity(total.min(longest) as usize);
    for share in shares {
        let times = (u64::from(share.weight / divisor) / thinner).max(1);
        slots.extend(std::iter::repeat_n(share.index, times as usize));
    }
    slots
}

/// Whether choosing by hash is any different from choosing from the list.
pub(super) fn worth_hashing(shares: &[Share]) -> bool {
    shares.len() > 1
}

/// What all weights can be divided by.
fn divisor(shares: &[Share]) -> u16 {
    shares.iter().fold(0, |divisor, share| gcd(divisor, share.weight)).max(1)
}

fn gcd(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
