//! One port of one Service in one family: what the tables have a row for.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use lb_common::Protocol;

use super::{
    Algorithm, EndpointSlice, IpFamily, Node, Port, Service, ServiceName, TrafficPolicy, eligible,
    frontends,
};

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
    /// Packets draw from the cluster list by hash.
    pub hash_cluster: bool,
    /// Packets draw from the local list by hash.
    pub hash_local: bool,
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
    /// Its share of new flows beside the others; 0: none, so that it is in no list.
    pub weight: u16,
}

/// What follows for one port of a Service in a family it exists in.
pub(super) fn service_port(
    service: &Service,
    port: &Port,
    family: IpFamily,
    slices: &[Arc<EndpointSlice>],
    (node, primary): (&Node, &BTreeSet<IpAddr>),
) -> ServicePort {
    let frontends = frontends::frontends(service, port, family);
    let internal_local = service.internal_policy == TrafficPolicy::Local;
    let external_local =
        service.external_policy == TrafficPolicy::Local && frontends::external(&frontends);
    let with_local = internal_local || external_local;
    let [hash_cluster, hash_local] = hashed(service, &frontends, internal_local, external_local);
    ServicePort {
        id: PortId {
            service: service.name.clone(),
            port: port.name.clone(),
            protocol: port.protocol,
            family,
        },
        created_s: service.created_s,
        backends: eligible::backends(slices, port, family, node, with_local),
        internal_local,
        external_local,
        hash_cluster,
        hash_local,
        affinity_timeout_s: service.affinity_timeout_s,
        source_ranges: source_ranges(service, &frontends, family, primary),
        frontends,
    }
}

/// Whether packets draw by hash from the cluster list, and from the local list: where nothing else
/// is asked for, from the list of the frontends that clients outside call.
fn hashed(
    service: &Service,
    frontends: &[Frontend],
    internal_local: bool,
    external_local: bool,
) -> [bool; 2] {
    let outside = frontends::external(frontends);
    let inside = service.algorithm == Some(Algorithm::Maglev)
        && frontends.iter().any(|frontend| frontend.kind == FrontendKind::ClusterIp);
    if service.algorithm == Some(Algorithm::Random) {
        return [false; 2];
    }
    let by = |local| (outside && external_local == local) || (inside && internal_local == local);
    [by(false), by(true)]
}

