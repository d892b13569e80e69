//! Answers that the programs make: resets and ICMP errors, byte for byte.

use std::net::{IpAddr, SocketAddr};

use lb_common::{Protocol, counter::Counter, limits, settings::flags};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Tcp},
    message::{self, Icmp, quote},
    rig::{At, Fate, Parties, Rig, at},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_080;
/// A port of the VIPs that nobody uses.
const UNUSED: u16 = 81;
/// The most that is quoted.
const MOST: usize = 508;

fn vip(like: IpAddr) -> IpAddr {
    let text = if like.is_ipv4() { "198.51.100.9" } else { "2001:db8:51::9" };
    text.parse().unwrap()
}

/// A Service without endpoints at a NodePort and a VIP, over TCP and UDP.
fn empty(rig: &mut Rig, parties: &Parties) -> [SocketAddr; 2] {
    let at = [at(parties.node, NODE_PORT), at(vip(parties.node), 80)];
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let service =
            port(&format!("{protocol}").to_lowercase(), protocol, family_of(parties.node))
                .at(FrontendKind::NodePort, at[0])
                .at(FrontendKind::LoadBalancer, at[1]);
        rig.program([service.build()]);
    }
    at
}

#[track_caller]
fn check(rig: &mut Rig, packet: &[u8], expected: &[u8], counter: Counter) {
    let before = rig.count(counter);
    rig.allow_errors();
    let outcome = rig.ingress(packet);
    let tc = rig.run(At::TcIngress, packet);
    assert_eq!(outcome, tc, "the Ethernet header, too");
    assert_eq!(outcome.fate, Fate::Sent);
    assert_eq!(outcome.bytes[12..], expected[12..]);
    assert_eq!(outcome.bytes[..6], packet[6..12], "to who sent it");
    assert_eq!(outcome.bytes[6..12], packet[..6], "by whom it was sent to");
    assert_eq!(rig.count(counter) - before, 4);
}

fn port_unreachable(from: IpAddr) -> [u8; 2] {
    if from.is_ipv4() { [3, 3] } else { [1, 4] }
}

/// The ICMP error about a packet, from where the packet was sent to.
fn error(kind: [u8; 2], rest: u32, from: IpAddr, to: IpAddr, about: &[u8]) -> Vec<u8> {
    let all = quote(about, None);
    let payload = &all[..all.len().min(MOST) & !3];
    Icmp { kind, rest, payload }.frame(from, to, 64)
}

#[test]
fn tcp_to_nobody_is_answered_with_a_reset_that_the_client_believes() {
    let mut rig = Rig::with_flags(flags::REJECT_UNUSED_PORTS);
    for parties in rig.families() {
        let client = at(parties.client, 40_000);
        let [node_port, used] = empty(&mut rig, &parties);
        let unused = at(used.ip(), UNUSED);
        for (to, counter) in [
            (node_port, Counter::RejectNoEndpoint),
            (used, Counter::RejectNoEndpoint),
            (unused, Counter::RejectUnusedPort),
        ] {
            // The data and SYN and FIN count; a segment that acknowledges says where to begin.
            for (flags, sequence, ack) in [
                (Tcp::Syn, 0, Some(1_000 + 7 + 1)),
                (Tcp::SynAck, 2_000, None),
                (Tcp::Ack, 2_000, None),
                (Tcp::Fin, 2_000, None),
            ] {
                let packet = frame::tcp(&client.to_string(), &to.to_string(), flags);
                check(&mut rig, &packet, &message::reset(to, client, sequence, ack), counter);
            }
            let long = message::sized(true, client, to, 1_400);
            check(&mut rig, &long, &message::reset(to, client, 2_000, None), counter);
            let reset = message::reset(client, to, 5, None);
            assert_eq!(rig.ingress(&reset).fate, Fate::Dropped, "no reset for a reset");
        }
    }
    assert_eq!(rig.flows(), 0);
}

#[test]
fn a_service_that_lost_its_endpoints_refuses_new_flows_and_keeps_those_it_has() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (near, to) = (at(parties.near, 8080), at(parties.node, NODE_PORT));
        let base =
            || port("web", Protocol::Tcp, family_of(near.ip())).at(FrontendKind::NodePort, to);
        rig.program([base().local(near).build()]);
        let [old, new] = [40_000, 40_001].map(|source| at(parties.client, source).to_string());
        let packet = |from: &str, flags| frame::tcp(from, &to.to_string(), flags);
        rig.ingress(&packet(&old, Tcp::Syn));
        rig.program([base().build()]);
        assert_eq!(frame::read(&rig.ingress(&packet(&old, Tcp::Ack)).bytes).to, near);
        let syn = packet(&new, Tcp::Syn);
        let expected = message::reset(to, new.parse().unwrap(), 0, Some(1_000 + 7 + 1));
        check(&mut rig, &syn, &expected, Counter::RejectNoEndpoint);
    }
}

#[test]
fn udp_to_nobody_is_answered_with_port_unreachable() {
    let mut rig = Rig::with_flags(flags::REJECT_UNUSED_PORTS);
    for parties in rig.families() {
        let client = at(parties.client, 40_000);
        let [node_port, used] = empty(&mut rig, &parties);
        for (to, counter) in [
            (node_port, Counter::RejectNoEndpoint),
            (used, Counter::RejectNoEndpoint),
            (at(used.ip(), UNUSED), Counter::RejectUnusedPort),
        ] {
            for length in [0, 1, 2, 3, 4, 31, 400, 460, 480, 500, 1_400] {
                let packet = message::sized(false, client, to, length);
                let kind = port_unreachable(to.ip());
                let expected = error(kind, 0, to.ip(), client.ip(), &packet);
                check(&mut rig, &packet, &expected, counter);
            }
        }
    }
}

