//! Known flows and what ends them.

use lb_common::{Protocol, counter::Counter};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Tcp},
    rig::{Rig, at},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_053;

#[test]
fn udp_stays_with_its_backend_while_that_serves_and_moves_on_when_not() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let frontend = at(parties.node, NODE_PORT);
        let packet = frame::udp(&at(parties.client, 40_000).to_string(), &frontend.to_string());
        let base = || {
            port("dns", Protocol::Udp, family_of(parties.near)).at(FrontendKind::NodePort, frontend)
        };
        let (one, two) = (at(parties.near, 9_001), at(parties.near, 9_002));
        rig.program([base().local(one).build()]);
        assert_eq!(frame::read(&rig.ingress(&packet).bytes).to, one);
        rig.program([base().local(one).local(two).build()]);
        for _ in 0..32 {
            assert_eq!(frame::read(&rig.ingress(&packet).bytes).to, one, "still serves");
        }
        let before = rig.count(Counter::FlowMoved);
        rig.program([base().local(two).build()]);
        assert_eq!(frame::read(&rig.ingress(&packet).bytes).to, two);
        assert_eq!(rig.count(Counter::FlowMoved) - before, 1);
        rig.program([base().local(one).local(two).build()]);
        assert_eq!(frame::read(&rig.ingress(&packet).bytes).to, two, "does not move back");
    }
}

#[test]
fn tcp_is_never_cut_but_a_new_connection_avoids_a_backend_that_left() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let frontend = at(parties.node, NODE_PORT);
        let client = at(parties.client, 40_000).to_string();
        let packet = |flags| frame::tcp(&client, &frontend.to_string(), flags);
        let base = || {
            port("web", Protocol::Tcp, family_of(parties.near)).at(FrontendKind::NodePort, frontend)
        };
        let (one, two) = (at(parties.near, 9_001), at(parties.near, 9_002));
        rig.program([base().local(one).build()]);
        assert_eq!(frame::read(&rig.ingress(&packet(Tcp::Syn)).bytes).to, one);
        rig.program([base().local(two).build()]);
        assert_eq!(frame::read(&rig.ingress(&packet(Tcp::Ack)).bytes).to, one, "established");
        assert_eq!(frame::read(&rig.ingress(&packet(Tcp::Fin)).bytes).to, one, "to its end");
        assert_eq!(frame::read(&rig.ingress(&packet(Tcp::Syn)).bytes).to, two, "the next");
    }
}

#[test]
fn a_flow_survives_its_service() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (frontend, far) = (at(parties.node, NODE_PORT), at(parties.far, 8080));
        let client = at(parties.client, 40_000).to_string();
        let service = port("web", Protocol::Tcp, family_of(parties.near))
            .at(FrontendKind::NodePort, frontend)
            .elsewhere(far);
        let service = service.build();
        let name = service.id.service.clone();
        rig.program([service]);
        let syn = frame::tcp(&client, &frontend.to_string(), Tcp::Syn);
        let before = frame::read(&rig.ingress(&syn).bytes);
        rig.withdraw(name);
        let ack = frame::tcp(&client, &frontend.to_string(), Tcp::Ack);
        assert_eq!(frame::read(&rig.ingress(&ack).bytes), before);
    }
}
