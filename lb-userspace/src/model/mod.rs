//! What should be: Services, EndpointSlices and the node as values, and what follows from them.
//!
//! Pure: no clock, no file, no kernel, no Kubernetes client. [`watch`](crate::watch) makes these
//! values, [`plan`](crate::plan) turns what follows from them into table content.

mod eligible;
mod endpoint;
mod frontends;
mod health;
mod node;
mod picture;
mod port;
mod rejection;
mod service;
#[cfg(test)]
pub(crate) mod testing;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

pub use endpoint::{Conditions, Endpoint, EndpointSlice, Hints, SlicePort};
pub use health::HealthCheck;
pub use node::Node;
pub use picture::{Picture, Slices};
pub use port::{Backend, Frontend, FrontendKind, PortId, ServicePort};
pub use rejection::Rejection;
pub use service::{Algorithm, IpFamily, Port, Service, ServiceName, ServiceType, TrafficPolicy};

/// Everything the agent knows of the outside, and the questions the planner asks about it.
///
/// Changes are answered with the names of the Services they concern, never with table content: who
/// collects names over several changes asks once for the newest state of each.
#[derive(Debug)]
pub struct Model {
    node: Node,
    primary: BTreeSet<IpAddr>,
    picture: Arc<Picture>,
}

impl Model {
    /// A model of nothing, seen from `node`.
    pub fn new(node: Node) -> Self {
        Self { node, primary: BTreeSet::new(), picture: Arc::default() }
    }

    /// Takes a source's complete view in place of the last one. Answers with the Services of which
    /// an object changed, appeared or vanished. The view is shared, not copied: with many Services
    /// a copy takes longer than everything else that a small change asks for.
    pub fn replace(&mut self, picture: Arc<Picture>) -> BTreeSet<ServiceName> {
        let changed = self.picture.differences(&picture);
        self.picture = picture;
        changed
    }

    /// Takes what is now known of the node. Answers with every Service if eligibility may have
    /// changed, with none otherwise.
    pub fn set_node(&mut self, node: Node) -> BTreeSet<ServiceName> {
        if self.node == node {
            return BTreeSet::new();
        }
        self.node = node;
        self.names().cloned().collect()
    }

    /// Takes the node's primary addresses, of either family. Answers with the Services that may
    /// ask for them, those with source ranges, if they changed.
    pub fn set_primary(&mut self, addresses: BTreeSet<IpAddr>) -> BTreeSet<ServiceName> {
        if self.primary == addresses {
            return BTreeSet::new();
        }
        self.primary = addresses;
        let services = self.picture.services.iter();
        let asking = services.filter(|(_, service)| !service.source_ranges.is_empty());
        asking.map(|(name, _)| name.clone()).collect()
    }

    /// The node this model is seen from.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The objects it follows from.
    pub fn picture(&self) -> &Arc<Picture> {
        &self.picture
    }

    /// Every Service there is, whether or not it leads to a [`ServicePort`], in order.
    pub fn names(&self) -> impl Iterator<Item = &ServiceName> {
        self.picture.services.keys()
    }

    /// What the tables should hold for a Service; empty if it does not exist, or is none of ours.
    pub fn service_ports(&self, name: &ServiceName) -> Vec<ServicePort> {
        let Some(service) = self.picture.services.get(name) else { return Vec::new() };
        let slices = self.picture.slices.get(name).map_or(&[][..], |slices| slices);
        frontends::families(service)
            .flat_map(|family| service.ports.iter().map(move |port| (family, port)))
            .map(|(family, port)| {
                port::service_port(service, port, family, slices, (&self.node, &self.primary))
            })
            .collect()
    }

