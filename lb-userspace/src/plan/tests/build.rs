//! Service ports for tests, and a planner together with the tables it plans for.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use lb_common::Protocol;

use super::{super::*, image::Image};
use crate::model::{
    Backend, Frontend, FrontendKind, IpFamily, PortId, Rejection, ServiceName, ServicePort,
};

/// TCP over IPv4, port `name` of Service `default/service`, answering nowhere.
pub(super) fn port(service: &str, name: &str) -> PortBuilder {
    PortBuilder(ServicePort {
        id: PortId {
            service: ServiceName::new("default", service),
            port: name.into(),
            protocol: Protocol::Tcp,
            family: IpFamily::V4,
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

#[derive(Clone)]
pub(super) struct PortBuilder(pub(super) ServicePort);

impl PortBuilder {
    pub(super) fn udp(mut self) -> Self {
        self.0.id.protocol = Protocol::Udp;
        self
    }

    pub(super) fn ipv6(mut self) -> Self {
        self.0.id.family = IpFamily::V6;
        self
    }

    pub(super) fn created(mut self, seconds: i64) -> Self {
        self.0.created_s = Some(seconds);
        self
    }

    pub(super) fn at(mut self, kind: FrontendKind, address: &str, port: u16) -> Self {
        let address = (!address.is_empty()).then(|| address.parse::<IpAddr>().unwrap());
        self.0.frontends.push(Frontend { kind, address, port });
        self
    }

    pub(super) fn cluster_ip(self, address: &str, port: u16) -> Self {
        self.at(FrontendKind::ClusterIp, address, port)
    }

    pub(super) fn external_ip(self, address: &str, port: u16) -> Self {
        self.at(FrontendKind::ExternalIp, address, port)
    }

    pub(super) fn vip(self, address: &str, port: u16) -> Self {
        self.at(FrontendKind::LoadBalancer, address, port)
    }

    pub(super) fn node_port(self, port: u16) -> Self {
        self.at(FrontendKind::NodePort, "", port)
    }

    /// With `C` in the cluster list, with `L` in the local list, with `@` on this node.
    pub(super) fn backend(mut self, address: &str, lists: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        self.0.backends.push(Backend {
            address: address.ip(),
            port: address.port(),
            local: lists.contains('@'),
            in_cluster: lists.contains('C'),
            in_local: lists.contains('L'),
            weight: 1,
        });
        self
    }

    /// As [`Self::backend`], with a weight.
    pub(super) fn weighted(mut self, address: &str, lists: &str, weight: u16) -> Self {
        self = self.backend(address, lists);
        self.0.backends.last_mut().unwrap().weight = weight;
        self
    }

    /// With `C` the cluster list is drawn from by hash, with `L` the local list.
    pub(super) fn hashed(mut self, lists: &str) -> Self {
        self.0.hash_cluster = lists.contains('C');
        self.0.hash_local = lists.contains('L');
        self
    }

    pub(super) fn source_range(mut self, range: &str) -> Self {
        self.0.source_ranges.push(range.parse().unwrap());
        self
    }

    pub(super) fn affinity(mut self, seconds: u32) -> Self {
        self.0.affinity_timeout_s = Some(seconds);
        self
    }

    pub(super) fn internal_local(mut self) -> Self {
        self.0.internal_local = true;
        self
    }

    pub(super) fn external_local(mut self) -> Self {
        self.0.external_local = true;
        self
    }
}

/// Ports by Service, as [`Planner::plan`] takes them.
pub(super) fn wanted(
    ports: impl IntoIterator<Item = PortBuilder>,
) -> BTreeMap<ServiceName, Vec<ServicePort>> {
    let mut services: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for PortBuilder(port) in ports {
        services.entry(port.id.service.clone()).or_default().push(port);
    }
    services
}

/// A Service that is gone.
pub(super) fn gone(service: &str) -> (ServiceName, Vec<ServicePort>) {
    (ServiceName::new("default", service), Vec::new())
}

/// A planner and the tables, which are checked after every operation.
pub(super) struct Bench {
    pub(super) planner: Planner,
    pub(super) image: Image,
    pub(super) retired: Retired,
}

impl Bench {
    pub(super) fn new(capacities: Capacities) -> Self {
        Self {
            planner: Planner::new(capacities),
            image: Image::new(capacities),
            retired: Retired::default(),
        }
    }

    /// Plans and performs, its retired places set aside. Answers with the plan as text.
    pub(super) fn plan(
        &mut self,
        wanted: impl IntoIterator<Item = (ServiceName, Vec<ServicePort>)>,
    ) -> String {
        let plan = self.planner.plan(wanted);
        self.perform(plan)
    }

    pub(super) fn perform(&mut self, mut plan: Plan) -> String {
        for op in &plan.ops {
            self.image.apply(op);
            self.image.check_readers();
        }
        self.retired.merge(std::mem::take(&mut plan.retired));
        plan.to_string()
    }

    /// Ends the grace period of everything set aside, and plans what that makes possible.
    pub(super) fn settle(&mut self) -> String {
        let mut text = String::new();
        loop {
            self.image.end_grace_period();
            if !self.planner.release(std::mem::take(&mut self.retired)) {
                return text;
            }
            text += &self.plan([]);
        }
    }

    /// Everything planned makes the tables hold just this, and nothing is lost or left over.
    #[track_caller]
    pub(super) fn check(&self, wanted: &BTreeMap<ServiceName, Vec<ServicePort>>) {
        assert_eq!(self.image.view(), super::image::expected_view(wanted));
        assert_eq!(self.planner.usage(), self.image.usage());
    }

    pub(super) fn rejections(&self) -> Vec<String> {
        self.planner.rejections().map(Rejection::to_string).collect()
    }
}
