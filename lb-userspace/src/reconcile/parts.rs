//! What the loop is given, what it is told, and what it tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use tokio::sync::watch;

use super::{Metrics, Pulse};
use crate::{
    config::NodePortAddresses,
    model::{HealthCheck, Node, ServiceName},
    plan::Capacities,
    task::grace::Grace,
    watch::{DeviceNet, News, NodeNet, NodeNews},
};

/// Everything that can wake the loop.
#[derive(Debug)]
pub enum Event {
    /// A source's view of the cluster.
    News(News),
    /// This node's devices and addresses, complete.
    NodeNet(NodeNet),
    /// The own Node object.
    Node(NodeNews),
    /// The devices, by ifindex, on which XDP now runs natively.
    NativeXdp(BTreeSet<u32>),
    /// What was out of use at the last request can be used again.
    GraceOver,
    /// It may be that somebody else has written to the tables.
    Audit,
    /// Time to end.
    Stop,
}

/// What has been written, for those who act on it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Programmed {
    /// How many Services there are; `None` before the first plan was written.
    pub services: Option<usize>,
    /// The devices that the tables know, by ifindex: where packet programs belong.
    pub devices: BTreeMap<u32, DeviceNet>,
    /// The devices that packets for pods are handed to, by ifindex: their names. It is there that
    /// what pods answer is sent straight out.
    pub pods: BTreeMap<u32, Arc<str>>,
    /// It was all there is: what is not in the tables does not exist.
    pub complete: bool,
    /// What the `healthCheckNodePort` of each Service that has one answers.
    pub health_checks: Arc<BTreeMap<ServiceName, HealthCheck>>,
    /// The node's addresses on which NodePorts answer; `None`: all.
    pub node_port_addresses: Option<Arc<BTreeSet<IpAddr>>>,
}

/// What the loop is given to work with.
pub struct Parts<T> {
    /// The tables.
    pub tables: T,
    /// Their sizes.
    pub capacities: Capacities,
    /// This node.
    pub node: Node,
    /// Where NodePorts answer.
    pub node_port_addresses: NodePortAddresses,
    /// Packets are handed to devices of pods on this node, which the tables are to name.
    pub direct_delivery: bool,
    /// Asks for grace periods, which come back as [`Event::GraceOver`].
    pub grace: Grace,
    /// Told of every plan that was written.
    pub programmed: watch::Sender<Programmed>,
    /// Told of UDP endpoints that no service has any more.
    pub severed: std::sync::mpsc::Sender<BTreeSet<SocketAddr>>,
    /// Where the loop counts and times itself.
    pub metrics: Metrics,
    /// Told when news has been written.
    pub pulse: Arc<Pulse>,
    /// Called after much was planned and written, when all memory it took is free again.
    pub give_memory_back: fn(),
}