    /// What a Service's `healthCheckNodePort` answers; `None` if it has none.
    pub fn health_check(&self, name: &ServiceName) -> Option<HealthCheck> {
        let service = self.picture.services.get(name)?;
        let slices = self.picture.slices.get(name).map_or(&[][..], |slices| slices);
        health::health_check(service, slices, &self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        testing::{endpoint, service, slice},
        *,
    };

    fn picture(services: &[(&str, u16)]) -> Arc<Picture> {
        let mut picture = Picture::default();
        for (name, port) in services {
            let built = service(name).cluster_ip("10.96.0.1").port("http", *port).build();
            let ends = slice(name).port("http", 80).endpoint(endpoint("10.1.0.1")).build();
            picture.slices.insert(built.name.clone(), [Arc::new(ends)].into());
            picture.services.insert(built.name.clone(), Arc::new(built));
        }
        Arc::new(picture)
    }

    #[track_caller]
    fn check(changed: BTreeSet<ServiceName>, expected: &[&str]) {
        let names: Vec<_> = changed.iter().map(|name| name.name.as_ref()).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_new_picture_names_what_differs() {
        let mut model = Model::new(Node::default());
        check(model.replace(picture(&[("a", 1), ("b", 1), ("c", 1)])), &["a", "b", "c"]);
        check(model.replace(picture(&[("a", 1), ("b", 1), ("c", 1)])), &[]);
        check(model.replace(picture(&[("a", 1), ("b", 2), ("d", 1)])), &["b", "c", "d"]);
        check(model.replace(Arc::default()), &["a", "b", "d"]);
    }

    #[test]
    fn a_slice_that_comes_changes_or_goes_names_its_service() {
        let mut model = Model::new(Node::default());
        let mut next = picture(&[("a", 1), ("b", 1)]);
        model.replace(next.clone());

        let (name, slices) = next.slices.get_min().unwrap().clone();
        let more = Arc::new(slice("a").port("http", 81).build());
        let slices = slices.iter().cloned().chain([more]).collect();
        Arc::make_mut(&mut next).slices.insert(name.clone(), slices);
        check(model.replace(next.clone()), &["a"]);

        Arc::make_mut(&mut next).slices.remove(&name);
        check(model.replace(next.clone()), &["a"]);
    }

    #[test]
    fn only_a_change_of_the_node_concerns_every_service() {
        let node = Node { name: "n1".into(), zone: None };
        let mut model = Model::new(node.clone());
        model.replace(picture(&[("a", 1), ("b", 1)]));
        check(model.set_node(node.clone()), &[]);
        check(model.set_node(Node { zone: Some("z".into()), ..node }), &["a", "b"]);
    }

    #[test]
    fn a_change_of_primary_addresses_concerns_services_with_source_ranges() {
        let mut model = Model::new(Node::default());
        let mut next = picture(&[("a", 1), ("b", 1)]);
        let ranged = service("b").cluster_ip("10.96.0.1").source_range("192.0.2.0/24").build();
        let name = ranged.name.clone();
        Arc::make_mut(&mut next).services.insert(name, Arc::new(ranged));
        model.replace(next);
        let addresses: BTreeSet<IpAddr> = [[192, 0, 2, 1].into()].into();
        check(model.set_primary(addresses.clone()), &["b"]);
        check(model.set_primary(addresses), &[]);
    }

    #[test]
    fn a_service_has_a_row_for_each_port_in_each_family() {
        let built = service("web")
            .cluster_ip("10.96.0.1")
            .cluster_ip("fd00::1")
            .port("http", 80)
            .udp_port("dns", 53)
            .build();
        let name = built.name.clone();
        let mut model = Model::new(Node::default());
        let services = [(name.clone(), Arc::new(built))].into_iter().collect();
        model.replace(Arc::new(Picture { services, ..Picture::default() }));
        let ids: Vec<_> = model
            .service_ports(&name)
            .into_iter()
            .map(|port| format!("{} {} {:?}", port.id.port, port.id.protocol, port.id.family))
            .collect();
        assert_eq!(ids, ["http TCP V4", "dns UDP V4", "http TCP V6", "dns UDP V6"]);
        assert_eq!(model.service_ports(&ServiceName::new("default", "other")), []);
    }
}
