//! What a process is told where nobody can answer, and where policy Local says no.

use lb_common::counter::Counter;
use lb_testbed::Transport;
use lb_userspace::model::IpFamily;

use crate::rig::{NODE, PODS, Rig, SHELL, TRANSPORTS, answered, cluster_ip, failed, probe, vips};

const REQUESTS: u64 = 3;
const ENOUGH_FOR_ALL: u64 = 40;

/// Sockets that are refused are refused at once, blocking or not.
fn refused_everywhere(rig: &Rig, error: &str) {
    for place in [SHELL, NODE] {
        for to in rig.everywhere() {
            for transport in TRANSPORTS {
                failed(&rig.call(place, &probe(to, transport).requests(REQUESTS)), to, error);
            }
            let blocking = probe(to, Transport::Tcp).requests(REQUESTS).blocking();
            failed(&rig.call(place, &blocking), to, error);
        }
    }
}

#[test]
fn without_an_endpoint_a_call_is_refused() {
    let mut rig = Rig::new();
    rig.program(|rig, protocol, family| rig.bare(protocol, family));
    refused_everywhere(&rig, "ECONNREFUSED");
    rig.program_pods(&PODS);
    let to = cluster_ip(IpFamily::V4);
    let report = rig.call(SHELL, &probe(to, Transport::Tcp).requests(ENOUGH_FOR_ALL));
    answered(&report, to, &PODS);
    rig.program_pods(&[]);
    refused_everywhere(&rig, "ECONNREFUSED");
}

#[test]
fn a_port_of_a_cluster_ip_that_nobody_uses_is_refused_to_what_sends() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    for place in [SHELL, NODE] {
        for family in IpFamily::ALL {
            let to = (cluster_ip(family).ip(), 4_711).into();
            for transport in [Transport::Tcp, Transport::UdpUnconnected] {
                failed(
                    &rig.call(place, &probe(to, transport).requests(REQUESTS)),
                    to,
                    "ECONNREFUSED",
                );
            }
            // A VIP of a load balancer may have other ports elsewhere.
            let to = (vips(family)[1].1, 4_711).into();
            let before = rig.node.count(Counter::SocketUnusedPort);
            rig.call(place, &probe(to, Transport::UdpConnected).requests(1));
            assert_eq!(rig.node.count(Counter::SocketUnusedPort), before);
        }
    }
    assert_eq!(rig.node.count(Counter::SocketUnusedPort), 2 * 2 * 2 * REQUESTS);
}

#[test]
fn internal_policy_local_with_endpoints_elsewhere_is_unreachable_at_the_cluster_ip_only() {
    let mut rig = Rig::new();
    rig.program(|rig, protocol, family| {
        let port = rig.bare(protocol, family).internal_local();
        PODS.iter().fold(port, |port, pod| port.elsewhere(rig.served(pod, family)))
    });
    for family in IpFamily::ALL {
        for transport in TRANSPORTS {
            let to = cluster_ip(family);
            let report = rig.call(SHELL, &probe(to, transport).requests(REQUESTS));
            failed(&report, to, "EHOSTUNREACH");
            let to = (vips(family)[1].1, to.port()).into();
            let report = rig.call(SHELL, &probe(to, transport).requests(ENOUGH_FOR_ALL));
            answered(&report, to, &PODS);
        }
    }
}

#[test]
fn internal_policy_local_stays_on_the_node() {
    let mut rig = Rig::new();
    rig.program(|rig, protocol, family| {
        let port = rig.bare(protocol, family).internal_local();
        let port = rig.with(port, family, &PODS[..2]);
        port.elsewhere(rig.served(PODS[2], family))
    });
    for family in IpFamily::ALL {
        for transport in TRANSPORTS {
            let to = cluster_ip(family);
            let report = rig.call(NODE, &probe(to, transport).requests(ENOUGH_FOR_ALL));
            answered(&report, to, &PODS[..2]);
        }
    }
}

#[test]
fn external_policy_local_gives_a_process_of_the_node_any_endpoint() {
    let mut rig = Rig::new();
    rig.program(|rig, protocol, family| {
        let port = rig.bare(protocol, family).external_local();
        let port = rig.with(port, family, &PODS[..1]);
        PODS[1..].iter().fold(port, |port, pod| port.elsewhere(rig.served(pod, family)))
    });
    for to in rig.everywhere() {
        for transport in TRANSPORTS {
            let report = rig.call(SHELL, &probe(to, transport).requests(ENOUGH_FOR_ALL));
            answered(&report, to, &PODS);
        }
    }
}
