//! An EndpointSlice, reduced to the fields a proxy reads.

use std::{net::IpAddr, sync::Arc};

use lb_common::Protocol;

use super::{IpFamily, ServiceName};

/// An EndpointSlice that belongs to a Service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointSlice {
    /// Its own name, unique in the Service's namespace.
    pub name: Arc<str>,
    /// The Service named by the label `kubernetes.io/service-name`.
    pub service: ServiceName,
    /// `addressType`.
    pub family: IpFamily,
    /// `ports`, without those that have no name or no number.
    pub ports: Vec<SlicePort>,
    /// `endpoints`.
    pub endpoints: Vec<Endpoint>,
}

/// One of a slice's ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlicePort {
    /// Joined with the Service port of the same name and protocol.
    pub name: Arc<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The resolved number.
    pub port: u16,
}

/// One of a slice's endpoints.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The first of its addresses.
    pub address: IpAddr,
    /// `conditions`, defaults filled in.
    pub conditions: Conditions,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// `hints`.
    pub hints: Hints,
    /// Its share of new flows beside the others of its Service, 1 if nothing is said; 0: none.
    pub weight: u16,
}

/// An endpoint's conditions; absent ones are ready, serving and not terminating.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conditions {
    /// Ready.
    pub ready: bool,
    /// Serving: ready, terminating or not.
    pub serving: bool,
    /// Terminating.
    pub terminating: bool,
}

/// Topology hints.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hints {
    /// `forZones`.
    pub zones: Vec<Arc<str>>,
    /// `forNodes`.
    pub nodes: Vec<Arc<str>>,
}
