//! Frames with tags of a VLAN, and frames of more than one buffer.

use aya::programs::TcAttachType;
use lb_common::{Protocol, counter::Counter, names};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Said, Tcp},
    message,
    rig::{At, Fate, Outcome, Rig, at, classifier},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_080;
/// What a device with large frames takes, and a length that one buffer does not hold.
const JUMBO: u32 = 9_000;
const LONG: usize = 6_000;

#[test]
fn a_frame_with_tags_in_it_is_not_touched() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let frontend = at(parties.node, NODE_PORT);
        let service = port("web", Protocol::Tcp, family_of(frontend.ip()));
        let near = at(parties.near, 8080);
        rig.program([service.at(FrontendKind::NodePort, frontend).local(near).build()]);
        let client = at(parties.client, 40_000).to_string();
        let plain = frame::tcp(&client, &frontend.to_string(), Tcp::Syn);
        // 802.1Q; the same with nothing but a priority; 802.1ad around 802.1Q.
        for tags in [&[0x8100_u16, 100][..], &[0x8100, 0xe000], &[0x88a8, 7, 0x8100, 100]] {
            let mut packet = plain.clone();
            packet.splice(12..12, tags.iter().flat_map(|half| half.to_be_bytes()));
            for place in [At::Xdp, At::TcIngress, At::TcEgress] {
                let outcome = rig.run(place, &packet);
                assert_eq!(
                    (outcome.fate, outcome.bytes),
                    (Fate::Pass, packet.clone()),
                    "{place:?}"
                );
            }
        }
        assert_eq!(rig.run(At::Xdp, &plain).bytes.len(), plain.len());
    }
    assert_eq!(rig.count(Counter::FlowNew), 2, "those without tags");
}

/// Through XDP twice, as a new flow's packet and as a known one's. (A test run of tc takes no packet
/// of this length.)
fn at_xdp(rig: &mut Rig, packet: &[u8]) -> Outcome {
    let outcome = rig.run(At::Xdp, packet);
    assert_eq!(outcome, rig.run(At::Xdp, packet), "new and known");
    outcome
}

#[test]
fn a_frame_of_more_than_one_buffer_is_translated_at_xdp() {
    let mut rig = Rig::new();
    rig.set_mtu(JUMBO);
    for parties in rig.families() {
        let client = at(parties.client, 40_000);
        let frontend = at(parties.node, NODE_PORT);
        let (near, far) = (at(parties.near, 8080), at(parties.far, 8080));
        for (is_tcp, protocol) in [(true, Protocol::Tcp), (false, Protocol::Udp)] {
            let packet = message::sized(is_tcp, client, frontend, LONG);
            let base =
                || port("web", protocol, family_of(near.ip())).at(FrontendKind::NodePort, frontend);
            rig.forget();
            rig.program([base().local(near).build()]);
            let outcome = at_xdp(&mut rig, &packet);
            assert_eq!(outcome.fate, Fate::Pass);
            assert_eq!(outcome.bytes, message::sized(is_tcp, client, near, LONG));

            rig.forget();
            rig.program([base().elsewhere(far).build()]);
            let outcome = at_xdp(&mut rig, &packet);
            assert_eq!(outcome.fate, Fate::Sent);
            let Said { from, to, ttl } = frame::read(&outcome.bytes);
            assert_eq!((from.ip(), to, ttl), (parties.node, far, 63));
            let expected = frame::with_ttl(message::sized(is_tcp, from, to, LONG), 63);
            assert_eq!(outcome.bytes[12..], expected[12..]);
        }
    }
}

#[test]
fn an_answer_to_a_frame_of_more_than_one_buffer_is_left_to_tc() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let client = at(parties.client, 40_000);
        let frontend = at(parties.node, NODE_PORT);
        let base = |name| {
            port(name, Protocol::Udp, family_of(client.ip())).at(FrontendKind::NodePort, frontend)
        };
        for (what, service) in [
            ("nobody serves", base("dns")),
            ("too big for the next link", base("dns").elsewhere(at(parties.far, 53))),
        ] {
            rig.program([service.build()]);
            rig.allow_errors();
            let packet = message::sized(false, client, frontend, LONG);
            let before = rig.count(Counter::XdpParts);
            let outcome = rig.run(At::Xdp, &packet);
            assert_eq!((outcome.fate, outcome.bytes), (Fate::Pass, packet.clone()), "{what}");
            assert_eq!(rig.count(Counter::XdpParts) - before, 1);
        }
    }
}

/// What the stack takes out of a frame as a tag, tc finds beside the packet.
#[test]
fn a_packet_of_a_vlan_is_left_to_the_vlans_device_at_tc() {
    let mut rig = Rig::new();
    rig.on_node(|programs, _| {
        classifier(programs, names::TC_INGRESS).attach("eth0", TcAttachType::Ingress).unwrap();
    });
    for parties in rig.families() {
        let frontend = at(parties.node, NODE_PORT);
        let service = port("web", Protocol::Tcp, family_of(frontend.ip()));
        let near = at(parties.near, 8080);
        rig.program([service.at(FrontendKind::NodePort, frontend).local(near).build()]);
        for (source, (tag, flows)) in (41_000..).zip([(100_u16, 0), (0xe064, 0), (0xe000, 1)]) {
            let client = at(parties.client, source).to_string();
            let mut packet = frame::tcp(&client, &frontend.to_string(), Tcp::Syn);
            packet.splice(12..12, [0x8100, tag].iter().flat_map(|half| half.to_be_bytes()));
            let before = rig.count(Counter::FlowNew);
            rig.receive(&packet);
            assert_eq!(rig.count(Counter::FlowNew) - before, flows, "{tag:#x} {client}");
        }
    }
}
