//! What of the tables is not as it was applied: somebody else wrote there.
//!
//! Looks at all that a program reads on its way to a backend. Rows that nothing leads to any more
//! are left alone, as they may be waiting for their grace period.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
};

use lb_common::{Address, backend::Backend};

use super::{Contents, List, Planner, members::Member, row::Row};

impl Planner {
    /// How many entries of the tables are not as the plans made them, or not there. To be asked
    /// when every plan was performed.
    pub fn drift(&self, contents: &Contents) -> usize {
        let backends: HashMap<_, _> = contents.backends.iter().map(|(at, row)| (at, row)).collect();
        let services: HashMap<_, _> = contents.services.iter().map(|(at, row)| (at, row)).collect();
        let rows = || self.applied.values().flatten();
        let mut drift = 0;
        for row in rows() {
            drift += usize::from(services.get(&row.index) != Some(&&row.service));
            let intact = |member: &&Member| {
                backends.get(&member.index).is_none_or(|found| !is_of(found, member, row.index))
            };
            drift += row.members.iter().filter(intact).count();
            drift += strays(row, contents);
        }
        let ranges: BTreeSet<(u32, u32, Address)> = rows()
            .flat_map(|row| row.ranges.iter().map(|(length, client)| (*length, row.index, *client)))
            .collect();
        let found: BTreeSet<_> = contents
            .source_ranges
            .iter()
            .map(|(length, range)| (*length, range.service.get(), range.client))
            .collect();
        drift
            + ranges.symmetric_difference(&found).count()
            + self.claims.drift(&contents.frontends)
            + different(&self.claims.vips.written(), &contents.vips)
            + different(&self.node.addresses, &contents.node_addresses)
            + different(&self.node.devices, &contents.devices)
    }
}

fn is_of(found: &Backend, member: &Member, service: u32) -> bool {
    IpAddr::from(found.address) == member.address
        && found.port.get() == member.port
        && found.service == service
        && (found.flags, found.weight, found.membership)
            == (member.flags, member.weight, member.membership)
}

/// Slots of a row's lists that name none of its backends.
fn strays(row: &Row, contents: &Contents) -> usize {
    let stray = |(list, run)| {
        let named = |member: &&Member| {
            let named = if List::is_hashed(list) { member.hashed } else { member.lists };
            named & list.flag() != 0
        };
        let members: BTreeSet<_> = row.members.iter().filter(named).map(|m| m.index).collect();
        let slots = super::adopt::stretch(&contents.slots, run).unwrap_or_default();
        slots.iter().filter(|slot| !members.contains(slot)).count()
    };
    List::ALL.into_iter().zip(row.service.runs()).map(stray).sum()
}

/// Keys that do not have the same value in both.
pub(super) fn different<K: Ord, V: PartialEq>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> usize {
    let missing = b.keys().filter(|key| !a.contains_key(key)).count();
    missing + a.iter().filter(|(key, value)| b.get(key) != Some(value)).count()
}
