//! Session affinity of processes: by network namespace, whatever the address.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use lb_common::{Protocol, affinity::client_kind};
use lb_testbed::Transport;
use lb_userspace::model::IpFamily;

use crate::rig::{NODE, PODS, Rig, SHELL, TRANSPORTS, answered, cluster_ip, probe};

const TIMEOUT_S: u32 = 3600;

const TIMEOUT: Duration = Duration::from_secs(TIMEOUT_S as u64);

fn program(rig: &mut Rig, pods: &[&str]) {
    rig.program(|rig, protocol, family| {
        rig.with(rig.bare(protocol, family).affinity(TIMEOUT_S), family, pods)
    });
}

/// Who answers a place, over every transport in every family; the same one each time, or it fails.
fn own_pods(rig: &Rig, place: &str) -> Vec<String> {
    let mut pods = Vec::new();
    for family in IpFamily::ALL {
        for transport in TRANSPORTS {
            let to = cluster_ip(family);
            let mut found = BTreeSet::new();
            for _process in 0..2 {
                let report = rig.call(place, &probe(to, transport).requests(20));
                assert_eq!(report.failed(), 0);
                found.extend(report.answers.into_iter().map(|answer| answer.pod));
            }
            assert_eq!(found.len(), 1, "{place} {to} {transport:?}: {found:?}");
            pods.extend(found);
        }
    }
    pods
}

#[test]
fn processes_of_a_network_namespace_share_a_backend_and_keep_it() {
    let mut rig = Rig::new();
    program(&mut rig, &PODS);
    let places = [SHELL, NODE, PODS[0]];
    let before = places.map(|place| own_pods(&rig, place));
    // One entry for each namespace and service port.
    let entries = rig.node.reader().affinity().unwrap();
    let ports = [Protocol::Tcp, Protocol::Udp].len() * IpFamily::ALL.len();
    assert_eq!(entries.len(), places.len() * ports);
    let by_namespace =
        |key: &lb_common::affinity::AffinityKey| key.client_kind == client_kind::NETWORK_NAMESPACE;
    assert!(entries.iter().all(|(key, _)| by_namespace(key)), "{entries:?}");
    assert_eq!(places.map(|place| own_pods(&rig, place)), before);
}

#[test]
fn a_client_whose_backend_left_gets_another_and_keeps_that() {
    let mut rig = Rig::new();
    program(&mut rig, &PODS);
    let before = own_pods(&rig, SHELL).remove(0);
    let others: Vec<&str> = PODS.into_iter().filter(|pod| *pod != before).collect();
    program(&mut rig, &others);
    let after = own_pods(&rig, SHELL).remove(0);
    assert!(others.contains(&after.as_str()), "{before}, then {after}");
    program(&mut rig, &PODS);
    assert_eq!(own_pods(&rig, SHELL).remove(0), after, "an endpoint that returns changes nothing");
}

/// The one pod that answers connections of processes in the shell, one at a time.
fn own_pod(rig: &Rig, to: SocketAddr) -> String {
    let report = rig.call(SHELL, &probe(to, Transport::Tcp).requests(20));
    assert_eq!(report.failed(), 0, "{to}");
    let mut pods: Vec<_> = report.by_pod().into_keys().map(str::to_owned).collect();
    assert_eq!(pods.len(), 1, "{to}: {pods:?}");
    pods.remove(0)
}

#[test]
fn all_frontends_of_a_port_share_a_memory() {
    let mut rig = Rig::new();
    program(&mut rig, &PODS);
    for family in IpFamily::ALL {
        let own = own_pod(&rig, cluster_ip(family));
        let of_family = |at: &SocketAddr| IpFamily::of(at.ip()) == family;
        for to in rig.everywhere().into_iter().filter(of_family) {
            if to.ip().to_canonical() == to.ip() {
                assert_eq!(own_pod(&rig, to), own, "{to}");
            }
        }
    }
}

