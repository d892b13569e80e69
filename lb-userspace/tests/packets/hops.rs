//! What a known flow remembers of the way out, and for how long: routes, neighbours and links change
//! without telling anybody.

use std::time::{Duration, Instant};

use lb_common::{Protocol, counter::Counter, limits};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Tcp},
    message,
    rig::{At, Fate, Parties, Rig, at},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_080;
const BELIEVED: Duration = Duration::from_millis(limits::FLOW_REFRESH_MS as u64);
/// Ethernet addresses of the other node, before and after.
const OLD: [u8; 6] = [2, 0, 0, 0, 1, 1];
const NEW: [u8; 6] = [2, 0, 0, 0, 1, 2];

/// A packet of a connection to a backend elsewhere.
fn known_flow(rig: &mut Rig, parties: Parties) -> Vec<u8> {
    let (frontend, far) = (at(parties.node, NODE_PORT), at(parties.far, 8080));
    let service = port("web", Protocol::Tcp, family_of(far.ip()))
        .at(FrontendKind::NodePort, frontend)
        .elsewhere(far);
    rig.program([service.build()]);
    rig.set_neighbour(parties.node.is_ipv6(), OLD);
    let packet =
        |flags| frame::tcp(&at(parties.client, 40_000).to_string(), &frontend.to_string(), flags);
    assert_eq!(rig.run(At::Xdp, &packet(Tcp::Syn)).fate, Fate::Sent);
    packet(Tcp::Ack)
}

/// Whom the packet is sent to.
fn neighbour(rig: &mut Rig, at: At, packet: &[u8]) -> [u8; 6] {
    let outcome = rig.run(at, packet);
    assert_eq!(outcome.fate, Fate::Sent);
    outcome.bytes[..6].try_into().unwrap()
}

#[test]
fn a_neighbours_new_address_is_followed_within_the_stated_time_under_constant_traffic() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let packet = known_flow(&mut rig, parties);
        assert_eq!(neighbour(&mut rig, At::Xdp, &packet), OLD);
        rig.set_neighbour(parties.node.is_ipv6(), NEW);
        let changed = Instant::now();
        let (mut last, mut asked) = (changed, changed);
        while neighbour(&mut rig, At::Xdp, &packet) == OLD {
            last = asked;
            asked = Instant::now();
        }
        // The last packet that went to the old address was not sent before this time. When it was
        // is not known: something may have held us up.
        assert!(last - changed < 2 * BELIEVED, "{:?}", last - changed);
    }
}

#[test]
fn what_the_fib_said_is_believed_for_a_moment_by_both_programs_and_not_longer() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let packet = known_flow(&mut rig, parties);
        for program in [At::Xdp, At::TcIngress] {
            let believed = (0..20).any(|_| {
                rig.set_neighbour(parties.node.is_ipv6(), OLD);
                rig.rest(1);
                let began = Instant::now();
                assert_eq!(neighbour(&mut rig, At::Xdp, &packet), OLD);
                rig.set_neighbour(parties.node.is_ipv6(), NEW);
                let to = neighbour(&mut rig, program, &packet);
                if began.elapsed() > BELIEVED / 2 {
                    return false; // Something held us up: that says nothing.
                }
                assert_eq!(to, OLD, "{program:?} asked again");
                true
            });
            assert!(believed);
            rig.rest(1);
            assert_eq!(neighbour(&mut rig, At::Xdp, &packet), NEW);
        }
    }
}

#[test]
fn a_route_that_moves_to_another_device_is_followed() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let packet = known_flow(&mut rig, parties);
        assert_eq!(rig.run(At::Xdp, &packet).fate, Fate::Sent);
        rig.reroute(parties.far, parties.near);
        rig.rest(1);
        // Out of the pods' bridge, where XDP may not send.
        let before = rig.count(Counter::XdpRoute);
        let outcome = rig.run(At::Xdp, &packet);
        assert_eq!((outcome.fate, outcome.bytes), (Fate::Pass, packet.clone()));
        assert_eq!(rig.run(At::TcIngress, &packet).fate, Fate::Sent);
        // Not though tc knows it now, either.
        assert_eq!(rig.run(At::Xdp, &packet).fate, Fate::Pass);
        assert_eq!(rig.count(Counter::XdpRoute) - before, 2);
    }
}

/// What XDP and then tc make of a packet; XDP must not change what it does not finish.
#[track_caller]
fn fates(rig: &mut Rig, packet: &[u8]) -> (Fate, Fate) {
    let xdp = rig.run(At::Xdp, packet);
    if xdp.fate == Fate::Pass {
        assert_eq!(xdp.bytes, packet, "untouched");
    }
    (xdp.fate, rig.run(At::TcIngress, packet).fate)
}

