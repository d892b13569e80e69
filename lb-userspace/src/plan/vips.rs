//! Addresses that belong to Services and to nobody else, counted over the frontends in the tables.

use std::collections::{BTreeMap, HashMap};

use lb_common::{Address, frontend::kind, vip::flags};

use super::{
    FrontendAt, Op,
    order::{Phase, Steps},
};

/// What is in `VIPS`, and what is to be.
#[derive(Debug, Default)]
pub(super) struct Vips {
    entries: HashMap<Address, Entry>,
    /// Addresses whose frontends changed since the last plan.
    touched: Vec<Address>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Frontends that are ClusterIPs.
    cluster_ips: u32,
    /// Frontends that are reached from outside.
    external: u32,
    /// What is in the table; zero: nothing.
    written: u32,
    touched: bool,
}

impl Entry {
    fn wanted(&self) -> u32 {
        let parts = [(self.cluster_ips, flags::CLUSTER_IP), (self.external, flags::EXTERNAL)];
        parts.iter().filter(|(count, _)| *count > 0).fold(0, |set, (_, flag)| set | flag)
    }

    /// The count that a frontend of this kind belongs to.
    fn count(&mut self, kind: u8) -> &mut u32 {
        if kind == kind::CLUSTER_IP { &mut self.cluster_ips } else { &mut self.external }
    }
}

impl Vips {
    /// A frontend came, went, or changed its kind.
    pub(super) fn change(&mut self, at: &FrontendAt, was: Option<u8>, is: Option<u8>) {
        // A NodePort has no address of its own.
        let Some(address) = at.address().map(Address::from) else { return };
        let entry = self.entries.entry(address).or_default();
        if let Some(kind) = was {
            *entry.count(kind) -= 1;
        }
        if let Some(kind) = is {
            *entry.count(kind) += 1;
        }
        if !std::mem::replace(&mut entry.touched, true) {
            self.touched.push(address);
        }
    }

    /// How many of these addresses are not what was written, or are missing.
    pub(super) fn drift(&self, found: &BTreeMap<Address, u32>) -> usize {
        let written = |address| self.entries.get(address).map_or(0, |entry| entry.written);
        let right = found.iter().filter(|(address, flags)| written(address) == **flags).count();
        let there = found.keys().filter(|address| written(address) != 0).count();
        let all = self.entries.values().filter(|entry| entry.written != 0).count();
        (found.len() - right) + (all - there)
    }

    /// Takes what the table holds.
    pub(super) fn adopt(&mut self, table: &BTreeMap<Address, u32>) {
        for (address, flags) in table {
            let entry = self.entries.entry(*address).or_default();
            entry.written = *flags;
            if !std::mem::replace(&mut entry.touched, true) {
                self.touched.push(*address);
            }
        }
    }

    /// Writes what the changes since the last call come to.
    pub(super) fn settle(&mut self, steps: &mut Steps) {
        for address in std::mem::take(&mut self.touched) {
            let Some(entry) = self.entries.get_mut(&address) else { continue };
            entry.touched = false;
            let flags = entry.wanted();
            if flags != entry.written {
                entry.written = flags;
                if flags == 0 {
                    steps.push(Phase::RemoveFrontends, Op::RemoveVip { address });
                } else {
                    steps.push(Phase::Frontends, Op::PutVip { address, flags });
                }
            }
            if flags == 0 {
                self.entries.remove(&address);
            }
        }
    }
}
