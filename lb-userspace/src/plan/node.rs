//! The node's own tables: its addresses, and the devices our programs sit on.

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::{Address, device::Device, names};

use super::{Capacities, Op};
use crate::model::Rejection;

/// What was applied.
#[derive(Debug, Default)]
pub(super) struct NodeTables {
    pub(super) addresses: BTreeMap<Address, u32>,
    pub(super) devices: BTreeMap<u32, Device>,
    /// What did not fit the last time.
    pub(super) rejected: Vec<Rejection>,
}

impl NodeTables {
    /// Turns the tables into `addresses` and `devices`. What is beyond a table's size is left
    /// out, the highest first.
    pub(super) fn replace(
        &mut self,
        capacities: &Capacities,
        addresses: &BTreeMap<Address, u32>,
        devices: &BTreeMap<u32, Device>,
    ) -> Vec<Op> {
        let mut ops = Vec::new();
        self.rejected.clear();

        let (kept, beyond) = fitting(addresses, capacities.node_addresses);
        self.rejected.extend(beyond.map(|address| Rejection {
            object: format!("Node address {}", IpAddr::from(*address)),
            field: String::new(),
            reason: does_not_fit(names::NODE_ADDRESSES, capacities.node_addresses),
        }));
        for address in self.addresses.keys().filter(|address| !kept.contains_key(address)) {
            ops.push(Op::RemoveNodeAddress { address: *address });
        }
        for (address, flags) in changed(&self.addresses, &kept) {
            ops.push(Op::PutNodeAddress { address, flags });
        }
        self.addresses = kept;

        let (kept, beyond) = fitting(devices, capacities.devices);
        self.rejected.extend(beyond.map(|ifindex| Rejection {
            object: format!("Device with index {ifindex}"),
            field: String::new(),
            reason: does_not_fit(names::DEVICES, capacities.devices),
        }));
        for ifindex in self.devices.keys().filter(|ifindex| !kept.contains_key(ifindex)) {
            ops.push(Op::RemoveDevice { ifindex: *ifindex });
        }
        for (ifindex, device) in changed(&self.devices, &kept) {
            ops.push(Op::PutDevice { ifindex, device });
        }
        self.devices = kept;
        ops
    }
}

fn fitting<K: Copy + Ord, V: Copy>(
    wanted: &BTreeMap<K, V>,
    capacity: u32,
) -> (BTreeMap<K, V>, impl Iterator<Item = &K>) {
    let capacity = capacity as usize;
    let kept = wanted.iter().take(capacity).map(|(key, value)| (*key, *value)).collect();
    (kept, wanted.keys().skip(capacity))
}

fn changed<K: Copy + Ord, V: Copy + PartialEq>(
    was: &BTreeMap<K, V>,
    is: &BTreeMap<K, V>,
) -> impl Iterator<Item = (K, V)> {
    is.iter().filter(|(key, value)| was.get(key) != Some(value)).map(|(key, value)| (*key, *value))
}

fn does_not_fit(table: &str, size: u32) -> String {
    format!("does not fit: table {table} ({size} entries) has no room for it")
}
