//! UDP while endpoints come and go under a socket that is kept.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use lb_testbed::{Exchange, Report, Transport};
use lb_userspace::model::IpFamily;
use nix::time::{ClockId, clock_gettime};

use crate::rig::{PODS, Rig, SHELL, cluster_ip, probe};

/// How many exchanges a client makes before and after a change.
const MANY: u64 = 500;

fn now_ns() -> u64 {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos() as u64
}

/// Over one socket that is kept: who answered before, and after, each of these sets of endpoints
/// took effect.
fn answers_over_time(rig: &mut Rig, to: SocketAddr, steps: &[&[&str]]) -> (Vec<Who>, Report) {
    let calling = probe(to, Transport::UdpUnconnected).until_stopped().reusing().recording();
    let mut calling = rig.cluster.start_probe(SHELL, &calling).unwrap();
    calling.go_on(MANY).unwrap();
    let mut times = vec![(0, now_ns())];
    for pods in steps {
        rig.program_pods(pods);
        let start = now_ns();
        calling.go_on(MANY).unwrap();
        times.push((start, now_ns()));
    }
    let report = calling.stop().unwrap();
    let during = |(start, end): &(u64, u64)| {
        let inside = |one: &&Exchange| one.start_ns > *start && one.end_ns < *end;
        report.exchanges.iter().filter(inside).map(|one| one.outcome.clone().unwrap()).collect()
    };
    (times.iter().map(during).collect(), report)
}

type Who = BTreeSet<String>;

/// What a connected socket says once it was closed, by the first call that meets it so: a wait for
/// an answer, a request, the question for the peer's name.
const CLOSED: [&str; 3] = ["ECONNABORTED", "EDESTADDRREQ", "ENOTCONN"];

#[test]
fn an_unconnected_socket_sticks_to_its_backend_while_that_serves_and_then_moves_on() {
    let mut rig = Rig::new();
    for family in IpFamily::ALL {
        rig.program_pods(&PODS[..1]);
        let steps: [&[&str]; 4] = [&PODS, &PODS[..2], &PODS[1..2], &PODS];
        let (who, report) = answers_over_time(&mut rig, cluster_ip(family), &steps);
        assert_eq!(report.failed(), 0, "{:?}", report.errors);
        let [first, second] = [PODS[0], PODS[1]].map(|pod| Who::from([pod.to_owned()]));
        assert_eq!(who, [&first, &first, &first, &second, &second].map(Clone::clone), "{family:?}");
        let froms: BTreeSet<_> = report.answers.iter().map(|answer| answer.from).collect();
        assert_eq!(froms, [cluster_ip(family)].into());
    }
}

#[test]
fn an_unconnected_socket_is_told_when_the_last_backend_left() {
    let mut rig = Rig::new();
    for family in IpFamily::ALL {
        rig.program_pods(&PODS[..1]);
        let calling = probe(cluster_ip(family), Transport::UdpUnconnected).until_stopped();
        let calling = calling.reusing().most_failures(5);
        let mut calling = rig.cluster.start_probe(SHELL, &calling).unwrap();
        calling.go_on(MANY).unwrap();
        rig.program_pods(&[]);
        calling.go_on(MANY).unwrap();
        let report = calling.stop().unwrap();
        assert_eq!(report.errors, [("ECONNREFUSED".to_owned(), 5)].into());
        assert!(report.answered() > 0);
    }
}

#[test]
fn a_connected_socket_whose_backend_left_is_closed_and_others_are_not() {
    let mut rig = Rig::new();
    for to in IpFamily::ALL.map(cluster_ip).into_iter().chain([mapped_cluster_ip()]) {
        rig.program_pods(&PODS);
        let calling = probe(to, Transport::UdpConnected).until_stopped().reusing();
        let calling = calling.most_failures(1);
        let mut clients: Vec<_> =
            (0..12).map(|_| rig.cluster.start_probe(SHELL, &calling).unwrap()).collect();
        clients.iter_mut().for_each(|client| client.go_on(MANY).unwrap());
        rig.program_pods(&PODS[1..]);
        clients.iter_mut().for_each(|client| client.go_on(MANY).unwrap());
        for client in clients {
            let report = client.stop().unwrap();
            let pods = report.by_pod();
            assert_eq!(pods.len(), 1, "a connected socket has one backend: {pods:?}");
            let closed = CLOSED.into_iter().any(|error| report.errors.keys().eq([error]));
            assert_eq!(closed, pods.contains_key(PODS[0]), "{pods:?} {:?}", report.errors);
            assert_eq!(closed, report.failed() > 0, "{:?}", report.errors);
        }
    }
}

#[test]
fn an_endpoint_that_another_service_still_has_is_not_cut_off() {
    let mut rig = Rig::new();
    let family = IpFamily::V4;
    rig.program_pods(&PODS[..1]);
    let other = crate::node::service::port("other", lb_common::Protocol::Udp, family);
    rig.node.program([other.local(rig.served(PODS[0], family)).build()]);
    let calling = probe(cluster_ip(family), Transport::UdpConnected).until_stopped().reusing();
    let mut calling = rig.cluster.start_probe(SHELL, &calling.most_failures(1)).unwrap();
    calling.go_on(MANY).unwrap();
    rig.program_pods(&PODS[1..]);
    calling.go_on(MANY).unwrap();
    let report = calling.stop().unwrap();
    assert_eq!((report.failed(), report.by_pod().len()), (0, 1));
}

fn mapped_cluster_ip() -> SocketAddr {
    let at = cluster_ip(IpFamily::V4);
    let std::net::IpAddr::V4(ip) = at.ip() else { unreachable!() };
    (ip.to_ipv6_mapped(), at.port()).into()
}
