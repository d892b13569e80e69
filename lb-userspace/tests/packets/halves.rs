//! A flow's two halves look after each other.

use lb_common::Protocol;
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Tcp},
    rig::{At, Rig, at},
    service::{family_of, port},
};

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