/// The ranges that filter this port's load-balancer VIPs. A range of one family says nothing about
/// the other: a family without a range is open.
///
/// Where the node itself is let in, so are calls that come from one of the VIPs: the node's own, if
/// it has the VIP on a device and so calls from it.
fn source_ranges(
    service: &Service,
    frontends: &[Frontend],
    family: IpFamily,
    primary: &BTreeSet<IpAddr>,
) -> Vec<IpNet> {
    let vips = || {
        let vips = frontends.iter().filter(|at| at.kind == FrontendKind::LoadBalancer);
        vips.filter_map(|at| at.address)
    };
    if vips().next().is_none() {
        return Vec::new();
    }
    let mut ranges: Vec<_> = service
        .source_ranges
        .iter()
        .filter(|range| IpFamily::of(range.addr()) == family)
        .map(IpNet::trunc)
        .collect();
    if ranges.iter().any(|range| primary.iter().any(|own| range.contains(own))) {
        ranges.extend(vips().map(IpNet::from));
    }
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            ServiceType,
            testing::{ServiceBuilder, service},
        },
        *,
    };

    /// On a node with these primary addresses.
    const PRIMARY: [&str; 2] = ["192.168.50.11", "fd00:50::11"];

    fn ports(given: ServiceBuilder) -> Vec<ServicePort> {
        let given = given.build();
        let node = Node::default();
        let primary = PRIMARY.iter().map(|address| address.parse().unwrap()).collect();
        frontends::families(&given)
            .map(|family| service_port(&given, &given.ports[0], family, &[], (&node, &primary)))
            .collect()
    }

    #[track_caller]
    fn check_policies(given: ServiceBuilder, internal_local: bool, external_local: bool) {
        let given = ports(given.cluster_ip("10.96.0.1"));
        assert_eq!(
            (given[0].internal_local, given[0].external_local),
            (internal_local, external_local)
        );
    }

    #[test]
    fn the_external_policy_needs_a_way_in_from_outside() {
        let local = || service("web").external_policy(TrafficPolicy::Local).port("http", 80);
        check_policies(local(), false, false);
        check_policies(local().external_ip("192.0.2.7"), false, true);
        check_policies(local().external_ip("2001:db8::7"), false, false);
        check_policies(local().load_balancer_ip("192.0.2.7"), false, true);
        check_policies(local().kind(ServiceType::NodePort).node_port(30000), false, true);
        check_policies(service("web").port("http", 80).external_ip("192.0.2.7"), false, false);
    }

    #[test]
    fn the_internal_policy_stands_alone() {
        let local = || service("web").internal_policy(TrafficPolicy::Local).port("http", 80);
        check_policies(local(), true, false);
        check_policies(local().external_ip("192.0.2.7"), true, false);
    }

    #[track_caller]
    fn check_hashed(given: ServiceBuilder, expected: [bool; 2]) {
        let port = &ports(given.cluster_ip("10.96.0.1"))[0];
        assert_eq!([port.hash_cluster, port.hash_local], expected);
    }

    #[test]
    fn flows_from_outside_are_spread_by_hash_unless_the_service_says_otherwise() {
        let inside = || service("web").port("http", 80);
        let outside = || inside().kind(ServiceType::NodePort).node_port(30000);
        check_hashed(inside(), [false, false]);
        check_hashed(outside(), [true, false]);
        check_hashed(outside().external_policy(TrafficPolicy::Local), [false, true]);
        check_hashed(outside().internal_policy(TrafficPolicy::Local), [true, false]);
        check_hashed(outside().algorithm(Algorithm::Random), [false, false]);
        check_hashed(inside().external_ip("192.0.2.7"), [true, false]);
    }

    #[test]
    fn a_service_that_asks_for_hashing_has_it_at_its_cluster_ip_too() {
        let inside = || service("web").port("http", 80).algorithm(Algorithm::Maglev);
        let outside = || inside().kind(ServiceType::NodePort).node_port(30000);
        check_hashed(inside(), [true, false]);
        check_hashed(inside().internal_policy(TrafficPolicy::Local), [false, true]);
        check_hashed(outside().external_policy(TrafficPolicy::Local), [true, true]);
        check_hashed(outside().internal_policy(TrafficPolicy::Local), [true, true]);
    }

    #[track_caller]
    fn check_ranges(given: ServiceBuilder, expected: &[&[&str]]) {
        let found: Vec<Vec<String>> = ports(given.cluster_ip("10.96.0.1").cluster_ip("fd00::1"))
            .iter()
            .map(|port| port.source_ranges.iter().map(IpNet::to_string).collect())
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn source_ranges_filter_the_vips_of_their_own_family() {
        let vips = || {
            service("web")
                .kind(ServiceType::LoadBalancer)
                .load_balancer_ip("198.51.100.1")
                .load_balancer_ip("2001:db8::1")
                .port("http", 80)
        };
        check_ranges(vips(), &[&[], &[]]);
        check_ranges(vips().source_range("10.0.0.0/8"), &[&["10.0.0.0/8"], &[]]);
        check_ranges(
            vips()
                .source_range("192.0.2.9/24")
                .source_range("fd01::/16")
                .source_range("10.0.0.0/8"),
            &[&["10.0.0.0/8", "192.0.2.0/24"], &["fd01::/16"]],
        );
    }

    #[test]
    fn a_range_with_the_node_in_it_lets_calls_from_the_vips_of_that_family_in() {
        let vips = || {
            service("web")
                .kind(ServiceType::LoadBalancer)
                .load_balancer_ip("198.51.100.1")
                .load_balancer_ip("2001:db8::1")
                .port("http", 80)
        };
        check_ranges(
            vips().source_range("192.168.50.0/24").source_range("fd00:51::/64"),
            &[&["192.168.50.0/24", "198.51.100.1/32"], &["fd00:51::/64"]],
        );
        check_ranges(
            vips().source_range("fd00:50::11/128"),
            &[&[], &["2001:db8::1/128", "fd00:50::11/128"]],
        );
        check_ranges(vips().source_range("192.168.50.12/32"), &[&["192.168.50.12/32"], &[]]);
    }

    #[test]
    fn source_ranges_without_a_vip_filter_nothing() {
        check_ranges(
            service("web").external_ip("192.0.2.7").port("http", 80).source_range("10.0.0.0/8"),
            &[&[], &[]],
        );
    }
}
