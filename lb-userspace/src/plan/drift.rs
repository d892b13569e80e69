//! What of the tables is not as it was applied: somebody else wrote there.
//!
//! Looks at all that a program reads on its way to a backend. Rows that nothing leads to any more
//! are left alone, as they may be waiting for their grace period. The rows are looked at Service by
//! Service where they stand, so that whoever asks can do other work in between; what stands in hash
//! tables is compared as a whole, since an entry too many is found only there.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
};

use lb_common::{Address, backend::Backend, run::Run, service::Service};

use super::{Contents, List, Planner, members::Member, row::Row};
use crate::model::ServiceName;

/// The rows of the tables, as they are at this moment; `None`: there is no such row.
pub trait LiveRows {
    /// A row of `SERVICES`.
    fn service(&self, index: u32) -> Option<Service>;
    /// A row of `BACKENDS`.
    fn backend(&self, index: u32) -> Option<Backend>;
    /// The slots of a run.
    fn slots(&self, run: Run) -> Option<Vec<u32>>;
}

impl Planner {
    /// How many of a Service's rows and slots are not as the plans made them. To be asked when
    /// every plan was performed.
    pub fn drift_of_rows(&self, service: &ServiceName, rows: &impl LiveRows) -> usize {
        let applied = self.applied.get(service).into_iter().flatten();
        applied.map(|row| of_row(row, rows)).sum()
    }

    /// How many entries of hash tables and tries are not as the plans made them, or not there, or
    /// should not be there. Rows are not looked at, and need not have been read.
    pub fn drift_of_entries(&self, contents: &Contents) -> usize {
        let applied = self.applied.values().flatten();
        let ranges: BTreeSet<(u32, u32, Address)> = applied
            .flat_map(|row| row.ranges.iter().map(|(length, client)| (*length, row.index, *client)))
            .collect();
        let found: BTreeSet<_> = contents
            .source_ranges
            .iter()
            .map(|(length, range)| (*length, range.service.get(), range.client))
            .collect();
        ranges.symmetric_difference(&found).count()
            + self.claims.drift(&contents.frontends)
            + self.claims.vips.drift(&contents.vips)
            + different(&self.node.addresses, &contents.node_addresses)
            + different(&self.node.devices, &contents.devices)
    }
}

fn of_row(row: &Row, rows: &impl LiveRows) -> usize {
    let changed = |member: &&Member| {
        rows.backend(member.index).is_none_or(|found| !is_of(&found, member, row.index))
    };
    usize::from(rows.service(row.index) != Some(row.service))
        + row.members.iter().filter(changed).count()
        + strays(row, rows)
}

fn is_of(found: &Backend, member: &Member, service: u32) -> bool {
    IpAddr::from(found.address) == member.address
        && found.port.get() == member.port
        && found.service == service
        && (found.flags, found.weight, found.membership)
            == (member.flags, member.weight, member.membership)
}

/// Slots of a row's lists that name none of its backends.
fn strays(row: &Row, rows: &impl LiveRows) -> usize {
    let stray = |(list, run): (List, Run)| {
        if run.is_empty() {
            return 0;
        }
        let named = |member: &&Member| {
            let named = if list.is_hashed() { member.hashed } else { member.lists };
            named & list.flag() != 0
        };
        let members: HashSet<_> = row.members.iter().filter(named).map(|m| m.index).collect();
        let slots = rows.slots(run).unwrap_or_default();
        slots.iter().filter(|slot| !members.contains(slot)).count()
    };
    List::ALL.into_iter().zip(row.service.runs()).map(stray).sum()
}

/// Keys that do not have the same value in both.
fn different<K: Ord, V: PartialEq>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> usize {
    let missing = b.keys().filter(|key| !a.contains_key(key)).count();
    missing + a.iter().filter(|(key, value)| b.get(key) != Some(value)).count()
}