#[test]
fn unused_ports_are_left_alone_where_that_is_asked_for_and_at_other_addresses_always() {
    for set in [0, flags::REJECT_UNUSED_PORTS] {
        let mut rig = Rig::with_flags(set);
        for parties in rig.families() {
            let client = at(parties.client, 40_000);
            let [_, used] = empty(&mut rig, &parties);
            let far = at(parties.far, UNUSED);
            for to in [at(used.ip(), UNUSED), at(parties.node, UNUSED), far] {
                let packet = message::short(true, client, to);
                let outcome = rig.ingress(&packet);
                if set != 0 && to.ip() == used.ip() {
                    assert_eq!(outcome.fate, Fate::Sent, "{to}");
                } else {
                    assert_eq!((outcome.fate, outcome.bytes), (Fate::Pass, packet), "{to}");
                }
            }
        }
    }
}

#[test]
fn nobody_is_answered_who_may_not_be() {
    let mut rig = Rig::new();
    let [v4, v6] = rig.families();
    for (parties, strangers) in [
        (v4, ["224.0.0.1:1", "0.0.0.0:1", "127.0.0.1:1"]),
        (v6, ["[ff02::1]:1", "[::]:1", "[::1]:1"]),
    ] {
        let [_, to] = empty(&mut rig, &parties);
        for stranger in strangers {
            let packet = message::short(false, stranger.parse().unwrap(), to);
            let before = rig.count(Counter::DropUnanswered);
            assert_eq!(rig.ingress(&packet).fate, Fate::Dropped, "{stranger}");
            assert_eq!(rig.count(Counter::DropUnanswered) - before, 3);
        }
        let mut broadcast = message::short(false, at(parties.client, 1), to);
        broadcast[..6].fill(0xff);
        assert_eq!(rig.ingress(&broadcast).fate, Fate::Dropped, "a frame to everybody");
    }
}

#[test]
fn a_packet_out_of_hops_is_told_of_to_its_sender_both_ways() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (client, far) = (at(parties.client, 40_000), at(parties.far, 8080));
        let frontend = at(parties.node, NODE_PORT);
        for (is_tcp, protocol) in [(true, Protocol::Tcp), (false, Protocol::Udp)] {
            let service = port("web", protocol, family_of(far.ip()))
                .at(FrontendKind::NodePort, frontend)
                .elsewhere(far);
            rig.program([service.build()]);
            let there = message::short(is_tcp, client, frontend);
            let ours = frame::read(&rig.ingress(&there).bytes).from;
            let back = message::short(is_tcp, far, ours);
            for (packet, from, to) in [(there, frontend, client), (back, ours, far)] {
                let packet = frame::with_ttl(packet, 1);
                let kind = if from.is_ipv4() { [11, 0] } else { [3, 0] };
                let expected = error(kind, 0, from.ip(), to.ip(), &packet);
                check(&mut rig, &packet, &expected, Counter::DropTtl);
            }
        }
    }
}

#[test]
fn a_packet_too_big_for_the_next_link_is_told_of_to_its_sender_both_ways() {
    const MTU: u32 = 1_400;
    let mut rig = Rig::new();
    rig.set_mtu(MTU);
    for parties in rig.families() {
        let (client, far) = (at(parties.client, 40_000), at(parties.far, 8080));
        let frontend = at(parties.node, NODE_PORT);
        for (is_tcp, protocol) in [(true, Protocol::Tcp), (false, Protocol::Udp)] {
            let service = port("web", protocol, family_of(far.ip()))
                .at(FrontendKind::NodePort, frontend)
                .elsewhere(far);
            rig.program([service.build()]);
            let ours =
                frame::read(&rig.ingress(&message::short(is_tcp, client, frontend)).bytes).from;
            for (from, to) in [(client, frontend), (far, ours)] {
                let headers = message::sized(is_tcp, from, to, 0).len() - 14;
                let fits = message::sized(is_tcp, from, to, MTU as usize - headers);
                assert_eq!(rig.ingress(&fits).fate, Fate::Sent);
                let packet = message::sized(is_tcp, from, to, MTU as usize - headers + 1);
                let kind = if from.is_ipv4() { [3, 4] } else { [2, 0] };
                let expected = error(kind, MTU, to.ip(), from.ip(), &packet);
                check(&mut rig, &packet, &expected, Counter::DropTooBig);
            }
        }
    }
}

#[test]
fn errors_are_made_at_a_limited_rate_and_resets_are_not() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let [_, to] = empty(&mut rig, &parties);
    let client = at(parties.client, 40_000);
    let many = limits::ICMP_BURST as usize * 20;
    let before = rig.count(Counter::DropUnanswered);
    rig.repeat(&message::short(false, client, to), many);
    let dropped = (rig.count(Counter::DropUnanswered) - before) as usize;
    assert!(dropped > many / 2, "{dropped} of {many} went unanswered");
    let before = rig.count(Counter::DropUnanswered);
    rig.repeat(&message::short(true, client, to), many);
    assert_eq!(rig.count(Counter::DropUnanswered), before);
}
