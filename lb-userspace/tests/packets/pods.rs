//! Pods whose calls no socket hook saw, at the device that they are behind: tc alone, as XDP is not
//! there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use lb_common::{Protocol, counter::Counter, limits, settings::flags};
use lb_userspace::model::FrontendKind;

use crate::{
    chunk::{self, CLIENT_TAG, Chunk, sctp},
    frame::{self, Said, Tcp},
    message::{self, Icmp, quote},
    rig::{At, Fate, Outcome, Parties, Rig, at},
    sctp::with_checksum,
    service::{Port, family_of, port},
};

const NODE_PORT: u16 = 30_080;
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
/// What a link of 1500 bytes leaves for a fragment.
const LINK: usize = 1_448;

/// A pod beside the near one, behind the same device.
fn caller(parties: &Parties) -> SocketAddr {
    let beside: IpAddr = match parties.near {
        IpAddr::V4(near) => Ipv4Addr::from_bits(near.to_bits() | 0x40).into(),
        IpAddr::V6(near) => Ipv6Addr::from_bits(near.to_bits() | 0x40).into(),
    };
    at(beside, 40_000)
}

fn address(like: IpAddr, v4: &str, v6: &str) -> IpAddr {
    if like.is_ipv4() { v4 } else { v6 }.parse().unwrap()
}

/// Every kind of frontend, with the address that is called.
fn frontends(parties: &Parties) -> [(FrontendKind, SocketAddr); 4] {
    let cluster_ip = address(parties.node, "10.96.0.9", "fd00:96::9");
    let vip = address(parties.node, "198.51.100.9", "2001:db8:51::9");
    [
        (FrontendKind::ClusterIp, at(cluster_ip, 80)),
        (FrontendKind::ExternalIp, at(vip, 80)),
        (FrontendKind::LoadBalancer, at(vip, 81)),
        (FrontendKind::NodePort, at(parties.node, NODE_PORT)),
    ]
}

fn service(protocol: Protocol, (kind, frontend): (FrontendKind, SocketAddr)) -> Port {
    let name = format!("{kind:?}").to_lowercase();
    port(&name, protocol, family_of(frontend.ip())).at(kind, frontend)
}

/// The packet that a flow begins with.
fn first(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => message::short(true, from, to),
        Protocol::Udp => message::sized(false, from, to, 100),
        Protocol::Sctp => sctp(from, to, Chunk::Init),
    }
}

/// One of many bytes that comes later.
fn later(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    match protocol {
        Protocol::Sctp => sctp(from, to, Chunk::Data(1_001)),
        _ => message::sized(protocol == Protocol::Tcp, from, to, 1_001),
    }
}

#[track_caller]
fn said(outcome: &Outcome, fate: Fate, from: SocketAddr, to: SocketAddr) {
    let ttl = if fate == Fate::Sent { 63 } else { 64 };
    assert_eq!((outcome.fate, frame::read(&outcome.bytes)), (fate, Said { from, to, ttl }));
}

#[track_caller]
fn untouched(rig: &mut Rig, places: &[At], packet: &[u8]) {
    for place in places {
        let outcome = rig.run(*place, packet);
        assert_eq!((outcome.fate, &outcome.bytes[..]), (Fate::Pass, packet), "{place:?}");
    }
}

#[test]
fn a_pod_reaches_backends_here_and_elsewhere_by_its_own_address() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        for frontend in frontends(&parties) {
            for protocol in PROTOCOLS {
                for near in [true, false] {
                    let (caller, (_, called)) = (caller(&parties), frontend);
                    let backend = at(if near { parties.near } else { parties.far }, 8080);
                    let service = service(protocol, frontend);
                    let service =
                        if near { service.local(backend) } else { service.elsewhere(backend) };
                    rig.forget();
                    rig.program([service.build()]);
                    for packet in [first, first, later] {
                        let there = rig.run(At::FromPod, &packet(protocol, caller, called));
                        said(&there, Fate::Pass, caller, backend);
                        let answer = packet(protocol, backend, caller);
                        if !near {
                            untouched(&mut rig, &[At::TcEgress], &there.bytes);
                            untouched(&mut rig, &[At::Xdp, At::TcIngress], &answer);
                        }
                        let back = rig.run(At::ToPod, &answer);
                        said(&back, Fate::Pass, called, caller);
                    }
                    assert_eq!((rig.flows(), rig.halves()), (2, 0));
                }
            }
        }
    }
    assert!(rig.pools().is_empty(), "no source port is needed");
}

