//! Calls that are refused fail at once, with the right errno; calls that are not ours are not
//! touched.

use std::time::{Duration, Instant};

use lb_common::{Protocol, counter::Counter};
use lb_testbed::Probe;
use lb_userspace::model::{FrontendKind, IpFamily};

use crate::{
    service::{Port, port},
    stage::{CALLER, SERVERS, Stage, vip},
};

fn service(name: &str, protocol: Protocol, ipv6: bool) -> Port {
    let family = if ipv6 { IpFamily::V6 } else { IpFamily::V4 };
    port(name, protocol, family).at(FrontendKind::ClusterIp, vip(ipv6, 1, 80))
}

/// All ways to call fail with this errno, without waiting.
#[track_caller]
fn check(stage: &Stage, ipv6: bool, errno: &str) {
    let to = vip(ipv6, 1, 80);
    for probe in [Probe::tcp(to), Probe::udp(to), Probe::udp_unconnected(to)] {
        let (started, transport) = (Instant::now(), probe.transport);
        let report = stage.probe(CALLER, &probe.requests(2).timeout(Duration::from_secs(20)));
        assert_eq!(report.errors, [(errno.to_owned(), 2)].into(), "{transport:?} {to}");
        assert!(started.elapsed() < Duration::from_secs(10), "waited");
    }
}

#[test]
fn without_an_endpoint_a_call_is_refused() {
    let mut stage = Stage::new();
    for ipv6 in [false, true] {
        let ports = [Protocol::Tcp, Protocol::Udp]
            .map(|protocol| service(&format!("empty-{protocol}"), protocol, ipv6).build());
        stage.program(ports);
        check(&stage, ipv6, "ECONNREFUSED");
    }
    assert_eq!(stage.count(Counter::SocketNoEndpoint), 12);
}

#[test]
fn internal_policy_local_without_an_endpoint_here_is_unreachable() {
    let mut stage = Stage::new();
    for ipv6 in [false, true] {
        let server = stage.server(SERVERS[0], ipv6);
        let make = |protocol| {
            let port = service(&format!("local-{protocol}"), protocol, ipv6).internal_local();
            port.elsewhere(server).build()
        };
        stage.program([Protocol::Tcp, Protocol::Udp].map(make));
        check(&stage, ipv6, "EHOSTUNREACH");
    }
    assert_eq!(stage.count(Counter::SocketNoLocalEndpoint), 12);
}

#[test]
fn external_policy_local_does_not_bind_a_process_on_the_node() {
    let mut stage = Stage::new();
    let server = stage.server(SERVERS[0], false);
    let external = vip(false, 2, 80);
    let service = port("external", Protocol::Tcp, IpFamily::V4)
        .at(FrontendKind::ExternalIp, external)
        .external_local()
        .elsewhere(server);
    stage.program([service.build()]);
    let report = stage.probe(CALLER, &Probe::tcp(external));
    assert_eq!(report.by_pod(), [(SERVERS[0], 1)].into());
}

#[test]
fn source_ranges_admit_a_socket_bound_to_an_address_in_them() {
    let mut stage = Stage::new();
    for ipv6 in [false, true] {
        let (server, caller) = (stage.server(SERVERS[0], ipv6), stage.address(CALLER, ipv6));
        let family = if ipv6 { IpFamily::V6 } else { IpFamily::V4 };
        let to = vip(ipv6, 3, 80);
        let make = |range: &str| {
            port("ranges", Protocol::Tcp, family)
                .at(FrontendKind::LoadBalancer, to)
                .source_range(range)
                .local(server)
                .build()
        };
        let bound = Probe::tcp(to).from(caller);
        stage.program([make(&format!("{caller}/{}", if ipv6 { 128 } else { 32 }))]);
        assert_eq!(stage.probe(CALLER, &bound).by_pod(), [(SERVERS[0], 1)].into());
        assert_eq!(
            stage.probe(CALLER, &Probe::tcp(to)).errors,
            [("EHOSTUNREACH".into(), 1)].into()
        );
        stage.program([make(if ipv6 { "2001:db8::/32" } else { "192.0.2.0/24" })]);
        assert_eq!(stage.probe(CALLER, &bound).errors, [("EHOSTUNREACH".into(), 1)].into());
    }
}

#[test]
fn what_is_no_service_and_who_is_not_in_the_cgroup_are_left_alone() {
    let mut stage = Stage::new();
    let server = stage.server(SERVERS[0], false);
    stage.program([service("web", Protocol::Tcp, false).local(server).build()]);
    let direct = stage.server(SERVERS[1], false);
    let report = stage.probe(CALLER, &Probe::tcp(direct));
    assert_eq!(report.by_pod(), [(SERVERS[1], 1)].into());
    assert_eq!(stage.count(Counter::SocketTranslated), 0);

    let probe = Probe::tcp(vip(false, 1, 80)).timeout(Duration::from_millis(300));
    assert_eq!(stage.probe(CALLER, &probe).by_pod(), [(SERVERS[0], 1)].into());
    let outside = stage.probe_outside_the_cgroup(CALLER, &probe);
    assert_eq!((outside.answered(), outside.failed()), (0, 1), "{:?}", outside.errors);
    assert_eq!(stage.count(Counter::SocketTranslated), 1);
}
