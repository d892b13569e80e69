//! SCTP: associations through every kind of frontend, the checksum computed in full.

use std::net::{IpAddr, SocketAddr};

use lb_common::{Protocol, counter::Counter, limits, settings::flags};
use lb_userspace::model::FrontendKind;

use crate::{
    chunk::{self, BACKEND_TAG, CLIENT_TAG, Chunk, sctp},
    ending::await_fewer,
    frame::{self, Said},
    message,
    rig::{At, Fate, Outcome, Parties, Rig, at},
    service::{Port, family_of, port},
};

const NODE_PORT: u16 = 30_132;
/// Where the checksum stands, from the end of the network header.
const CHECKSUM: usize = 8;

fn vip(like: IpAddr) -> IpAddr {
    let text = if like.is_ipv4() { "198.51.100.13" } else { "2001:db8:51::13" };
    text.parse().unwrap()
}

/// The kinds of frontend a client outside may call, with the address it calls.
fn frontends(parties: &Parties) -> [(FrontendKind, SocketAddr); 3] {
    [
        (FrontendKind::NodePort, at(parties.node, NODE_PORT)),
        (FrontendKind::ExternalIp, at(vip(parties.node), 3_868)),
        (FrontendKind::LoadBalancer, at(vip(parties.node), 3_869)),
    ]
}

fn service(kind: FrontendKind, frontend: SocketAddr) -> Port {
    let name = format!("{kind:?}").to_lowercase();
    port(&name, Protocol::Sctp, family_of(frontend.ip())).at(kind, frontend)
}

/// A NodePort in front of one backend.
fn program(rig: &mut Rig, parties: &Parties, near: bool) -> (SocketAddr, SocketAddr) {
    let frontend = at(parties.node, NODE_PORT);
    let backend = at(if near { parties.near } else { parties.far }, 8080);
    let service = service(FrontendKind::NodePort, frontend);
    let service = if near { service.local(backend) } else { service.elsewhere(backend) };
    rig.program([service.build()]);
    (frontend, backend)
}

/// First chunks, and packets of every length modulo four, short and long.
fn chunks() -> impl Iterator<Item = Chunk> {
    let data = (0..9).chain([255, 256, 257, 1_000, 1_400]).map(Chunk::Data);
    [Chunk::Init, Chunk::CookieEcho].into_iter().chain(data)
}

#[test]
fn a_backend_on_this_node_is_called_by_the_client_itself() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let near = at(parties.near, 8080);
        for ((kind, frontend), source_port) in frontends(&parties).into_iter().zip(40_000..) {
            rig.program([service(kind, frontend).local(near).build()]);
            let client = at(parties.client, source_port);
            for chunk in chunks() {
                let outcome = rig.ingress(&sctp(client, frontend, chunk));
                assert_eq!(outcome.fate, Fate::Pass, "{kind:?} {chunk:?}");
                assert_eq!(frame::read(&outcome.bytes), Said { from: client, to: near, ttl: 64 });
                let outcome = rig.run(At::TcEgress, &sctp(near, client, chunk));
                let expected = Said { from: frontend, to: client, ttl: 64 };
                assert_eq!((outcome.fate, frame::read(&outcome.bytes)), (Fate::Pass, expected));
            }
        }
    }
}

#[test]
fn a_backend_elsewhere_is_called_from_an_address_of_ours() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (client, far) = (at(parties.client, 40_000), at(parties.far, 8080));
        for (kind, frontend) in frontends(&parties) {
            rig.program([service(kind, frontend).elsewhere(far).build()]);
            for chunk in chunks() {
                let outcome = rig.ingress(&sctp(client, frontend, chunk));
                let said = frame::read(&outcome.bytes);
                assert_eq!((outcome.fate, said.to, said.ttl), (Fate::Sent, far, 63), "{chunk:?}");
                assert_eq!(said.from.ip(), parties.node);
                let range = limits::SNAT_PORT_FIRST..=limits::SNAT_PORT_LAST;
                assert!(range.contains(&said.from.port()), "{}", said.from);
                let outcome = rig.ingress(&sctp(far, said.from, chunk));
                let expected = Said { from: frontend, to: client, ttl: 63 };
                assert_eq!((outcome.fate, frame::read(&outcome.bytes)), (Fate::Sent, expected));
            }
        }
    }
}

