//! What no program may change: processes of other cgroups, and calls that are no service's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lb_common::counter::Counter;
use lb_testbed::{CLIENT, Place, Serve, Transport};
use lb_userspace::model::IpFamily;

use crate::rig::{NODE, NODE_PORT, PODS, Rig, SERVED, SHELL, TRANSPORTS, probe};

/// A server of the node's own.
const OWN: &str = "own";
/// Beside the NodePort.
const NOT_NODE_PORT: u16 = NODE_PORT + 1;

fn serve_on_loopback(rig: &Rig, ports: &[u16]) -> lb_testbed::Worker {
    let serve = Serve {
        name: OWN.into(),
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        tcp: ports.into(),
        udp: ports.into(),
    };
    rig.cluster.launcher().serve(&outside_cgroup(rig), &serve).unwrap()
}

/// The node's network, and a cgroup that is not the node's.
fn outside_cgroup(rig: &Rig) -> Place {
    let cgroup = rig.cluster.place(CLIENT).unwrap().cgroup;
    Place { cgroup, ..rig.cluster.place(NODE).unwrap() }
}

#[test]
fn a_process_outside_the_cgroup_is_untouched() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    let _server = serve_on_loopback(&rig, &[NODE_PORT]);
    let to: SocketAddr = (Ipv4Addr::LOCALHOST, NODE_PORT).into();
    for transport in TRANSPORTS {
        let probe = probe(to, transport).requests(20);
        let inside = rig.call(NODE, &probe);
        assert!(!inside.by_pod().contains_key(OWN) && inside.failed() == 0, "{inside:?}");
        let before = rig.node.count(Counter::SocketTranslated);
        let outside = rig.cluster.launcher().probe(&outside_cgroup(&rig), &probe).unwrap();
        assert_eq!(outside.by_pod(), [(OWN, 20)].into(), "{transport:?}");
        assert_eq!(rig.node.count(Counter::SocketTranslated), before);
    }
}

#[test]
fn what_is_no_service_is_untouched() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    let _server = serve_on_loopback(&rig, &[NOT_NODE_PORT, 8081]);
    let before = rig.node.count(Counter::SocketTranslated);
    let pod = |family| SocketAddr::from((rig.address(PODS[1], family), SERVED));
    let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
    for (to, expected) in [
        (pod(IpFamily::V4), PODS[1]),
        (pod(IpFamily::V6), PODS[1]),
        ((loopback, NOT_NODE_PORT).into(), OWN),
        ((loopback, 8081).into(), OWN),
    ] {
        for transport in TRANSPORTS {
            let report = rig.call(NODE, &probe(to, transport).requests(5));
            assert_eq!(report.by_pod(), [(expected, 5)].into(), "{to} {transport:?}");
            assert!(report.answers.iter().all(|answer| answer.from == to), "{report:?}");
        }
    }
    assert_eq!(rig.node.count(Counter::SocketTranslated), before);
}

#[test]
fn one_protocol_of_a_service_says_nothing_about_the_other() {
    let mut rig = Rig::new();
    let family = IpFamily::V4;
    let port = rig.bare(lb_common::Protocol::Udp, family);
    let port = rig.with(port, family, &PODS);
    rig.node.program([port.build()]);
    let _server = serve_on_loopback(&rig, &[NODE_PORT]);
    let to = (Ipv4Addr::LOCALHOST, NODE_PORT).into();
    let tcp = rig.call(NODE, &probe(to, Transport::Tcp).requests(5));
    assert_eq!(tcp.by_pod(), [(OWN, 5)].into());
    let udp = rig.call(NODE, &probe(to, Transport::UdpConnected).requests(5));
    assert!(!udp.by_pod().contains_key(OWN) && udp.failed() == 0, "{udp:?}");
}

#[test]
fn a_node_port_is_not_claimed_on_addresses_of_others() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    let _server = rig.cluster.serve(SHELL, &[NODE_PORT], &[NODE_PORT]).unwrap();
    for family in IpFamily::ALL {
        let to = (rig.address(SHELL, family), NODE_PORT).into();
        for transport in TRANSPORTS {
            let report = rig.call(NODE, &probe(to, transport).requests(5));
            assert_eq!(report.by_pod(), [(SHELL, 5)].into(), "{to} {transport:?}");
        }
    }
}
