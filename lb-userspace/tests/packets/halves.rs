//! A flow's two halves look after each other.

use lb_common::{Protocol, counter::Counter};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Tcp},
    rig::{At, Rig, at},
    service::{family_of, port},
};

#[test]
fn the_half_that_was_evicted_is_put_back_from_the_other() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (client, frontend) = (at(parties.client, 40_000), at(parties.node, 30_080));
        let near = at(parties.near, 8080);
        let service = port("web", Protocol::Tcp, family_of(parties.near))
            .at(FrontendKind::NodePort, frontend)
            .local(near);
        rig.program([service.build()]);
        let there = frame::tcp(&client.to_string(), &frontend.to_string(), Tcp::Ack);
        let back = frame::tcp(&near.to_string(), &client.to_string(), Tcp::Ack);
        rig.ingress(&there);
        assert_eq!(frame::read(&rig.run(At::TcEgress, &back).bytes).from, frontend);

        rig.evict(At::TcEgress);
        assert_eq!(frame::read(&rig.run(At::TcEgress, &back).bytes).from, near, "truly gone");
        rig.age_flows();
        rig.ingress(&there);
        assert_eq!(frame::read(&rig.run(At::TcEgress, &back).bytes).from, frontend);

        rig.evict(At::TcIngress);
        rig.age_flows();
        rig.run(At::TcEgress, &back);
        let new = rig.count(Counter::FlowNew);
        assert_eq!(frame::read(&rig.ingress(&there).bytes).to, near);
        assert_eq!(rig.count(Counter::FlowNew), new, "found, not made anew");
    }
    assert_eq!(rig.count(Counter::FlowRepaired), 4);
}

#[test]
fn a_pod_called_directly_from_a_port_used_before_answers_for_itself() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (client, frontend) = (at(parties.client, 40_000), at(parties.node, 30_080));
        let near = at(parties.near, 8080);
        let service = port("web", Protocol::Tcp, family_of(parties.near))
            .at(FrontendKind::NodePort, frontend)
            .local(near);
        rig.program([service.build()]);
        let there = |flags| frame::tcp(&client.to_string(), &frontend.to_string(), flags);
        let back = |flags| frame::tcp(&near.to_string(), &client.to_string(), flags);
        rig.ingress(&there(Tcp::Syn));
        let seen =
            |rig: &mut Rig, flags| frame::read(&rig.run(At::TcEgress, &back(flags)).bytes).from;
        assert_eq!(seen(&mut rig, Tcp::SynAck), frontend, "through the frontend");
        rig.ingress(&there(Tcp::Fin));
        rig.ingress(&there(Tcp::Syn));
        assert_eq!(seen(&mut rig, Tcp::SynAck), frontend, "through the frontend again");
        rig.ingress(&there(Tcp::Fin));
        assert_eq!(seen(&mut rig, Tcp::SynAck), near, "directly");
        assert_eq!(seen(&mut rig, Tcp::Ack), near, "and so on");
    }
}