#[test]
fn source_ports_are_given_out_for_each_protocol_alone() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (frontend, far) = program(&mut rig, &parties, false);
        let over_tcp = port("tcp", Protocol::Tcp, family_of(far.ip()))
            .at(FrontendKind::NodePort, frontend)
            .elsewhere(far);
        rig.program([over_tcp.build()]);
        let client = at(parties.client, limits::SNAT_PORT_FIRST + 7);
        for packet in [sctp(client, frontend, Chunk::Init), message::short(true, client, frontend)]
        {
            let said = frame::read(&rig.ingress(&packet).bytes);
            assert_eq!(said.from.port(), client.port(), "the client's own is free in both");
        }
    }
}

/// A packet with another checksum field.
pub fn with_checksum(mut packet: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let network = if packet[14] >> 4 == 6 { 40 } else { 20 };
    change(&mut packet[14 + network + CHECKSUM..][..4]);
    packet
}

#[test]
fn a_checksum_that_is_to_be_filled_in_is_left_to_that() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        for near in [true, false] {
            let (frontend, backend) = program(&mut rig, &parties, near);
            let client = at(parties.client, 40_001 + u16::from(near));
            let packet =
                |from, to| with_checksum(sctp(from, to, Chunk::Data(100)), |field| field.fill(0));
            let there = packet(client, frontend);
            let outcome = rig.run(At::Xdp, &there);
            assert_eq!((outcome.fate, &outcome.bytes), (Fate::Pass, &there), "left to tc");
            let said = frame::read_partial(&rig.run(At::TcIngress, &there).bytes);
            assert_eq!(said.to, backend);
            let answers = if near { At::TcEgress } else { At::TcIngress };
            let back = rig.run(answers, &packet(backend, said.from));
            let said = frame::read_partial(&back.bytes);
            assert_eq!((said.from, said.to), (frontend, client));
        }
    }
    assert_eq!(rig.count(Counter::XdpPartialChecksum), 4);
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (frontend, _) = program(&mut rig, &parties, true);
        let right = sctp(at(parties.client, 40_000), frontend, Chunk::Data(33));
        let wrong = with_checksum(right.clone(), |field| field[2] ^= 0x10);
        let (right, wrong) = (rig.ingress(&right), rig.ingress(&wrong));
        assert_eq!(with_checksum(right.bytes, |field| field[2] ^= 0x10), wrong.bytes);
    }
}

/// One association through our address, and what it holds.
struct Association {
    client: SocketAddr,
    frontend: SocketAddr,
    backend: SocketAddr,
}

impl Association {
    /// The client's packet; gives our end.
    #[track_caller]
    fn says(&self, rig: &mut Rig, chunk: Chunk) -> SocketAddr {
        let outcome = rig.run(At::Xdp, &sctp(self.client, self.frontend, chunk));
        let said = frame::read(&outcome.bytes);
        assert_eq!((outcome.fate, said.to), (Fate::Sent, self.backend), "{chunk:?}");
        said.from
    }

    /// The backend's.
    #[track_caller]
    fn hears(&self, rig: &mut Rig, ours: SocketAddr, chunk: Chunk) {
        let outcome = rig.run(At::Xdp, &sctp(self.backend, ours, chunk));
        let said = frame::read(&outcome.bytes);
        assert_eq!((said.from, said.to), (self.frontend, self.client), "{chunk:?}");
    }

    #[track_caller]
    fn begins(&self, rig: &mut Rig) -> SocketAddr {
        let ours = self.says(rig, Chunk::Init);
        self.hears(rig, ours, Chunk::InitAck);
        assert_eq!(self.says(rig, Chunk::CookieEcho), ours);
        self.hears(rig, ours, Chunk::CookieAck);
        ours
    }
}

/// The ways an association ends: whose packets they are, and whether the port is free after each.
const ENDS: [&[(bool, Chunk, bool)]; 4] = [
    &[
        (true, Chunk::Shutdown, false),
        (false, Chunk::ShutdownAck, true),
        (true, Chunk::ShutdownComplete, true),
    ],
    &[
        (false, Chunk::Shutdown, false),
        (true, Chunk::ShutdownAck, true),
        (false, Chunk::ShutdownComplete, true),
    ],
    &[(true, Chunk::Abort, true)],
    &[(false, Chunk::Abort, true)],
];

