//! What is around the node, changed under the programs' feet.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{NODE, OTHER, Rig};

impl Rig {
    /// What the node's external device takes.
    pub fn set_mtu(&self, bytes: u32) {
        self.set_mtu_of("eth0", bytes);
    }

    /// What a device of the node takes.
    pub fn set_mtu_of(&self, device: &str, bytes: u32) {
        let node = self.cluster.netns(NODE).unwrap();
        node.links(async |links| links.mtu(device, bytes).await).unwrap();
    }

    /// Which Ethernet address the other node has.
    pub fn set_neighbour(&self, v6: bool, ethernet: [u8; 6]) {
        let other = self.cluster.addresses(OTHER).unwrap().iter();
        let other = other.copied().find(|ip| ip.is_ipv6() == v6).unwrap();
        let node = self.cluster.netns(NODE).unwrap();
        node.links(async |links| links.neighbour("eth0", other, ethernet).await).unwrap();
    }

    /// From now on the node refuses to route to an address.
    pub fn refuse(&self, to: IpAddr) {
        let node = self.cluster.netns(NODE).unwrap();
        node.links(async |links| links.refuse(to.into()).await).unwrap();
    }

    /// Takes a route of the node's away.
    pub fn unroute(&self, network: IpNet) {
        let node = self.cluster.netns(NODE).unwrap();
        node.links(async |links| links.unroute(network).await).unwrap();
    }

    /// By whom the node reaches an address.
    pub fn reroute(&self, to: IpAddr, via: IpAddr) {
        let node = self.cluster.netns(NODE).unwrap();
        node.links(async |links| links.route(to.into(), via).await).unwrap();
    }
}
