//! One port of one Service in one family: what the tables have a row for.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use lb_common::Protocol;

use super::{IpFamily, ServiceName};

/// Who a [`ServicePort`] is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortId {
    /// The Service.
    pub service: ServiceName,
    /// The port's name, possibly empty.
    pub port: Arc<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The family.
    pub family: IpFamily,
}

/// One port of one Service in one family, with everything that follows from policies and
/// conditions already decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePort {
    /// Who it is.
    pub id: PortId,
    /// See [`Service::created_s`](super::Service::created_s).
    pub created_s: Option<i64>,
    /// Where it answers. Unique, in a stable order.
    pub frontends: Vec<Frontend>,
    /// Its serving endpoints, whether or not they are in a list now; unique by address and port,
    /// in a stable order.
    pub backends: Vec<Backend>,
    /// The ClusterIP uses the local list.
    pub internal_local: bool,
    /// The other frontends use the local list.
    pub external_local: bool,
    /// Session affinity by client address.
    pub affinity_timeout_s: Option<u32>,
    /// Who may use the load-balancer VIPs, of this family; empty: everybody.
    pub source_ranges: Vec<IpNet>,
}

/// A place where a service port answers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Frontend {
    /// What it is to its clients.
    pub kind: FrontendKind,
    /// Its address; `None` for a NodePort, which answers on every allowed address of the node.
    pub address: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

/// See [`lb_common::frontend::kind`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FrontendKind {
    /// `clusterIPs`.
    ClusterIp,
    /// `nodePort`.
    NodePort,
    /// `externalIPs`.
    ExternalIp,
    /// `status.loadBalancer.ingress[].ip`.
    LoadBalancer,
}

/// An endpoint that may receive traffic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Backend {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its `nodeName` is this node.
    pub local: bool,
    /// In the list for policy Cluster.
    pub in_cluster: bool,
    /// In the list for policy Local.
    pub in_local: bool,
}
