//! Answers of a pod on this node that are sent straight out, past the stack.

use std::net::SocketAddr;

use lb_common::{Protocol, counter::Counter, settings::flags};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Said, Tcp},
    message,
    rig::{At, Fate, Outcome, Parties, Rig, at},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_080;
/// What the external device takes when it is narrow.
const NARROW: u32 = 1_300;

/// Who talks to whom, in one family and protocol.
#[derive(Clone, Copy, Debug)]
struct Call {
    is_tcp: bool,
    client: SocketAddr,
    frontend: SocketAddr,
    pod: SocketAddr,
}

impl Call {
    /// What the pod answers.
    fn answer(&self, length: usize) -> Vec<u8> {
        message::sized(self.is_tcp, self.pod, self.client, length)
    }

    /// The same as it leaves.
    fn translated(&self, length: usize) -> Vec<u8> {
        frame::with_ttl(message::sized(self.is_tcp, self.frontend, self.client, length), 63)
    }
}

fn rig() -> Rig {
    Rig::with_flags(flags::DIRECT_DELIVERY)
}

/// A service whose only endpoint is the near pod, and a client's first packet to it, which is served.
fn call(rig: &mut Rig, parties: Parties, is_tcp: bool) -> Call {
    let protocol = if is_tcp { Protocol::Tcp } else { Protocol::Udp };
    let call = Call {
        is_tcp,
        client: at(parties.client, 40_000),
        frontend: at(parties.node, NODE_PORT),
        pod: at(parties.near, 8080),
    };
    let service = port("web", protocol, family_of(parties.near));
    rig.program([service.at(FrontendKind::NodePort, call.frontend).local(call.pod).build()]);
    let first = message::short(is_tcp, call.client, call.frontend);
    assert_eq!(rig.run(At::TcIngress, &first).fate, Fate::Sent);
    call
}

/// In both families, with both protocols.
fn of_each(mut check: impl FnMut(&mut Rig, Parties, Call)) {
    let mut rig = rig();
    for parties in rig.families() {
        for is_tcp in [true, false] {
            let call = call(&mut rig, parties, is_tcp);
            check(&mut rig, parties, call);
            rig.forget();
        }
    }
}

/// It is left as it was, and nothing is counted.
#[track_caller]
fn check_untouched(rig: &mut Rig, what: &str, packet: &[u8]) {
    let before = rig.count(Counter::DirectReply);
    let outcome = rig.run(At::Reply, packet);
    assert_eq!(outcome, Outcome { fate: Fate::Pass, bytes: packet.to_vec() }, "{what}");
    assert_eq!(rig.count(Counter::DirectReply), before, "{what}");
}

#[test]
fn an_answer_leaves_translated_and_with_a_hop_less() {
    of_each(|rig, _, call| {
        for round in ["asked", "remembered"] {
            let before = rig.count(Counter::DirectReply);
            let outcome = rig.run(At::Reply, &call.answer(100));
            assert_eq!(outcome.fate, Fate::Sent, "{round} {call:?}");
            assert_eq!(outcome.bytes[14..], call.translated(100)[14..], "{round} {call:?}");
            let said = Said { from: call.frontend, to: call.client, ttl: 63 };
            assert_eq!(frame::read(&outcome.bytes), said);
            let is_told = outcome.bytes[..14] == call.answer(100)[..14];
            assert_eq!(is_told, round == "asked", "only a remembered way has its addresses");
            assert_eq!(rig.count(Counter::DirectReply) - before, 1);
            // It is nobody's at the device it leaves by.
            let left = rig.run(At::TcEgress, &outcome.bytes);
            assert_eq!(left, Outcome { fate: Fate::Pass, bytes: outcome.bytes }, "{round}");
        }
    });
}

#[test]
fn what_it_cannot_finish_is_left_as_it_was() {
    of_each(|rig, parties, call| {
        let stranger = at(parties.client, 40_001);
        let unknown = message::sized(call.is_tcp, call.pod, stranger, 100);
        check_untouched(rig, "of no flow", &unknown);
        let asked = message::sized(call.is_tcp, call.client, call.frontend, 100);
        check_untouched(rig, "to a frontend", &asked);
        let answer = call.answer(1_000);
        check_untouched(rig, "out of hops", &frame::with_ttl(answer.clone(), 1));
        for fragment in message::fragments(&answer, 7, 512) {
            check_untouched(rig, "a fragment", &fragment);
        }
        rig.set_mtu(NARROW);
        for round in ["asked", "remembered"] {
            check_untouched(rig, "too big", &call.answer(NARROW as usize));
            assert_eq!(rig.run(At::Reply, &answer).fate, Fate::Sent, "{round}");
        }
        rig.set_mtu(1_500);
    });
}

#[test]
fn only_external_devices_are_a_way_out() {
    of_each(|rig, parties, call| {
        if !call.is_tcp {
            return;
        }
        // By the pods' bridge.
        rig.reroute(parties.client, parties.near);
        check_untouched(rig, "to a pod", &call.answer(100));
        rig.refuse(parties.client);
        check_untouched(rig, "no route", &call.answer(100));
    });
}

#[test]
fn a_connection_that_began_without_us_is_not_ours() {
    of_each(|rig, _, call| {
        if !call.is_tcp {
            return;
        }
        let text = |one: SocketAddr| one.to_string();
        let fin = frame::tcp(&text(call.client), &text(call.frontend), Tcp::Fin);
        rig.run(At::TcIngress, &fin);
        let accepts = frame::tcp(&text(call.pod), &text(call.client), Tcp::SynAck);
        check_untouched(rig, "accepts", &accepts);
        assert_eq!(rig.run(At::Reply, &call.answer(100)).fate, Fate::Sent, "the old one's");
    });
}

/// A packet that went by the stack renews its flow, but says nothing of the way out.
#[test]
fn a_way_out_is_not_believed_for_longer_because_a_packet_left_by_the_stack() {
    of_each(|rig, parties, call| {
        if !call.is_tcp {
            return;
        }
        assert_eq!(rig.run(At::Reply, &call.answer(100)).fate, Fate::Sent);
        rig.rest(1);
        assert_eq!(rig.run(At::TcEgress, &call.answer(100)).fate, Fate::Pass);
        rig.refuse(parties.client);
        check_untouched(rig, "the new way", &call.answer(100));
    });
}

#[test]
fn an_answer_is_noted_as_egress_would() {
    of_each(|rig, _, call| {
        if call.is_tcp {
            let reset = message::reset(call.pod, call.client, 1_000, None);
            assert_eq!(rig.run(At::Reply, &reset).fate, Fate::Sent);
        } else {
            assert_eq!(rig.run(At::Reply, &call.answer(100)).fate, Fate::Sent);
        }
        let states = rig.states();
        let expected = if call.is_tcp {
            lb_common::flow::state::ANSWERED | lb_common::flow::state::RST
        } else {
            lb_common::flow::state::ANSWERED
        };
        assert_eq!(states, [expected], "{call:?}");
    });
}
