//! What a load balancer outside asks this node about one Service: is there an endpoint here.

use std::{collections::BTreeSet, sync::Arc};

use super::{EndpointSlice, Node, Service, ServiceType, TrafficPolicy, frontends};

/// What is answered on a Service's `healthCheckNodePort`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthCheck {
    /// The port.
    pub port: u16,
    /// Addresses of Ready endpoints on this node, each counted once however many ports it has. One
    /// that is terminating is not Ready, though traffic may still be sent to it: load balancers are
    /// to turn away before it is gone.
    pub local_endpoints: u32,
}

/// The health check that a Service asks for; `None` if it asks for none or is none of ours.
pub(super) fn health_check(
    service: &Service,
    slices: &[Arc<EndpointSlice>],
    node: &Node,
) -> Option<HealthCheck> {
    let wanted = service.kind == ServiceType::LoadBalancer
        && service.external_policy == TrafficPolicy::Local
        && frontends::families(service).next().is_some();
    let port = service.health_check_node_port.filter(|port| wanted && *port > 0)?;
    let addresses: BTreeSet<_> = slices
        .iter()
        .filter(|slice| !slice.ports.is_empty())
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| endpoint.conditions.ready)
        .filter(|endpoint| endpoint.node.as_ref().is_some_and(|name| *name == node.name))
        .map(|endpoint| endpoint.address)
        .collect();
    Some(HealthCheck { port, local_endpoints: addresses.len() as u32 })
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{EndpointBuilder, ServiceBuilder, SliceBuilder, endpoint, service, slice},
        *,
    };

    fn balanced() -> ServiceBuilder {
        let service = service("web").kind(ServiceType::LoadBalancer).cluster_ip("10.96.0.1");
        service.external_policy(TrafficPolicy::Local).port("http", 80).health_check_port(30100)
    }

    fn here(address: &str) -> EndpointBuilder {
        endpoint(address).node("n1")
    }

    #[track_caller]
    fn check(service: ServiceBuilder, slices: Vec<SliceBuilder>, expected: Option<u32>) {
        let slices: Vec<_> = slices.into_iter().map(|slice| Arc::new(slice.build())).collect();
        let node = Node { name: "n1".into(), zone: None };
        let found = health_check(&service.build(), &slices, &node);
        let expected = expected.map(|local_endpoints| HealthCheck { port: 30100, local_endpoints });
        assert_eq!(found, expected);
    }

    #[test]
    fn only_a_load_balancer_with_policy_local_is_checked() {
        check(balanced(), vec![], Some(0));
        check(balanced().kind(ServiceType::NodePort), vec![], None);
        check(balanced().kind(ServiceType::ExternalName), vec![], None);
        check(balanced().external_policy(TrafficPolicy::Cluster), vec![], None);
        check(balanced().health_check_port(0), vec![], None);
        check(balanced().hidden(), vec![], None);
    }

    #[test]
    fn ready_endpoints_of_this_node_count_once_an_address() {
        let http = || slice("web").port("http", 8080);
        check(balanced(), vec![http().endpoint(here("10.1.0.1"))], Some(1));
        check(balanced(), vec![http().endpoint(here("10.1.0.1").terminating())], Some(0));
        check(balanced(), vec![http().endpoint(here("10.1.0.1").unready())], Some(0));
        check(balanced(), vec![http().endpoint(endpoint("10.1.0.1").node("n2"))], Some(0));
        check(balanced(), vec![http().endpoint(endpoint("10.1.0.1"))], Some(0));
        let dns = slice("web").name("web-2").udp_port("dns", 53);
        let twice = vec![
            http().port("more", 9090).endpoint(here("10.1.0.1")).endpoint(here("10.1.0.2")),
            dns.endpoint(here("10.1.0.1")),
        ];
        check(balanced(), twice, Some(2));
        check(balanced(), vec![slice("web").endpoint(here("10.1.0.1"))], Some(0));
    }
}
