//! Every address and port a Service answers on.
//!
//! What becomes of two Services that claim the same one is not decided here: only the planner sees
//! them all.

use std::net::IpAddr;

use super::{Frontend, FrontendKind, IpFamily, Port, Service, ServiceType};

/// The families in which a Service exists: those it has a clusterIP of, if it is ours at all.
pub(super) fn families(service: &Service) -> impl Iterator<Item = IpFamily> {
    let ours = !service.hidden && service.kind != ServiceType::ExternalName;
    IpFamily::ALL
        .into_iter()
        .filter(move |family| ours && of_family(&service.cluster_ips, *family).next().is_some())
}

/// Where `port` of a Service answers in a family it exists in; unique by address and port.
pub(super) fn frontends(service: &Service, port: &Port, family: IpFamily) -> Vec<Frontend> {
    // An address listed twice answers as what comes first here: the load-balancer VIP goes before
    // the external IP because it is the one that source ranges apply to.
    let listed = [
        (FrontendKind::ClusterIp, &service.cluster_ips),
        (FrontendKind::LoadBalancer, &service.load_balancer_ips),
        (FrontendKind::ExternalIp, &service.external_ips),
    ];
    let mut frontends: Vec<Frontend> = Vec::new();
    for (kind, addresses) in listed {
        for address in of_family(addresses, family) {
            if frontends.iter().all(|earlier| earlier.address != Some(address)) {
                frontends.push(Frontend { kind, address: Some(address), port: port.port });
            }
        }
    }
    if matches!(service.kind, ServiceType::NodePort | ServiceType::LoadBalancer)
        && let Some(port) = port.node_port
    {
        frontends.push(Frontend { kind: FrontendKind::NodePort, address: None, port });
    }
    frontends.sort_unstable();
    frontends
}

/// Whether clients from outside can reach one of these, which is when `externalTrafficPolicy`
/// means something.
pub(super) fn external(frontends: &[Frontend]) -> bool {
    frontends.iter().any(|frontend| frontend.kind != FrontendKind::ClusterIp)
}

fn of_family(addresses: &[IpAddr], family: IpFamily) -> impl Iterator<Item = IpAddr> {
    addresses.iter().copied().filter(move |address| IpFamily::of(*address) == family)
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{ServiceBuilder, service},
        *,
    };

    #[track_caller]
    fn check(given: ServiceBuilder, expected: &[&str]) {
        let given = given.build();
        let mut found = Vec::new();
        for family in families(&given) {
            for port in &given.ports {
                for at in frontends(&given, port, family) {
                    let address = match at.address {
                        Some(address) => address.to_string(),
                        None => format!("{family:?} nodes"),
                    };
                    found.push(format!("{:?} {address} {}/{}", at.kind, at.port, port.protocol));
                }
            }
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn every_kind_of_address_is_a_frontend() {
        check(
            service("web")
                .kind(ServiceType::LoadBalancer)
                .cluster_ip("10.96.0.1")
                .external_ip("192.0.2.7")
                .load_balancer_ip("198.51.100.1")
                .port("http", 80)
                .node_port(30080),
            &[
                "ClusterIp 10.96.0.1 80/TCP",
                "NodePort V4 nodes 30080/TCP",
                "ExternalIp 192.0.2.7 80/TCP",
                "LoadBalancer 198.51.100.1 80/TCP",
            ],
        );
    }

    #[test]
    fn a_service_answers_in_the_families_of_its_cluster_ips_only() {
        let dual = || {
            service("web")
                .kind(ServiceType::NodePort)
                .external_ip("192.0.2.7")
                .external_ip("2001:db8::7")
                .port("http", 80)
                .node_port(30080)
        };
        check(
            dual().cluster_ip("10.96.0.1"),
            &[
                "ClusterIp 10.96.0.1 80/TCP",
                "NodePort V4 nodes 30080/TCP",
                "ExternalIp 192.0.2.7 80/TCP",
            ],
        );
        check(
            dual().cluster_ip("fd00::1"),
            &[
                "ClusterIp fd00::1 80/TCP",
                "NodePort V6 nodes 30080/TCP",
                "ExternalIp 2001:db8::7 80/TCP",
            ],
        );
    }

    #[test]
    fn headless_external_name_and_hidden_services_answer_nowhere() {
        let base = || service("web").external_ip("192.0.2.7").port("http", 80);
        check(base(), &[]);
        check(base().cluster_ip("10.96.0.1").kind(ServiceType::ExternalName), &[]);
        check(base().cluster_ip("10.96.0.1").hidden(), &[]);
    }

    #[test]
    fn a_node_port_counts_for_the_types_that_have_one() {
        let base = || service("web").cluster_ip("10.96.0.1").port("http", 80).node_port(30080);
        let cluster_ip = "ClusterIp 10.96.0.1 80/TCP";
        let node_port = "NodePort V4 nodes 30080/TCP";
        check(base().kind(ServiceType::ClusterIp), &[cluster_ip]);
        check(base().kind(ServiceType::NodePort), &[cluster_ip, node_port]);
        check(base().kind(ServiceType::LoadBalancer), &[cluster_ip, node_port]);
    }

    #[test]
    fn a_load_balancer_without_node_ports_keeps_its_vip() {
        check(
            service("web")
                .kind(ServiceType::LoadBalancer)
                .cluster_ip("10.96.0.1")
                .load_balancer_ip("198.51.100.1")
                .port("http", 80),
            &["ClusterIp 10.96.0.1 80/TCP", "LoadBalancer 198.51.100.1 80/TCP"],
        );
    }

    #[test]
    fn an_address_named_twice_is_one_frontend() {
        check(
            service("web")
                .cluster_ip("10.96.0.1")
                .external_ip("10.96.0.1")
                .external_ip("198.51.100.1")
                .load_balancer_ip("198.51.100.1")
                .load_balancer_ip("198.51.100.1")
                .port("http", 80),
            &["ClusterIp 10.96.0.1 80/TCP", "LoadBalancer 198.51.100.1 80/TCP"],
        );
    }

    #[test]
    fn one_port_number_in_two_protocols_is_two_ports() {
        check(
            service("dns").cluster_ip("10.96.0.10").port("tcp", 53).udp_port("udp", 53),
            &["ClusterIp 10.96.0.10 53/TCP", "ClusterIp 10.96.0.10 53/UDP"],
        );
    }
}
