//! Service ports, as the model would hand them to the planner.

use std::net::{IpAddr, SocketAddr};

use lb_common::Protocol;
use lb_userspace::model::{
    Backend, Frontend, FrontendKind, IpFamily, PortId, ServiceName, ServicePort,
};

/// A service port under construction.
pub struct Port(ServicePort);

/// A port of Service `default/<name>` that answers nowhere and has no endpoint.
pub fn port(name: &str, protocol: Protocol, family: IpFamily) -> Port {
    Port(ServicePort {
        id: PortId {
            service: ServiceName::new("default", name),
            port: "".into(),
            protocol,
            family,
        },
        created_s: None,
        frontends: Vec::new(),
        backends: Vec::new(),
        internal_local: false,
        external_local: false,
        hash_cluster: false,
        hash_local: false,
        affinity_timeout_s: None,
        source_ranges: Vec::new(),
    })
}

impl Port {
    /// Answers at an address.
    pub fn at(mut self, kind: FrontendKind, at: SocketAddr) -> Self {
        let address = (kind != FrontendKind::NodePort).then(|| at.ip());
        self.0.frontends.push(Frontend { kind, address, port: at.port() });
        self
    }

    /// Has an endpoint on this node.
    pub fn local(self, at: SocketAddr) -> Self {
        let in_local = self.0.external_local || self.0.internal_local;
        self.backend(at, true, in_local)
    }

    /// Has an endpoint on another node, or on a node that its slice does not name.
    pub fn elsewhere(self, at: SocketAddr) -> Self {
        self.backend(at, false, false)
    }

    /// Has an endpoint on this node that serves but is in no list.
    pub fn serving(mut self, at: SocketAddr) -> Self {
        self = self.local(at);
        if let Some(backend) = self.0.backends.last_mut() {
            (backend.in_cluster, backend.in_local) = (false, false);
        }
        self
    }

    /// The endpoint added last has a weight.
    pub fn weight(mut self, weight: u16) -> Self {
        if let Some(backend) = self.0.backends.last_mut() {
            backend.weight = weight;
        }
        self
    }

    /// Packets draw by hash.
    pub fn hashed(mut self) -> Self {
        self.0.hash_local = self.0.external_local;
        self.0.hash_cluster = !self.0.external_local;
        self
    }

    fn backend(mut self, at: SocketAddr, local: bool, in_local: bool) -> Self {
        let (address, port) = (at.ip(), at.port());
        let backend = Backend { address, port, local, in_cluster: true, in_local, weight: 1 };
        self.0.backends.push(backend);
        self
    }

    /// `internalTrafficPolicy: Local`; before endpoints are added.
    pub fn internal_local(mut self) -> Self {
        self.0.internal_local = true;
        self
    }

    /// `externalTrafficPolicy: Local`; before endpoints are added.
    pub fn external_local(mut self) -> Self {
        self.0.external_local = true;
        self
    }

    /// `sessionAffinity: ClientIP`.
    pub fn affinity(mut self, timeout_s: u32) -> Self {
        self.0.affinity_timeout_s = Some(timeout_s);
        self
    }

    /// `loadBalancerSourceRanges`.
    pub fn source_range(mut self, range: &str) -> Self {
        self.0.source_ranges.push(range.parse().unwrap());
        self
    }

    /// As the planner takes it.
    pub fn build(self) -> ServicePort {
        self.0
    }
}

/// The family of an address.
pub fn family_of(address: IpAddr) -> IpFamily {
    IpFamily::of(address)
}