#[test]
fn an_endpoint_that_leaves_the_list_and_serves_on_returns_with_an_empty_memory() {
    let mut rig = Rig::new();
    let to = cluster_ip(IpFamily::V4);
    let sticky = |rig: &Rig, protocol, family| rig.bare(protocol, family).affinity(TIMEOUT_S);
    // That a client without a memory is sent to the first of three each time: 3^-12.
    let moved = (0..12).any(|_| {
        program(&mut rig, &PODS[..1]);
        assert_eq!(own_pod(&rig, to), PODS[0]);
        program(&mut rig, &PODS);
        assert_eq!(own_pod(&rig, to), PODS[0]);
        rig.program(|rig, protocol, family| {
            let port = sticky(rig, protocol, family).serving(rig.served(PODS[0], family));
            rig.with(port, family, &PODS[1..])
        });
        program(&mut rig, &PODS);
        own_pod(&rig, to) != PODS[0]
    });
    assert!(moved, "its memory came back with it");
}

#[test]
fn affinity_is_switched_on_and_off_and_forgets_meanwhile() {
    let mut rig = Rig::new();
    let to = cluster_ip(IpFamily::V4);
    let moved = (0..12).any(|_| {
        program(&mut rig, &PODS[..1]);
        assert_eq!(own_pod(&rig, to), PODS[0]);
        rig.program_pods(&PODS);
        let report = rig.call(SHELL, &probe(to, Transport::Tcp).requests(60));
        answered(&report, to, &PODS);
        program(&mut rig, &PODS);
        own_pod(&rig, to) != PODS[0]
    });
    assert!(moved, "what was remembered before is remembered again");
}

#[test]
fn connections_renew_a_memory_and_datagrams_of_a_conversation_do_not() {
    let mut rig = Rig::new();
    program(&mut rig, &PODS);
    let to = cluster_ip(IpFamily::V4);
    let seen = |rig: &Rig| -> Vec<u64> {
        rig.node.reader().affinity().unwrap().iter().map(|(_, entry)| entry.seen_ns).collect()
    };
    own_pod(&rig, to);
    let first = seen(&rig);
    own_pod(&rig, to);
    assert!(seen(&rig) > first, "new connections");

    let mut rig = Rig::new();
    program(&mut rig, &PODS);
    let datagrams = probe(to, Transport::UdpUnconnected).requests(50).reusing().recording();
    let report = rig.call(SHELL, &datagrams);
    let (first, rest) = report.exchanges.split_first().unwrap();
    let [seen] = seen(&rig)[..] else { panic!("not one memory") };
    assert!(rest.len() == 49 && (first.start_ns..first.end_ns).contains(&seen), "a later datagram");
}

#[test]
fn without_affinity_nobody_is_remembered() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    let to = cluster_ip(IpFamily::V4);
    let report = rig.call(SHELL, &probe(to, Transport::Tcp).requests(60));
    answered(&report, to, &PODS);
    assert_eq!(rig.node.reader().affinity().unwrap().len(), 0);
}

#[test]
fn a_client_is_let_go_when_its_timeout_is_over() {
    let mut rig = Rig::new();
    program(&mut rig, &PODS[..1]);
    let to = cluster_ip(IpFamily::V4);
    let tcp = probe(to, Transport::Tcp);
    answered(&rig.call(SHELL, &tcp), to, &PODS[..1]);
    program(&mut rig, &PODS);
    answered(&rig.call(SHELL, &tcp), to, &PODS[..1]);
    // Lets go once each time; that the same of three is chosen always has a chance of 3^-12.
    let moved = (0..12).any(|_| {
        rig.node.age_affinity(TIMEOUT + Duration::from_nanos(1));
        rig.call(SHELL, &tcp).by_pod().keys().any(|pod| *pod != PODS[0])
    });
    assert!(moved, "never let go");
}

#[test]
fn every_new_connection_begins_the_timeout_anew() {
    let mut rig = Rig::new();
    program(&mut rig, &PODS);
    let tcp = probe(cluster_ip(IpFamily::V4), Transport::Tcp);
    let first = rig.call(SHELL, &tcp).answers[0].pod.clone();
    // Twelve timeouts long; one that did not slide would end six times, missed once in 729.
    for _ in 0..14 {
        rig.node.age_affinity(TIMEOUT * 9 / 10);
        assert_eq!(rig.call(SHELL, &tcp).answers[0].pod, first);
    }
}