#[test]
fn a_pod_that_is_sent_to_itself_sees_an_address_of_ours() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        for frontend in frontends(&parties) {
            for protocol in PROTOCOLS {
                let (caller, (_, called)) = (at(parties.near, 40_000), frontend);
                let itself = at(parties.near, 8080);
                rig.forget();
                rig.program([service(protocol, frontend).local(itself).build()]);
                for packet in [first, first, later] {
                    let there = rig.run(At::FromPod, &packet(protocol, caller, called));
                    let ours = frame::read(&there.bytes).from;
                    assert_eq!(ours.ip(), parties.node);
                    let range = limits::SNAT_PORT_FIRST..=limits::SNAT_PORT_LAST;
                    assert!(range.contains(&ours.port()), "{ours}");
                    said(&there, Fate::Sent, ours, itself);
                    let back = rig.run(At::FromPod, &packet(protocol, itself, ours));
                    said(&back, Fate::Sent, called, caller);
                }
                assert_eq!((rig.flows(), rig.halves()), (2, 0));
            }
        }
    }
}

#[test]
fn policy_local_binds_a_pod_at_the_cluster_ip_and_nowhere_else() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        for frontend in frontends(&parties) {
            for protocol in PROTOCOLS {
                let (caller, (kind, called)) = (caller(&parties), frontend);
                let far = at(parties.far, 8080);
                let service = service(protocol, frontend).external_local().internal_local();
                rig.forget();
                rig.program([service.elsewhere(far).build()]);
                let before = rig.count(Counter::DropNoLocalEndpoint);
                let outcome = rig.run(At::FromPod, &first(protocol, caller, called));
                if kind == FrontendKind::ClusterIp {
                    assert_eq!(outcome.fate, Fate::Dropped, "{protocol}");
                    assert_eq!(rig.count(Counter::DropNoLocalEndpoint) - before, 1);
                } else {
                    said(&outcome, Fate::Pass, caller, far);
                }
            }
        }
    }
}

#[test]
fn source_ranges_let_a_pod_in_by_its_own_address() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let from = caller(&parties);
        let [_, _, balancer, node_port] = frontends(&parties);
        let own = format!("{}/{}", from.ip(), if from.is_ipv4() { 32 } else { 128 });
        let others = if from.is_ipv4() { "203.0.113.0/24" } else { "2001:db8:113::/64" };
        for protocol in PROTOCOLS {
            for (range, is_in) in [(own.as_str(), true), (others, false)] {
                let far = at(parties.far, 8080);
                let service = service(protocol, balancer).at(node_port.0, node_port.1);
                rig.forget();
                rig.program([service.source_range(range).elsewhere(far).build()]);
                let before = rig.count(Counter::DropSourceRange);
                let outcome = rig.run(At::FromPod, &first(protocol, from, balancer.1));
                assert_eq!(outcome.fate == Fate::Pass, is_in, "{protocol} {range}");
                assert_eq!(rig.count(Counter::DropSourceRange) - before, u64::from(!is_in));
                rig.forget();
                let outcome = rig.run(At::FromPod, &first(protocol, from, node_port.1));
                said(&outcome, Fate::Pass, from, far);
            }
        }
    }
}

#[test]
fn a_checksum_that_a_pod_left_to_be_filled_in_is_left_to_that() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        for frontend @ (_, called) in frontends(&parties) {
            let (from, itself) = (caller(&parties), at(parties.near, 40_000));
            let near = at(parties.near, 8080);
            for (from, back) in [(from, At::ToPod), (itself, At::FromPod)] {
                rig.forget();
                rig.program([service(Protocol::Sctp, frontend).local(near).build()]);
                let packet = |from, to| {
                    with_checksum(sctp(from, to, Chunk::Data(100)), |field| field.fill(0))
                };
                let there = rig.run(At::FromPod, &packet(from, called));
                let there = frame::read_partial(&there.bytes);
                assert_eq!(there.to, near);
                let answer = rig.run(back, &packet(near, there.from));
                let said = frame::read_partial(&answer.bytes);
                assert_eq!((said.from, said.to), (called, from));
            }
        }
    }
}

/// How whoever called is told over a transport that nobody is there.
fn refusal(protocol: Protocol, packet: &[u8], from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    match protocol {
        Protocol::Tcp => message::reset(to, from, 0, Some(1_008)),
        Protocol::Sctp => chunk::abort(to, from, CLIENT_TAG, 0),
        Protocol::Udp => {
            let kind = if from.is_ipv4() { [3, 3] } else { [1, 4] };
            Icmp { kind, rest: 0, payload: quote(packet, None) }.frame(to.ip(), from.ip(), 64)
        }
    }
}

