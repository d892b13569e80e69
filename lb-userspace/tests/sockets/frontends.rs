//! Every address of a service, over every kind of socket.

use crate::rig::{NODE, PODS, Rig, SHELL, TRANSPORTS, answered, own_addresses, probe};

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
