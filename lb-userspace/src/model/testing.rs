//! Builders for tests: only what a case is about has to be said.

use std::{net::IpAddr, sync::Arc};

use lb_common::Protocol;

use super::{
    Algorithm, Conditions, Endpoint, EndpointSlice, Hints, IpFamily, Port, Service, ServiceName,
    ServiceType, SlicePort, TrafficPolicy,
};

/// A Service `default/name` of type ClusterIP, headless until an address is added.
pub(crate) fn service(name: &str) -> ServiceBuilder {
    ServiceBuilder(Service {
        name: ServiceName::new("default", name),
        created_s: None,
        kind: ServiceType::ClusterIp,
        cluster_ips: Vec::new(),
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: Vec::new(),
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        affinity_timeout_s: None,
        algorithm: None,
        health_check_node_port: None,
        hidden: false,
    })
}

/// See [`service`].
pub(crate) struct ServiceBuilder(Service);

impl ServiceBuilder {
    pub(crate) fn kind(mut self, kind: ServiceType) -> Self {
        self.0.kind = kind;
        self
    }

    pub(crate) fn hidden(mut self) -> Self {
        self.0.hidden = true;
        self
    }

    pub(crate) fn cluster_ip(mut self, address: &str) -> Self {
        self.0.cluster_ips.push(address.parse().unwrap());
        self
    }

    pub(crate) fn external_ip(mut self, address: &str) -> Self {
        self.0.external_ips.push(address.parse().unwrap());
        self
    }

    pub(crate) fn load_balancer_ip(mut self, address: &str) -> Self {
        self.0.load_balancer_ips.push(address.parse().unwrap());
        self
    }

    pub(crate) fn source_range(mut self, range: &str) -> Self {
        self.0.source_ranges.push(range.parse().unwrap());
        self
    }

    pub(crate) fn internal_policy(mut self, policy: TrafficPolicy) -> Self {
        self.0.internal_policy = policy;
        self
    }

    pub(crate) fn external_policy(mut self, policy: TrafficPolicy) -> Self {
        self.0.external_policy = policy;
        self
    }

    pub(crate) fn health_check_port(mut self, port: u16) -> Self {
        self.0.health_check_node_port = Some(port);
        self
    }

    pub(crate) fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.0.algorithm = Some(algorithm);
        self
    }

    pub(crate) fn port(self, name: &str, port: u16) -> Self {
        self.any_port(name, Protocol::Tcp, port)
    }

    pub(crate) fn udp_port(self, name: &str, port: u16) -> Self {
        self.any_port(name, Protocol::Udp, port)
    }

    fn any_port(mut self, name: &str, protocol: Protocol, port: u16) -> Self {
        self.0.ports.push(Port { name: name.into(), protocol, port, node_port: None });
        self
    }

    /// The NodePort of the port added last.
    pub(crate) fn node_port(mut self, port: u16) -> Self {
        self.0.ports.last_mut().unwrap().node_port = Some(port);
        self
    }

    pub(crate) fn build(self) -> Service {
        self.0
    }
}

/// An IPv4 EndpointSlice `service-1` of Service `default/service`.
pub(crate) fn slice(service: &str) -> SliceBuilder {
    SliceBuilder(EndpointSlice {
        name: format!("{service}-1").into(),
        service: ServiceName::new("default", service),
        family: IpFamily::V4,
        ports: Vec::new(),
        endpoints: Vec::new(),
    })
}

/// See [`slice`].
pub(crate) struct SliceBuilder(EndpointSlice);

impl SliceBuilder {
    pub(crate) fn name(mut self, name: &str) -> Self {
        self.0.name = name.into();
        self
    }

    pub(crate) fn ipv6(mut self) -> Self {
        self.0.family = IpFamily::V6;
        self
    }

    pub(crate) fn port(self, name: &str, port: u16) -> Self {
        self.any_port(name, Protocol::Tcp, port)
    }

    pub(crate) fn udp_port(self, name: &str, port: u16) -> Self {
        self.any_port(name, Protocol::Udp, port)
    }

    fn any_port(mut self, name: &str, protocol: Protocol, port: u16) -> Self {
        self.0.ports.push(SlicePort { name: name.into(), protocol, port });
        self
    }

    pub(crate) fn endpoint(mut self, endpoint: EndpointBuilder) -> Self {
        self.0.endpoints.push(endpoint.0);
        self
    }

    pub(crate) fn build(self) -> EndpointSlice {
        self.0
    }
}

/// A ready endpoint without node and hints.
pub(crate) fn endpoint(address: &str) -> EndpointBuilder {
    EndpointBuilder(Endpoint {
        address: address.parse::<IpAddr>().unwrap(),
        conditions: Conditions { ready: true, serving: true, terminating: false },
        node: None,
        hints: Hints::default(),
        weight: 1,
    })
}

/// See [`endpoint`].
pub(crate) struct EndpointBuilder(Endpoint);

impl EndpointBuilder {
    pub(crate) fn unready(mut self) -> Self {
        self.0.conditions = Conditions { ready: false, serving: false, terminating: false };
        self
    }

    /// Going away, but still answering.
    pub(crate) fn terminating(mut self) -> Self {
        self.0.conditions = Conditions { ready: false, serving: true, terminating: true };
        self
    }

    /// Going away, and no longer answering.
    pub(crate) fn gone(mut self) -> Self {
        self.0.conditions = Conditions { ready: false, serving: false, terminating: true };
        self
    }

    pub(crate) fn conditions(mut self, ready: bool, serving: bool, terminating: bool) -> Self {
        self.0.conditions = Conditions { ready, serving, terminating };
        self
    }

    pub(crate) fn node(mut self, name: &str) -> Self {
        self.0.node = Some(name.into());
        self
    }

    pub(crate) fn weight(mut self, weight: u16) -> Self {
        self.0.weight = weight;
        self
    }

    pub(crate) fn for_nodes(mut self, names: &[&str]) -> Self {
        self.0.hints.nodes = names.iter().map(|name| Arc::from(*name)).collect();
        self
    }

    pub(crate) fn for_zones(mut self, names: &[&str]) -> Self {
        self.0.hints.zones = names.iter().map(|name| Arc::from(*name)).collect();
        self
    }
}
