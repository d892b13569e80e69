//! Every kind of frontend is reached over every kind of socket, and the process sees the address
//! it asked for.

use std::net::{IpAddr, SocketAddr};

use lb_common::Protocol;
use lb_testbed::Probe;
use lb_userspace::model::{FrontendKind, IpFamily};

use crate::{
    service::port,
    stage::{CALLER, NODE, SERVERS, Stage, vip},
};

const NODE_PORT: u16 = 30_080;

/// A Service for TCP and UDP, with every kind of frontend and one server behind it.
fn program(stage: &mut Stage, ipv6: bool) {
    let family = if ipv6 { IpFamily::V6 } else { IpFamily::V4 };
    let server = stage.server(SERVERS[0], ipv6);
    let node_port = (stage.address(NODE, ipv6), NODE_PORT).into();
    let ports = [Protocol::Tcp, Protocol::Udp].map(|protocol| {
        port(&format!("web-{protocol}"), protocol, family)
            .at(FrontendKind::ClusterIp, vip(ipv6, 1, 80))
            .at(FrontendKind::ExternalIp, vip(ipv6, 2, 80))
            .at(FrontendKind::LoadBalancer, vip(ipv6, 3, 80))
            .at(FrontendKind::NodePort, node_port)
            .local(server)
            .build()
    });
    stage.program(ports);
}

#[track_caller]
fn check(stage: &Stage, from: &str, to: SocketAddr, shown: SocketAddr) {
    for probe in [Probe::tcp(to), Probe::udp(to), Probe::udp_unconnected(to)] {
        let transport = probe.transport;
        let report = stage.probe(from, &probe.requests(3));
        assert_eq!(report.errors, [].into(), "{transport:?} from {from} to {to}");
        let seen: Vec<_> =
            report.answers.iter().map(|answer| (&*answer.pod, answer.from)).collect();
        assert_eq!(seen, [(SERVERS[0], shown)], "{transport:?} from {from} to {to}");
    }
}

#[test]
fn every_frontend_is_reached_from_a_pod_and_from_the_node() {
    let mut stage = Stage::new();
    for ipv6 in [false, true] {
        program(&mut stage, ipv6);
        let node_port = (stage.address(NODE, ipv6), NODE_PORT).into();
        for from in [CALLER, NODE] {
            for to in [vip(ipv6, 1, 80), vip(ipv6, 2, 80), vip(ipv6, 3, 80), node_port] {
                check(&stage, from, to, to);
            }
        }
    }
}

#[test]
fn localhost_is_an_address_of_the_node() {
    let mut stage = Stage::new();
    for (ipv6, localhost) in [(false, "127.0.0.1"), (true, "::1")] {
        program(&mut stage, ipv6);
        let to = (localhost.parse::<IpAddr>().unwrap(), NODE_PORT).into();
        check(&stage, NODE, to, to);
    }
}

#[test]
fn an_ipv6_socket_reaches_ipv4_by_its_mapped_address() {
    let mut stage = Stage::new();
    program(&mut stage, false);
    for to in [vip(false, 1, 80), (stage.address(NODE, false), NODE_PORT).into()] {
        let IpAddr::V4(address) = to.ip() else { panic!("{to}") };
        let mapped: SocketAddr = (IpAddr::V6(address.to_ipv6_mapped()), to.port()).into();
        check(&stage, CALLER, mapped, mapped);
    }
}
