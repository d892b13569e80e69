//! Datagrams in fragments: the later ones go where the first one goes, both ways.

use std::net::SocketAddr;

use lb_common::{Protocol, counter::Counter};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Said},
    message,
    rig::{At, Fate, Outcome, Parties, Rig, at},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_053;
const SIZE: usize = 2_000;
/// What a link of 1500 bytes leaves for a fragment.
const LINK: usize = 1_448;

fn frontends(parties: &Parties) -> [SocketAddr; 2] {
    let vip = if parties.node.is_ipv4() { "198.51.100.9:53" } else { "[2001:db8:51::9]:53" };
    [at(parties.node, NODE_PORT), vip.parse().unwrap()]
}

fn program(rig: &mut Rig, frontend: SocketAddr, near: bool, backend: SocketAddr) {
    let is_node_port = frontend.port() == NODE_PORT;
    let kind = if is_node_port { FrontendKind::NodePort } else { FrontendKind::LoadBalancer };
    let service = port("dns", Protocol::Udp, family_of(backend.ip())).at(kind, frontend);
    let service = if near { service.local(backend) } else { service.elsewhere(backend) };
    rig.program([service.build()]);
}

/// All of them through the programs; what comes out must be of one fate, and whole.
#[track_caller]
fn whole(outcomes: &[Outcome], fate: Fate) -> Said {
    assert!(outcomes.iter().all(|outcome| outcome.fate == fate), "{outcomes:?}");
    let parts: Vec<_> = outcomes.iter().map(|outcome| outcome.bytes.clone()).collect();
    frame::read(&message::reassemble(&parts))
}

#[test]
fn all_fragments_of_a_datagram_and_of_its_answer_are_translated_alike() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        for (number, frontend) in frontends(&parties).into_iter().enumerate() {
            for near in [true, false] {
                let backend = at(if near { parties.near } else { parties.far }, 8080);
                program(&mut rig, frontend, near, backend);
                let client = at(parties.client, 40_000 + 2 * number as u16 + u16::from(near));
                let datagram = message::sized(false, client, frontend, SIZE);
                for (identity, size) in [(1, LINK), (2, 504), (3, 8)] {
                    let parts = message::fragments(&datagram, identity, size);
                    let before = rig.count(Counter::FragmentFollowed);
                    let outcomes: Vec<_> = parts.iter().map(|part| rig.ingress(part)).collect();
                    let said = whole(&outcomes, if near { Fate::Pass } else { Fate::Sent });
                    assert_eq!(said.to, backend);
                    let later = 3 * (parts.len() as u64 - 1);
                    assert_eq!(rig.count(Counter::FragmentFollowed) - before, later);

                    let answer = message::sized(false, backend, said.from, SIZE);
                    let parts = message::fragments(&answer, identity, size);
                    let outcomes: Vec<_> = parts
                        .iter()
                        .map(
                            |part| {
                                if near { rig.run(At::TcEgress, part) } else { rig.ingress(part) }
                            },
                        )
                        .collect();
                    let said = whole(&outcomes, if near { Fate::Pass } else { Fate::Sent });
                    assert_eq!((said.from, said.to), (frontend, client));
                }
            }
        }
    }
}

#[test]
fn later_fragments_may_come_in_any_order_but_not_before_the_first() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let near = at(parties.near, 8080);
        for frontend in frontends(&parties) {
            program(&mut rig, frontend, true, near);
            let client = at(parties.client, 40_000);
            let datagram = message::sized(false, client, frontend, SIZE);
            let mut parts = message::fragments(&datagram, 7, 504);
            let before = rig.count(Counter::DropFragment);
            let early = rig.ingress(&parts[1]);
            if frontend.port() == NODE_PORT {
                // It may be for a socket of the node's own.
                assert_eq!((early.fate, &early.bytes), (Fate::Pass, &parts[1]));
                assert_eq!(rig.count(Counter::DropFragment), before);
            } else {
                assert_eq!(early.fate, Fate::Dropped);
                assert_eq!(rig.count(Counter::DropFragment) - before, 3);
            }
            parts[1..].reverse();
            let outcomes: Vec<_> = parts.iter().map(|part| rig.ingress(part)).collect();
            let said = whole(&outcomes, Fate::Pass);
            assert_eq!((said.from.ip(), said.to), (client.ip(), near));
        }
    }
}

#[test]
fn fragments_of_others_are_untouched_and_leave_nothing_behind() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let [node_port, _] = frontends(&parties);
        program(&mut rig, node_port, true, at(parties.near, 8080));
        let client = at(parties.client, 40_000);
        for to in [at(parties.near, NODE_PORT), at(parties.node, 5_000)] {
            for part in message::fragments(&message::sized(false, client, to, SIZE), 9, LINK) {
                for place in [At::Xdp, At::TcIngress, At::TcEgress] {
                    let outcome = rig.run(place, &part);
                    assert_eq!((outcome.fate, &outcome.bytes), (Fate::Pass, &part), "{place:?}");
                }
            }
        }
    }
    assert_eq!(rig.count(Counter::FragmentFollowed), 0);
}
