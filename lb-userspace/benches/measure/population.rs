//! Many services as objects in memory, as a source would hand them over.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
    sync::Arc,
};

use lb_common::Protocol;
use lb_userspace::model::{
    Conditions, Endpoint, EndpointSlice, Hints, IpFamily, Picture, Port, Service, ServiceName,
    ServiceType, SlicePort, TrafficPolicy,
};

/// The first of the ClusterIPs, of the endpoints and of load balancers' VIPs, and the networks they
/// have in IPv6; services and endpoints are counted on from here.
const SERVICES: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 96, 0, 0), 0x96);
const PODS: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 128, 0, 0), 0x128);
const VIPS: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 64, 0, 0), 0x64);
/// Nodes that the endpoints are on, in turn.
const NODES: u32 = 100;
/// A slice has no more endpoints than the API server admits.
const SLICE: usize = 1_000;
/// What a part of a name may have.
const LONGEST: usize = 63;

/// What all services of a picture look like: one TCP port, and this.
#[derive(Clone, Copy, Debug)]
pub struct Looks {
    /// Endpoints of each, in each family.
    pub endpoints: u32,
    /// Has IPv6, too.
    pub dual: bool,
    /// Has a load balancer's VIP, so that clients outside draw from its endpoints by hash.
    pub vip: bool,
    /// Has names as long as names may be.
    pub long: bool,
}

impl Looks {
    /// One ClusterIP, and so many endpoints.
    pub const fn plain(endpoints: u32) -> Self {
        Self { endpoints, dual: false, vip: false, long: false }
    }

    /// A service's name.
    pub fn name(&self, service: u32) -> ServiceName {
        if self.long {
            let longest = |begin: &str| format!("{begin:x<LONGEST$}");
            return ServiceName::new(&longest("namespace-"), &longest(&format!("s-{service:07}-")));
        }
        ServiceName::new("default", &format!("service-{service:05}"))
    }

    /// A slice of a service with the given endpoints.
    pub fn slice(
        &self,
        service: u32,
        family: IpFamily,
        endpoints: impl IntoIterator<Item = u32>,
    ) -> EndpointSlice {
        EndpointSlice {
            name: format!("service-{service:05}-{family:?}").into(),
            service: self.name(service),
            family,
            ports: vec![SlicePort { name: "http".into(), protocol: Protocol::Tcp, port: 8080 }],
            endpoints: endpoints.into_iter().map(|number| endpoint(family, number)).collect(),
        }
    }

    /// The families it has.
    pub fn families(&self) -> &'static [IpFamily] {
        if self.dual { &IpFamily::ALL } else { &[IpFamily::V4] }
    }

    /// The numbers of a service's endpoints.
    pub fn numbers(&self, service: u32) -> Range<u32> {
        service * self.endpoints..(service + 1) * self.endpoints
    }

    fn service(&self, number: u32) -> Service {
        let addresses =
            |first| self.families().iter().map(|family| address(first, *family, number)).collect();
        let port = Port { name: "http".into(), protocol: Protocol::Tcp, port: 80, node_port: None };
        Service {
            name: self.name(number),
            created_s: None,
            kind: if self.vip { ServiceType::LoadBalancer } else { ServiceType::ClusterIp },
            cluster_ips: addresses(SERVICES),
            external_ips: Vec::new(),
            load_balancer_ips: if self.vip { addresses(VIPS) } else { Vec::new() },
            source_ranges: Vec::new(),
            ports: vec![port],
            internal_policy: TrafficPolicy::Cluster,
            external_policy: TrafficPolicy::Cluster,
            affinity_timeout_s: None,
            algorithm: None,
            health_check_node_port: None,
            hidden: false,
        }
    }
}

/// So many services.
pub fn picture(services: u32, looks: &Looks) -> Picture {
    let mut picture = Picture::default();
    for number in 0..services {
        let name = looks.name(number);
        let mut slices = Vec::new();
        for family in looks.families() {
            let slice = |first| {
                let end = looks.numbers(number).end.min(first + SLICE as u32);
                Arc::new(looks.slice(number, *family, first..end))
            };
            slices.extend(looks.numbers(number).step_by(SLICE).map(slice));
        }
        picture.slices.insert(name.clone(), slices.into());
        picture.services.insert(name, Arc::new(looks.service(number)));
    }
    picture
}

fn endpoint(family: IpFamily, number: u32) -> Endpoint {
    Endpoint {
        address: address(PODS, family, number),
        conditions: Conditions { ready: true, serving: true, terminating: false },
        node: Some(format!("node-{}", number % NODES).into()),
        hints: Hints::default(),
        weight: 1,
    }
}

fn address((v4, v6): (Ipv4Addr, u16), family: IpFamily, number: u32) -> IpAddr {
    match family {
        IpFamily::V4 => Ipv4Addr::from_bits(v4.to_bits() + number).into(),
        IpFamily::V6 => {
            let [high, low] = [(number >> 16) as u16, number as u16];
            Ipv6Addr::new(0xfd00, v6, 0, 0, 0, 0, high, low).into()
        }
    }
}
