//! How flows end, and that both halves and the source port go together.

use std::time::{Duration, Instant};

use lb_common::{Protocol, counter::Counter};
use lb_userspace::model::FrontendKind;

use crate::{
    caller::{Caller, NODE_PORT},
    frame::{self, Tcp},
    rig::{At, Fate, Rig, at},
    service::{family_of, port},
};

#[test]
fn a_flow_that_moves_leaves_nothing_behind() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Udp);
        assert_eq!(caller.asks(&mut rig).fate, Fate::Sent);
        let flows = rig.flows();
        let elsewhere = port("far", Protocol::Udp, family_of(parties.node))
            .at(FrontendKind::NodePort, caller.frontend)
            .elsewhere(at(parties.far, 9_090));
        rig.program([elsewhere.build()]);
        let before = rig.count(Counter::FlowMoved);
        let outcome = caller.asks(&mut rig);
        assert_eq!(frame::read(&outcome.bytes).to.port(), 9_090);
        assert_eq!(rig.count(Counter::FlowMoved) - before, 1);
        assert_eq!(rig.flows(), flows);
        let taken: Vec<_> = rig.pools().iter().map(|pool| (pool.backend, pool.taken)).collect();
        assert!(taken.contains(&(caller.backend, 0)), "{taken:?}");
        assert!(taken.contains(&(at(parties.far, 9_090), 1)), "{taken:?}");
    }
    assert_eq!(rig.halves(), 0);
}

#[test]
fn a_new_connection_from_a_port_whose_last_one_is_over_chooses_anew() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let frontend = at(parties.node, NODE_PORT);
    let mut service = port("web", Protocol::Tcp, family_of(parties.node));
    service = service.at(FrontendKind::NodePort, frontend);
    for backend_port in 9_000..9_008 {
        service = service.local(at(parties.near, backend_port));
    }
    rig.program([service.build()]);
    let client = at(parties.client, 40_000).to_string();
    let packet = |flags| frame::tcp(&client, &frontend.to_string(), flags);
    let mut chosen = std::collections::BTreeSet::new();
    for _ in 0..64 {
        let to = frame::read(&rig.ingress(&packet(Tcp::Syn)).bytes).to;
        assert_eq!(frame::read(&rig.ingress(&packet(Tcp::Ack)).bytes).to, to);
        assert_eq!(frame::read(&rig.ingress(&packet(Tcp::Fin)).bytes).to, to);
        assert_eq!(frame::read(&rig.ingress(&packet(Tcp::Ack)).bytes).to, to, "to its end");
        chosen.insert(to);
    }
    assert!(chosen.len() > 4, "{chosen:?}");
    assert_eq!(rig.flows(), 2);
}

#[test]
fn what_is_under_way_after_the_end_still_arrives() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Tcp);
        let ours = caller.connects(&mut rig);
        caller.closes(&mut rig, ours);
        caller.is_answered(&mut rig, ours, Tcp::Fin);
        assert_eq!(caller.reaches(&mut rig, Tcp::Ack), ours);
        assert_eq!(rig.pools()[0].taken, 0);
    }
}

#[test]
fn flows_that_are_over_are_found_by_the_agent_and_without_it() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Tcp);
        // More than there is provisional room for, so that the first are looked at as confirmed.
        for source_port in 41_000..41_200 {
            caller.from(source_port).connects(&mut rig);
        }
        let flows = rig.flows();
        rig.rest(80_000);
        rig.upkeep().sweep().unwrap();
        assert_eq!(rig.flows(), flows, "not over yet");
        rig.rest(6_400);
        // A token that was looked at a moment ago is left alone for up to a second.
        await_fewer(&mut rig, flows, |rig| {
            caller.from(42_000).connects(rig);
            caller.from(42_000).reaches(rig, Tcp::Rst);
        });
        let left = rig.flows();
        await_fewer(&mut rig, left, |rig| rig.upkeep().sweep().unwrap());
        assert_eq!(rig.halves(), 0);
    }
}

/// Does something again and again until there are fewer flows.
#[track_caller]
pub fn await_fewer(rig: &mut Rig, flows: usize, mut work: impl FnMut(&mut Rig)) {
    let started = Instant::now();
    while rig.flows() >= flows {
        assert!(started.elapsed() < Duration::from_secs(20), "{} flows of {flows}", rig.flows());
        work(rig);
    }
}