#[test]
fn a_source_port_is_free_again_when_the_association_has_ended() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (frontend, backend) = program(&mut rig, &parties, false);
        for (end, source_port) in ENDS.iter().zip(40_000..) {
            let client = at(parties.client, source_port);
            let association = Association { client, frontend, backend };
            let ours = association.begins(&mut rig);
            for (is_client, chunk, is_free) in *end {
                if *is_client {
                    assert_eq!(association.says(&mut rig, *chunk), ours, "to its end");
                } else {
                    association.hears(&mut rig, ours, *chunk);
                }
                let pools = rig.pools();
                let pool = pools.iter().find(|pool| pool.backend == backend).unwrap();
                assert_eq!(pool.taken == 0, *is_free, "{chunk:?}");
            }
        }
    }
    assert_eq!(rig.halves(), 0);
}

#[test]
fn an_association_is_over_when_it_has_been_silent_for_an_hour() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (frontend, backend) = program(&mut rig, &parties, false);
        let of = |source_port| Association {
            client: at(parties.client, source_port),
            frontend,
            backend,
        };
        // More than there is provisional room for, so that the first are looked at as confirmed.
        (41_000..41_200).for_each(|source_port| _ = of(source_port).begins(&mut rig));
        let flows = rig.flows();
        rig.rest(limits::SCTP_IDLE_S - 100);
        rig.upkeep().sweep().unwrap();
        assert_eq!(rig.flows(), flows, "not over yet");
        rig.rest(101);
        await_fewer(&mut rig, flows, |rig| rig.upkeep().sweep().unwrap());
        assert_eq!(rig.halves(), 0);
    }
}

#[track_caller]
fn refused(outcome: &Outcome, packet: &[u8], expected: &[u8]) {
    assert_eq!(outcome.fate, Fate::Sent);
    assert_eq!(outcome.bytes[12..], expected[12..]);
    assert_eq!(outcome.bytes[..12], [&packet[6..12], &packet[..6]].concat(), "the way back");
}

#[test]
fn an_association_with_nobody_is_answered_with_an_abort_that_is_believed() {
    let mut rig = Rig::with_flags(flags::REJECT_UNUSED_PORTS);
    for parties in rig.families() {
        let client = at(parties.client, 40_000);
        let [(node_port, to), _, (balancer, used)] = frontends(&parties);
        rig.program([service(node_port, to).build(), service(balancer, used).build()]);
        let unused = at(used.ip(), 9);
        for to in [to, used, unused] {
            for (chunk, tag, flags) in [
                (Chunk::Init, CLIENT_TAG, 0),
                (Chunk::InitAck, BACKEND_TAG, 1),
                (Chunk::Data(100), BACKEND_TAG, 1),
                (Chunk::Data(1_400), BACKEND_TAG, 1),
                (Chunk::Shutdown, BACKEND_TAG, 1),
                (Chunk::CookieAck, BACKEND_TAG, 1),
            ] {
                let packet = sctp(client, to, chunk);
                let expected = chunk::abort(to, client, tag, flags);
                refused(&rig.ingress(&packet), &packet, &expected);

                let partial = with_checksum(packet, |field| field.fill(0));
                let expected = with_checksum(expected, |field| field.fill(0));
                refused(&rig.run(At::TcIngress, &partial), &partial, &expected);
            }
            for chunk in [Chunk::Abort, Chunk::ShutdownComplete] {
                let outcome = rig.ingress(&sctp(client, to, chunk));
                assert_eq!(outcome.fate, Fate::Dropped, "{chunk:?} is not answered");
            }
        }
    }
    assert_eq!(rig.flows(), 0);
}

#[test]
fn fragments_follow_the_first_one_where_no_port_changes_and_are_dropped_where_one_does() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let client = at(parties.client, 40_000);
        let frontend = at(vip(parties.node), 8080);
        for (backend_port, follows) in [(8080, true), (8081, false)] {
            let near = at(parties.near, backend_port);
            rig.program([service(FrontendKind::LoadBalancer, frontend).local(near).build()]);
            rig.forget();
            let packet = sctp(client, frontend, Chunk::Data(2_000));
            let parts = message::fragments(&packet, backend_port, 1_448);
            let before = rig.count(Counter::DropRewrite);
            let outcomes: Vec<_> = parts.iter().map(|part| rig.ingress(part)).collect();
            if follows {
                let parts: Vec<_> = outcomes.into_iter().map(|outcome| outcome.bytes).collect();
                let said = frame::read(&message::reassemble(&parts));
                assert_eq!(said, Said { from: client, to: near, ttl: 64 });
            } else {
                assert_eq!(outcomes[0].fate, Fate::Dropped);
                assert_eq!(rig.count(Counter::DropRewrite) - before, 3);
            }
        }
    }
}
