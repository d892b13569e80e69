//! A Service, reduced to the fields a proxy reads.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use lb_common::Protocol;

/// Namespace and name of a Service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceName {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ServiceName {
    /// From its two parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// A Service that a proxy has to do with. Headless and ExternalName Services are values too, so
/// that a change of type is a change like any other; they lead to no [`ServicePort`](super::ServicePort).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Who it is.
    pub name: ServiceName,
    /// `metadata.creationTimestamp` in seconds of the Unix epoch; manifests seldom have one. The
    /// older of two Services that claim one address and port wins; none counts as youngest.
    pub created_s: Option<i64>,
    /// `spec.type`.
    pub kind: ServiceType,
    /// `spec.clusterIPs`; empty for a headless Service.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress[].ip` where ipMode is VIP or absent.
    pub load_balancer_ips: Vec<IpAddr>,
    /// `spec.loadBalancerSourceRanges`, both families mixed.
    pub source_ranges: Vec<IpNet>,
    /// `spec.ports`.
    pub ports: Vec<Port>,
    /// `spec.internalTrafficPolicy`.
    pub internal_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`.
    pub external_policy: TrafficPolicy,
    /// The timeout in seconds if `spec.sessionAffinity` is ClientIP.
    pub affinity_timeout_s: Option<u32>,
    /// How packets' backends are chosen, if the Service says so.
    pub algorithm: Option<Algorithm>,
    /// `spec.healthCheckNodePort`, if not 0.
    pub health_check_node_port: Option<u16>,
    /// The label `service.kubernetes.io/service-proxy-name` or `.../headless` is present: another
    /// proxy's business.
    pub hidden: bool,
}

/// `spec.type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServiceType {
    /// The default.
    ClusterIp,
    /// ClusterIP and NodePorts.
    NodePort,
    /// All of it.
    LoadBalancer,
    /// DNS only.
    ExternalName,
}

/// How a flow's backend is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// By hash: the same on every node, and hardly any flow moves when other backends come and go.
    Maglev,
    /// Any.
    Random,
}

/// `internalTrafficPolicy`, `externalTrafficPolicy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TrafficPolicy {
    /// Endpoints anywhere.
    #[default]
    Cluster,
    /// Endpoints on this node only.
    Local,
}

/// One of `spec.ports`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// Its name; empty for a Service's only, nameless port.
    pub name: Arc<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// `port`.
    pub port: u16,
    /// `nodePort`, if not 0.
    pub node_port: Option<u16>,
}
