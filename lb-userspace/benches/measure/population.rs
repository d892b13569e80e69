//! Many services as objects in memory, as a source would hand them over.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use lb_common::Protocol;
use lb_userspace::model::{
    Conditions, Endpoint, EndpointSlice, Hints, IpFamily, Picture, Port, Service, ServiceName,
    ServiceType, SlicePort, TrafficPolicy,
};

/// The first of the ClusterIPs and of the endpoints; service and endpoint are counted on from here.
const SERVICES: u32 = u32::from_be_bytes([10, 96, 0, 0]);
const PODS: u32 = u32::from_be_bytes([10, 128, 0, 0]);
/// Nodes that the endpoints are on, in turn.
const NODES: u32 = 100;

/// So many services with so many endpoints each: one TCP port, one ClusterIP.
pub fn picture(services: u32, endpoints: u32) -> Picture {
    let mut picture = Picture::default();
    for number in 0..services {
        let first = number * endpoints;
        let slice = slice(number, first..first + endpoints);
        let service = service(number);
        picture.slices.insert(service.name.clone(), [Arc::new(slice)].into());
        picture.services.insert(service.name.clone(), Arc::new(service));
    }
    picture
}

/// A service's name.
pub fn name(service: u32) -> ServiceName {
    ServiceName::new("default", &format!("service-{service:05}"))
}

/// The slice of a service with the given endpoints.
pub fn slice(service: u32, endpoints: impl IntoIterator<Item = u32>) -> EndpointSlice {
    EndpointSlice {
        name: format!("service-{service:05}-1").into(),
        service: name(service),
        family: IpFamily::V4,
        ports: vec![SlicePort { name: "http".into(), protocol: Protocol::Tcp, port: 8080 }],
        endpoints: endpoints.into_iter().map(endpoint).collect(),
    }
}

fn endpoint(number: u32) -> Endpoint {
    Endpoint {
        address: address(PODS, number),
        conditions: Conditions { ready: true, serving: true, terminating: false },
        node: Some(format!("node-{}", number % NODES).into()),
        hints: Hints::default(),
        weight: 1,
    }
}

fn service(number: u32) -> Service {
    Service {
        name: name(number),
        created_s: None,
        kind: ServiceType::ClusterIp,
        cluster_ips: vec![address(SERVICES, number)],
        external_ips: Vec::new(),
        load_balancer_ips: Vec::new(),
        source_ranges: Vec::new(),
        ports: vec![Port {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            node_port: None,
        }],
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        affinity_timeout_s: None,
        algorithm: None,
        health_check_node_port: None,
        hidden: false,
    }
}

fn address(first: u32, number: u32) -> IpAddr {
    Ipv4Addr::from_bits(first + number).into()
}