#[test]
fn what_may_not_be_routed_is_left_to_tc_untouched_and_dropped_there() {
    const COUNTERS: [Counter; 2] = [Counter::XdpRoute, Counter::DropNoRoute];
    let mut rig = Rig::new();
    for parties in rig.families() {
        let packet = known_flow(&mut rig, parties);
        let new = message::short(true, at(parties.client, 40_001), at(parties.node, NODE_PORT));
        let flows = rig.flows();
        rig.refuse(parties.far);
        rig.rest(1);
        for packet in [packet, new] {
            let before = COUNTERS.map(|counter| rig.count(counter));
            assert_eq!(fates(&mut rig, &packet), (Fate::Pass, Fate::Dropped));
            assert_eq!(COUNTERS.map(|counter| rig.count(counter)), before.map(|count| count + 1));
        }
        assert_eq!(rig.flows(), flows, "nothing is entered for a new one");
    }
}

/// The kernel says of a packet that no route leads out that it is its own to look after.
#[test]
fn without_any_route_a_known_flow_is_dropped_and_a_new_one_is_the_stacks() {
    let mut rig = Rig::new();
    let networks = [["10.244.2.0/24", "0.0.0.0/0"], ["fd00:244:2::/64", "::/0"]];
    for (parties, networks) in rig.families().into_iter().zip(networks) {
        let packet = known_flow(&mut rig, parties);
        for network in networks {
            rig.unroute(network.parse().unwrap());
        }
        rig.rest(1);
        let before = rig.count(Counter::DropNoRoute);
        assert_eq!(fates(&mut rig, &packet), (Fate::Dropped, Fate::Dropped));
        assert_eq!(rig.count(Counter::DropNoRoute) - before, 2);

        let client = at(parties.client, 40_001);
        let outcome = rig.ingress(&message::short(true, client, at(parties.node, NODE_PORT)));
        assert_eq!(outcome.fate, Fate::Pass, "who tells the client");
        let said = frame::read(&outcome.bytes);
        assert_eq!((said.from, said.to), (client, at(parties.far, 8080)));
    }
}

#[test]
fn a_link_that_takes_less_is_told_of_and_one_that_takes_more_is_used_at_once() {
    const MTU: u32 = 1_400;
    let mut rig = Rig::new();
    for parties in rig.families() {
        rig.set_mtu(1_500);
        known_flow(&mut rig, parties);
        let (client, frontend) = (at(parties.client, 40_000), at(parties.node, NODE_PORT));
        let headers = message::sized(true, client, frontend, 0).len() - 14;
        let packet = message::sized(true, client, frontend, MTU as usize + 1 - headers);
        assert_eq!(rig.ingress(&packet).fate, Fate::Sent);
        let before = rig.count(Counter::DropTooBig);
        rig.set_mtu(MTU);
        rig.rest(1);
        rig.allow_errors();
        assert_eq!(rig.run(At::Xdp, &packet).fate, Fate::Sent, "the answer");
        assert_eq!(rig.run(At::TcIngress, &packet).fate, Fate::Sent, "the answer");
        assert_eq!(rig.count(Counter::DropTooBig) - before, 2);
        let short = message::short(true, client, frontend);
        assert_eq!(frame::read(&rig.run(At::Xdp, &short).bytes).to, at(parties.far, 8080));
        rig.set_mtu(1_500);
        assert_eq!(frame::read(&rig.run(At::Xdp, &packet).bytes).to, at(parties.far, 8080));
    }
}

#[test]
fn hops_are_counted_down_on_a_remembered_way_too() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let packet = known_flow(&mut rig, parties);
        assert_eq!(frame::read(&rig.ingress(&packet).bytes).ttl, 63);
        let before = rig.count(Counter::DropTtl);
        rig.ingress(&frame::with_ttl(packet, 1));
        assert_eq!(rig.count(Counter::DropTtl) - before, 3);
    }
}

#[test]
fn tc_writes_the_same_frame_as_xdp_once_the_way_is_known() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let packet = known_flow(&mut rig, parties);
        let agree = (0..20).any(|_| {
            let xdp = rig.run(At::Xdp, &packet);
            rig.run(At::TcIngress, &packet).bytes == xdp.bytes
        });
        assert!(agree);
    }
}

#[test]
fn now_and_then_a_packet_goes_by_the_kernels_neighbour_table() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let packet = known_flow(&mut rig, parties);
        rig.rest(1);
        assert_eq!(rig.run(At::Xdp, &packet).fate, Fate::Sent, "not yet");
        rig.hide();
        rig.rest(1);
        let outcome = rig.run(At::Xdp, &packet);
        assert_eq!((outcome.fate, outcome.bytes), (Fate::Pass, packet.clone()), "for tc");
        let frame = rig.run(At::TcIngress, &packet).bytes;
        assert_eq!(frame[..14], packet[..14], "its addresses are the table's to write");
        rig.rest(1);
        assert_eq!(rig.run(At::Xdp, &packet).fate, Fate::Sent, "that will do");
    }
}
