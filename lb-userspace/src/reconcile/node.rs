//! From this node's network to the rows that the programs read of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::{
    Address, Be32,
    device::{self, Device},
    frontend::node_address,
};

use crate::{
    config::NodePortAddresses,
    watch::{DeviceNet, NodeNet, PodSide},
};

/// The node's part of the tables, complete.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct NodeRows {
    /// `NODE_ADDRESSES`.
    pub(super) addresses: BTreeMap<Address, u32>,
    /// `DEVICES`.
    pub(super) devices: BTreeMap<u32, Device>,
}

/// The node's primary addresses: of each family the first that the cluster knows. Of a family
/// that it does not know they are those that packets to the outside leave with.
pub(super) fn primary(known: &[IpAddr], net: &NodeNet) -> BTreeSet<IpAddr> {
    let by_routes = |device: &DeviceNet| {
        let v4 = device.source_v4.map(IpAddr::from);
        v4.into_iter().chain(device.source_v6.map(IpAddr::from))
    };
    let mut found = BTreeSet::new();
    for is_v4 in [true, false] {
        let of_family = |address: &IpAddr| address.is_ipv4() == is_v4;
        match known.iter().copied().find(of_family) {
            Some(first) => _ = found.insert(first),
            None => {
                let external = net.devices.values().filter(|device| !device.pods);
                found.extend(external.flat_map(by_routes).filter(of_family));
            }
        }
    }
    found
}

impl NodeRows {
    /// The rows for a network as it is now. `primary`: the node's primary addresses. `native`: the
    /// devices on which XDP runs natively. `direct`: packets are handed to devices of pods.
    pub(super) fn new(
        net: &NodeNet,
        primary: &BTreeSet<IpAddr>,
        admitted: &NodePortAddresses,
        native: &BTreeSet<u32>,
        direct: bool,
    ) -> Self {
        let mut rows = Self::default();
        for (ifindex, found) in &net.devices {
            let source_v6 = found.source_v6.map(Address::from).unwrap_or_default();
            let xdp = if native.contains(ifindex) { device::flags::XDP } else { 0 };
            let pods = if found.pods { device::flags::PODS } else { 0 };
            let row = Device {
                source_v4: found.source_v4.map(|ip| Be32::new(ip.to_bits())).unwrap_or_default(),
                source_v6: source_v6.0,
                flags: xdp | pods,
            };
            rows.devices.insert(*ifindex, row);
        }
        for (ifindex, device) in net.pods.iter().filter(|_| direct) {
            let how = match device.side {
                PodSide::Bridge => 0,
                PodSide::Veth { takes_frames: false } => device::flags::PEER,
                PodSide::Veth { takes_frames: true } => device::flags::PEER | device::flags::XDP,
            };
            rows.devices.entry(*ifindex).or_default().flags |= device::flags::DIRECT | how;
        }
        for address in net.addresses.keys() {
            let open = admitted.admit(*address, primary.contains(address));
            let flags = if open { node_address::NODE_PORTS } else { 0 };
            rows.addresses.insert((*address).into(), flags);
        }
        rows
    }

    /// The addresses on which NodePorts answer. Link-local ones are left out: they mean nothing
    /// without a device.
    pub(super) fn node_port_addresses(&self) -> BTreeSet<IpAddr> {
        let admitted = self.addresses.iter().filter(|(_, flags)| **flags != 0);
        let link_local = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        admitted.map(|(address, _)| IpAddr::from(*address)).filter(|ip| !link_local(ip)).collect()
    }
}
