//! Packets for a backend on this node that go straight to its device.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::{Protocol, counter::Counter, settings::flags};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Said},
    message,
    rig::{At, Fate, Rig, at},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_080;
/// What the pods' bridge takes when it is narrow.
const NARROW: u32 = 1_300;
/// What devices with large frames take, and a length that one buffer does not hold.
const JUMBO: u32 = 9_000;
const LONG: usize = 6_000;

#[test]
fn a_packet_for_a_pod_here_is_routed_by_us_and_xdp_leaves_it_to_tc() {
    let mut rig = Rig::with_flags(flags::DIRECT_DELIVERY);
    for parties in rig.families() {
        let (client, near) = (at(parties.client, 40_000), at(parties.near, 8080));
        let frontend = at(parties.node, NODE_PORT);
        for (is_tcp, protocol) in [(true, Protocol::Tcp), (false, Protocol::Udp)] {
            let service = port("web", protocol, family_of(near.ip()));
            rig.program([service.at(FrontendKind::NodePort, frontend).local(near).build()]);
            let packet = message::sized(is_tcp, client, frontend, 100);
            let counts = |rig: &Rig| {
                [Counter::XdpRoute, Counter::DirectDelivery].map(|counter| rig.count(counter))
            };
            let [left, handed] = counts(&rig);
            for round in ["new", "known"] {
                let outcome = rig.run(At::Xdp, &packet);
                assert_eq!((outcome.fate, outcome.bytes), (Fate::Pass, packet.clone()), "{round}");
                let outcome = rig.run(At::TcIngress, &packet);
                assert_eq!(outcome.fate, Fate::Sent, "{round} {protocol} {client}");
                assert_eq!(frame::read(&outcome.bytes), Said { from: client, to: near, ttl: 63 });
            }
            assert_eq!(counts(&rig), [left + 2, handed + 2]);
        }
    }
}

#[test]
fn a_packet_for_a_pod_that_takes_frames_is_brought_there_by_xdp_as_by_tc() {
    let mut rig = Rig::with_flags(flags::DIRECT_DELIVERY);
    rig.let_pods_take_frames();
    rig.set_mtu(JUMBO);
    rig.set_mtu_of("cni0", JUMBO);
    for parties in rig.families() {
        let (client, near) = (at(parties.client, 40_000), at(parties.near, 8080));
        let frontend = at(parties.node, NODE_PORT);
        for (is_tcp, protocol) in [(true, Protocol::Tcp), (false, Protocol::Udp)] {
            let service = port("web", protocol, family_of(near.ip()));
            rig.program([service.at(FrontendKind::NodePort, frontend).local(near).build()]);
            let packet = message::sized(is_tcp, client, frontend, 100);
            let outcome = rig.ingress(&packet);
            assert_eq!(outcome.fate, Fate::Sent, "{protocol} {client}");
            let expected = frame::with_ttl(message::sized(is_tcp, client, near, 100), 63);
            assert_eq!(outcome.bytes[14..], expected[14..]);
            assert_ne!(outcome.bytes[..12], packet[..12], "to the pod's Ethernet address");

            let long = message::sized(is_tcp, client, frontend, LONG);
            let outcome = rig.run(At::Xdp, &long);
            assert_eq!(outcome.fate, Fate::Sent, "in several buffers");
            let expected = frame::with_ttl(message::sized(is_tcp, client, near, LONG), 63);
            assert_eq!(outcome.bytes[14..], expected[14..]);
        }
    }
    assert_eq!(rig.count(Counter::DirectDelivery), 4 * 4);
    assert_eq!(rig.count(Counter::XdpRoute), 0);
}

/// Nobody has ever talked to the backend, so that its Ethernet address is not known.
#[test]
fn what_xdp_cannot_send_is_left_as_it_was() {
    let mut rig = Rig::with_flags(flags::DIRECT_DELIVERY);
    rig.let_pods_take_frames();
    for parties in rig.families() {
        let client = at(parties.client, 40_000);
        let frontend = at(parties.node, NODE_PORT);
        let stranger = |beside| at(neighbour(beside), 8080);
        for (is_tcp, protocol) in [(true, Protocol::Tcp), (false, Protocol::Udp)] {
            let base = || {
                port("web", protocol, family_of(client.ip())).at(FrontendKind::NodePort, frontend)
            };
            for (what, service, to) in [
                ("local", base().local(stranger(parties.near)), stranger(parties.near)),
                ("elsewhere", base().elsewhere(stranger(parties.node)), stranger(parties.node)),
            ] {
                rig.forget();
                rig.program([service.build()]);
                let packet = message::sized(is_tcp, client, frontend, 100);
                for round in ["new", "known"] {
                    let before = rig.count(Counter::XdpRoute);
                    let outcome = rig.run(At::Xdp, &packet);
                    let untouched = (Fate::Pass, packet.clone());
                    assert_eq!((outcome.fate, outcome.bytes), untouched, "{what} {round}");
                    assert_eq!(rig.count(Counter::XdpRoute) - before, 1, "{what} {round}");
                    let outcome = rig.run(At::TcIngress, &packet);
                    assert_eq!(outcome.fate, Fate::Sent, "{what} {round}");
                    assert_eq!(frame::read(&outcome.bytes).to, to);
                }
            }
        }
    }
}

/// An address that nobody has, on the same link.
fn neighbour(of: IpAddr) -> IpAddr {
    match of {
        IpAddr::V4(of) => Ipv4Addr::from_bits(of.to_bits() & !0xff | 0xfa).into(),
        IpAddr::V6(of) => Ipv6Addr::from_bits(of.to_bits() | 0xfafa).into(),
    }
}

#[test]
fn what_cannot_be_handed_on_is_left_to_the_stack() {
    let mut rig = Rig::with_flags(flags::DIRECT_DELIVERY);
    rig.set_mtu_of("cni0", NARROW);
    for parties in rig.families() {
        let (client, near) = (at(parties.client, 40_000), at(parties.near, 8080));
        let frontend = at(parties.node, NODE_PORT);
        let own = at(parties.node, 8080);
        let fits = message::sized(false, client, frontend, 100);
        for (what, backend, packet) in [
            ("out of hops", near, frame::with_ttl(fits.clone(), 1)),
            ("too big", near, message::sized(false, client, frontend, NARROW as usize)),
            ("for the node itself", own, fits),
        ] {
            let service = port("dns", Protocol::Udp, family_of(near.ip()));
            rig.program([service.at(FrontendKind::NodePort, frontend).local(backend).build()]);
            let ttl = frame::read(&packet).ttl;
            let outcome = rig.run(At::TcIngress, &packet);
            assert_eq!(outcome.fate, Fate::Pass, "{what} {client}");
            assert_eq!(frame::read(&outcome.bytes), Said { from: client, to: backend, ttl });
        }
    }
    assert_eq!(rig.count(Counter::DirectDelivery), 0);
}