#[test]
fn where_nobody_answers_a_pod_is_refused_at_once() {
    let mut rig = Rig::with_flags(flags::REJECT_UNUSED_PORTS);
    for parties in rig.families() {
        let from = caller(&parties);
        for frontend in frontends(&parties) {
            for protocol in PROTOCOLS {
                let (kind, called) = frontend;
                rig.program([service(protocol, frontend).build()]);
                let unused = at(called.ip(), 9);
                for to in [called, unused] {
                    let packet = first(protocol, from, to);
                    if to == unused && kind != FrontendKind::ClusterIp {
                        // The network may know more of it, and the node's stack does.
                        untouched(&mut rig, &[At::FromPod, At::ToPod], &packet);
                        continue;
                    }
                    rig.allow_errors();
                    let outcome = rig.run(At::FromPod, &packet);
                    assert_eq!(outcome.fate, Fate::Sent, "{protocol} {to}");
                    let expected = refusal(protocol, &packet, from, to);
                    assert_eq!(outcome.bytes[14..], expected[14..], "{protocol} {to}");
                    let turned = [&packet[6..12], &packet[..6]].concat();
                    assert_eq!(outcome.bytes[..12], turned, "the way back");
                }
            }
        }
    }
    assert_eq!(rig.flows(), 0);
}

#[track_caller]
fn whole(rig: &mut Rig, place: At, datagram: &[u8], fate: Fate) -> Said {
    let parts = message::fragments(datagram, 7, LINK);
    let outcomes: Vec<_> = parts.iter().map(|part| rig.run(place, part)).collect();
    assert!(outcomes.iter().all(|outcome| outcome.fate == fate), "{outcomes:?}");
    let parts: Vec<_> = outcomes.into_iter().map(|outcome| outcome.bytes).collect();
    frame::read(&message::reassemble(&parts))
}

#[test]
fn all_fragments_of_a_pods_datagram_and_of_its_answer_are_translated_alike() {
    const SIZE: usize = 4_000;
    let mut rig = Rig::new();
    for parties in rig.families() {
        for frontend in frontends(&parties) {
            let (_, called) = frontend;
            let itself = at(parties.near, 40_000);
            for (from, backend) in [
                (caller(&parties), at(parties.near, 8080)),
                (caller(&parties), at(parties.far, 8080)),
                (itself, at(parties.near, 8080)),
            ] {
                rig.forget();
                rig.program([service(Protocol::Udp, frontend).elsewhere(backend).build()]);
                let (fate, answers) = if from == itself {
                    (Fate::Sent, At::FromPod)
                } else {
                    (Fate::Pass, At::ToPod)
                };
                let datagram = message::sized(false, from, called, SIZE);
                let there = whole(&mut rig, At::FromPod, &datagram, fate);
                assert_eq!(there.to, backend);
                assert_eq!(there.from == from, from != itself);
                let datagram = message::sized(false, backend, there.from, SIZE);
                let back = whole(&mut rig, answers, &datagram, fate);
                assert_eq!((back.from, back.to), (called, from));
            }
        }
    }
}

fn echo(kind: u8, from: IpAddr, to: IpAddr) -> Vec<u8> {
    Icmp { kind: [kind, 0], rest: 0x1234_0001, payload: b"is anybody there?" }.frame(from, to, 64)
}

#[test]
fn a_cluster_ip_answers_a_pods_ping_and_other_vips_are_left_to_the_network() {
    for (set, answers) in [(flags::VIP_PING, true), (0, false)] {
        let mut rig = Rig::with_flags(set);
        for parties in rig.families() {
            let frontends = frontends(&parties);
            rig.program(frontends.map(|frontend| service(Protocol::Tcp, frontend).build()));
            let [request, reply] = if parties.node.is_ipv4() { [8, 0] } else { [128, 129] };
            let caller = caller(&parties).ip();
            for (kind, called) in frontends {
                let packet = echo(request, caller, called.ip());
                if answers && kind == FrontendKind::ClusterIp {
                    let outcome = rig.run(At::FromPod, &packet);
                    assert_eq!(outcome.fate, Fate::Sent);
                    let expected = echo(reply, called.ip(), caller);
                    assert_eq!(outcome.bytes[14..], expected[14..]);
                    let turned = [&packet[6..12], &packet[..6]].concat();
                    assert_eq!(outcome.bytes[..12], turned, "the way back");
                } else {
                    untouched(&mut rig, &[At::FromPod], &packet);
                }
            }
        }
        assert_eq!(rig.count(Counter::VipPing), if answers { 2 } else { 0 });
    }
}

#[test]
fn a_connection_that_began_before_we_sat_there_is_served_from_its_next_first_packet_on() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let frontend @ (_, called) = frontends(&parties)[0];
        let (from, far) = (caller(&parties), at(parties.far, 8080));
        rig.program([service(Protocol::Tcp, frontend).elsewhere(far).build()]);
        let syn = frame::tcp(&from.to_string(), &called.to_string(), Tcp::Syn);
        // What the host's routes make of the one that came too early: it leaves as it is.
        untouched(&mut rig, &[At::TcEgress], &syn);
        said(&rig.run(At::FromPod, &syn), Fate::Pass, from, far);
        let syn_ack = frame::tcp(&far.to_string(), &from.to_string(), Tcp::SynAck);
        said(&rig.run(At::ToPod, &syn_ack), Fate::Pass, called, from);
    }
}
