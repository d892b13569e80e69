//! Choosing: flow to number, number to slot. The one definition, shared by the programs and by
//! whoever explains or tests what they do.

use crate::{Address, Be16, run::Run};

/// The slot of `run` that the 32-bit number `number` chooses, a random one or a flow's hash;
/// `None` for an empty run.
///
/// Multiply and shift rather than a remainder: no division in the kernel, and for runs as short as
/// ours no measurable bias (a run of n slots is off by at most n / 2^32).
#[inline(always)]
pub const fn slot(run: Run, number: u32) -> Option<u32> {
    if run.is_empty() {
        return None;
    }
    Some(run.offset().wrapping_add(((number as u64 * run.length() as u64) >> 32) as u32))
}

/// What tells a flow from others, as its client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowIdentity {
    /// The client's address.
    pub client: Address,
    /// The frontend's address.
    pub frontend: Address,
    /// The client's port.
    pub client_port: Be16,
    /// The frontend's port.
    pub frontend_port: Be16,
    /// The protocol's IANA number.
    pub protocol: u8,
}

/// A flow's number: the same on every node and at every hook, whatever the node's byte order.
///
/// It is not keyed. Who may choose source ports at will can aim at one backend; so can they with
/// any table that nodes agree on without sharing a secret.
#[inline(always)]
pub const fn flow_hash(flow: &FlowIdentity) -> u32 {
    let ports = (flow.client_port.get() as u64) << 16 | flow.frontend_port.get() as u64;
    let hash = absorb(client_state(flow.client), ports << 8 | flow.protocol as u64);
    let [a, b, c, d] = flow.frontend.0;
    finish(absorb(absorb(hash, pair(a.get(), b.get())), pair(c.get(), d.get())))
}

/// A client's number, for services with session affinity: all of a client's flows have one, at
/// whichever frontend and node they arrive.
#[inline(always)]
pub const fn client_hash(client: Address) -> u32 {
    finish(client_state(client))
}

#[inline(always)]
const fn client_state(client: Address) -> u64 {
    let [a, b, c, d] = client.0;
    absorb(absorb(0, pair(a.get(), b.get())), pair(c.get(), d.get()))
}

#[inline(always)]
const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// One multiplication and one shift a word: the shift brings the product's well mixed upper half
/// down to where the next multiplication spreads it again.
#[inline(always)]
const fn absorb(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// Every bit of the state counts for every bit of the answer.
#[inline(always)]
const fn finish(state: u64) -> u32 {
    let mixed = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Be32;

    #[test]
    fn extremes_stay_inside_the_run() {
        let run = Run::new(100, 7, 0);
        assert_eq!(slot(run, 0), Some(100));
        assert_eq!(slot(run, u32::MAX), Some(106));
        assert_eq!(slot(Run::EMPTY, 5), None);
    }

    #[test]
    fn equal_steps_fill_every_slot_equally() {
        let run = Run::new(0, 6, 0);
        let mut hits = [0u32; 6];
        for step in 0..6_000u32 {
            let slot = slot(run, step * (u32::MAX / 6_000)).unwrap();
            hits[slot as usize] += 1;
        }
        assert!(hits.iter().all(|hits| (999..=1_001).contains(hits)), "{hits:?}");
    }

    fn flow(client: u32, port: u16) -> FlowIdentity {
        FlowIdentity {
            client: Address::from_v4(Be32::new(client)),
            frontend: Address::from_v4(Be32::new(0xc633_6407)),
            client_port: Be16::new(port),
            frontend_port: Be16::new(443),
            protocol: 6,
        }
    }

    /// A changed number here moves every flow of a cluster whose nodes are upgraded one by one.
    #[test]
    fn the_hash_is_what_it_was() {
        assert_eq!(flow_hash(&flow(0xc000_0201, 40_000)), 1_754_509_650);
        assert_eq!(client_hash(flow(0xc000_0201, 0).client), 1_724_795_891);
    }

    /// Chi-squared over 16 slots; the 1 in 100,000 bound for 15 degrees of freedom is 50.5.
    #[track_caller]
    fn check_even(numbers: impl Iterator<Item = u32>) {
        let mut hits = [0f64; 16];
        numbers.for_each(|number| hits[slot(Run::new(0, 16, 0), number).unwrap() as usize] += 1.);
        let mean = hits.iter().sum::<f64>() / 16.;
        let chi_squared: f64 = hits.iter().map(|hits| (hits - mean) * (hits - mean) / mean).sum();
        assert!(chi_squared < 50.5, "{chi_squared}: {hits:?}");
    }

    #[test]
    fn neighbouring_flows_spread_evenly() {
        check_even((32_768..60_999).map(|port| flow_hash(&flow(0xc000_0201, port))));
        check_even((32_768..60_999).step_by(2).map(|port| flow_hash(&flow(0xc000_0201, port))));
        check_even((0..20_000).map(|host| flow_hash(&flow(0x0a00_0000 + host, 40_000))));
        check_even((0..20_000).map(|host| client_hash(flow(0x0a00_0000 + 256 * host, 0).client)));
        let subnets = (0..20_000).map(|net| Address([0x2001_0db8, net, 0, 1].map(Be32::new)));
        check_even(subnets.map(client_hash));
    }

    #[test]
    fn every_part_of_a_flow_counts() {
        let base = flow(1, 2);
        let others = [
            FlowIdentity { client: Address::from_v4(Be32::new(2)), ..base },
            FlowIdentity { frontend: Address::from_v4(Be32::new(2)), ..base },
            FlowIdentity { client_port: Be16::new(3), ..base },
            FlowIdentity { frontend_port: Be16::new(444), ..base },
            FlowIdentity { protocol: 17, ..base },
            FlowIdentity { client: base.frontend, frontend: base.client, ..base },
        ];
        assert!(others.iter().all(|other| flow_hash(other) != flow_hash(&base)));
    }
}
