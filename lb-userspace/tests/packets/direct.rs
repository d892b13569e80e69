//! Packets for a backend on this node that go straight to its device.

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
