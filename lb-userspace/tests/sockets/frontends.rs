//! Every address of a service, over every kind of socket.

use std::net::IpAddr;

use lb_testbed::Transport;
use lb_userspace::model::IpFamily;

use crate::rig::{NODE, PODS, Rig, SHELL, TRANSPORTS, answered, cluster_ip, own_addresses, probe};

/// Enough that a pod which is asked by chance alone is asked at least once, but for one run in
/// ten million.
const REQUESTS: u64 = 40;

#[test]
fn every_address_answers_over_every_socket_and_shows_itself() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    for place in [SHELL, NODE] {
        for to in rig.everywhere() {
            for transport in TRANSPORTS {
                let report = rig.call(place, &probe(to, transport).requests(REQUESTS));
                answered(&report, to, &PODS);
            }
        }
    }
}

#[test]
fn node_ports_answer_on_the_nodes_loopback_and_where_no_address_is_named() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    for to in own_addresses() {
        for transport in TRANSPORTS {
            let report = rig.call(NODE, &probe(to, transport).requests(REQUESTS));
            answered(&report, to, &PODS);
        }
    }
}

#[test]
fn a_socket_that_is_kept_goes_on_answering() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    for to in rig.everywhere() {
        for transport in TRANSPORTS {
            let report = rig.call(SHELL, &probe(to, transport).requests(REQUESTS).reusing());
            assert_eq!((report.answered(), report.failed()), (REQUESTS, 0), "{to} {transport:?}");
            assert_eq!(report.by_pod().len(), 1, "{to}: one socket has one backend");
        }
    }
}

#[test]
fn a_pod_that_is_sent_to_itself_gets_an_answer() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS[..1]);
    for to in rig.everywhere() {
        for transport in TRANSPORTS {
            answered(&rig.call(PODS[0], &probe(to, transport)), to, &PODS[..1]);
        }
    }
}

#[test]
fn an_endpoint_sees_the_address_that_its_caller_would_have_called_it_from() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    let host = rig.cluster.bridge_addresses(NODE).unwrap();
    for to in IpFamily::ALL.map(cluster_ip) {
        let of_family = |ip: &IpAddr| ip.is_ipv4() == to.is_ipv4();
        let pod = rig.cluster.addresses(SHELL).unwrap();
        for (place, own) in [(SHELL, pod), (NODE, &host[..])] {
            let own = own.iter().copied().find(of_family).unwrap();
            for transport in TRANSPORTS {
                let report = rig.call(place, &probe(to, transport).requests(REQUESTS));
                assert_eq!(report.by_peer().into_keys().collect::<Vec<_>>(), [own], "{to}");
            }
        }
    }
}

#[test]
fn a_datagram_of_2000_bytes_is_answered() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    for to in rig.everywhere() {
        for transport in [Transport::UdpConnected, Transport::UdpUnconnected] {
            let large = probe(to, transport).requests(REQUESTS).datagram_bytes(2_000);
            answered(&rig.call(SHELL, &large), to, &PODS);
        }
    }
}
