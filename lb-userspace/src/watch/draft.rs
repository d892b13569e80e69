//! Objects as their author wrote them: model values plus what an API server or a controller would
//! still fill in.
//!
//! Made by [`convert`](super::convert). The Kubernetes source needs only the model value inside;
//! the folder source completes the rest with [`allot`](super::allot) and
//! [`selector`](super::selector).

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use lb_common::Protocol;

use crate::model::{EndpointSlice, IpFamily, Service, ServiceName};

/// A Service and what is left open in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceDraft {
    /// As far as the object says.
    pub service: Arc<Service>,
    /// Not headless and not ExternalName: it is to have ClusterIPs.
    pub proxied: bool,
    /// `spec.ipFamilies`.
    pub families: Vec<IpFamily>,
    /// `spec.ipFamilyPolicy`.
    pub family_policy: FamilyPolicy,
    /// `spec.selector`; empty: none.
    pub selector: BTreeMap<String, String>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready: bool,
    /// For each of the service's ports, in the same order.
    pub ports: Vec<PortDraft>,
}

/// `spec.ipFamilyPolicy`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FamilyPolicy {
    /// One family; the default.
    #[default]
    SingleStack,
    /// Both where the cluster has both.
    PreferDualStack,
    /// Both or nothing.
    RequireDualStack,
}

/// What is left open in a Service's port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortDraft {
    /// Its position in `spec.ports`, for messages.
    pub index: usize,
    /// `targetPort`.
    pub target: Target,
    /// The type asks for a NodePort and none is given.
    pub wants_node_port: bool,
}

/// `targetPort`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A number; the port's own if nothing is said.
    Number(u16),
    /// The name of a container port, looked up pod by pod.
    Name(Arc<str>),
}

/// An Endpoints object, as the slices that would mirror it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointsDraft {
    /// Its own name and its Service's.
    pub name: ServiceName,
    /// What the mirroring controller would make of it.
    pub slices: Vec<EndpointSlice>,
}

/// A Pod, reduced to what makes it an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodDraft {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// One address a family at most.
    pub addresses: Vec<IpAddr>,
    /// `spec.nodeName`.
    pub node: Option<Arc<str>>,
    /// Condition Ready; a pod with an address and without any condition counts as ready.
    pub ready: bool,
    /// It has a deletionTimestamp.
    pub terminating: bool,
    /// Phase Succeeded or Failed: no longer an endpoint.
    pub finished: bool,
    /// Named ports of its containers.
    pub ports: Vec<ContainerPort>,
}

/// A named container port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerPort {
    /// Its name.
    pub name: Arc<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The number.
    pub port: u16,
}
