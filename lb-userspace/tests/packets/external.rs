//! Clients outside: NodePort, ExternalIP and load-balancer VIP, backends on this node and elsewhere.

use std::net::{IpAddr, SocketAddr};

use lb_common::{Protocol, counter::Counter, limits};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Said, Tcp},
    rig::{At, Fate, Parties, Rig, at},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_080;

fn vip(like: IpAddr) -> IpAddr {
    let text = if like.is_ipv4() { "198.51.100.7" } else { "2001:db8:51::7" };
    text.parse().unwrap()
}

/// The kinds of frontend a client outside may call, with the address it calls.
fn frontends(parties: &Parties) -> [(FrontendKind, SocketAddr); 3] {
    [
        (FrontendKind::NodePort, at(parties.node, NODE_PORT)),
        (FrontendKind::ExternalIp, at(vip(parties.node), 80)),
        (FrontendKind::LoadBalancer, at(vip(parties.node), 81)),
    ]
}

fn packets(from: SocketAddr, to: SocketAddr) -> [(Protocol, Vec<u8>); 2] {
    let (from, to) = (from.to_string(), to.to_string());
    [(Protocol::Tcp, frame::tcp(&from, &to, Tcp::Syn)), (Protocol::Udp, frame::udp(&from, &to))]
}

#[test]
fn a_backend_on_this_node_gets_the_packet_with_the_clients_address() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let near = at(parties.near, 8080);
        for ((kind, frontend), source_port) in frontends(&parties).into_iter().zip(40_000..) {
            let client = at(parties.client, source_port);
            for (protocol, packet) in packets(client, frontend) {
                let name = format!("{kind:?}").to_lowercase();
                let port =
                    port(&name, protocol, family_of(near.ip())).at(kind, frontend).local(near);
                rig.program([port.build()]);
                let outcome = rig.ingress(&packet);
                assert_eq!(outcome.fate, Fate::Pass, "{kind:?} {protocol} {client}");
                assert_eq!(frame::read(&outcome.bytes), Said { from: client, to: near, ttl: 64 });

                let answer = answer(protocol, near, client);
                let outcome = rig.run(At::TcEgress, &answer);
                assert_eq!(outcome.fate, Fate::Pass);
                assert_eq!(
                    frame::read(&outcome.bytes),
                    Said { from: frontend, to: client, ttl: 64 }
                );
            }
        }
    }
    assert_eq!(rig.count(Counter::FlowNew), 12);
}

#[test]
fn a_backend_elsewhere_gets_the_packet_from_an_address_of_ours() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (client, far) = (at(parties.client, 40_000), at(parties.far, 8080));
        for (kind, frontend) in frontends(&parties) {
            for (protocol, packet) in packets(client, frontend) {
                let name = format!("{kind:?}").to_lowercase();
                let port =
                    port(&name, protocol, family_of(far.ip())).at(kind, frontend).elsewhere(far);
                rig.program([port.build()]);
                let outcome = rig.ingress(&packet);
                assert_eq!(outcome.fate, Fate::Sent, "{kind:?} {protocol} {client}");
                let said = frame::read(&outcome.bytes);
                assert_eq!((said.to, said.ttl), (far, 63));
                assert_eq!(said.from.ip(), parties.node);
                let range = limits::SNAT_PORT_FIRST..=limits::SNAT_PORT_LAST;
                assert!(range.contains(&said.from.port()), "{}", said.from);

                let outcome = rig.ingress(&answer(protocol, far, said.from));
                assert_eq!(outcome.fate, Fate::Sent);
                assert_eq!(
                    frame::read(&outcome.bytes),
                    Said { from: frontend, to: client, ttl: 63 }
                );
            }
        }
    }
}

fn answer(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let (from, to) = (from.to_string(), to.to_string());
    match protocol {
        Protocol::Tcp => frame::tcp(&from, &to, Tcp::Ack),
        _ => frame::udp(&from, &to),
    }
}

#[test]
fn a_hand_made_endpoint_without_node_name_is_found_where_the_routes_lead() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (client, frontend) = (at(parties.client, 40_001), at(parties.node, NODE_PORT));
        let near = at(parties.near, 8080);
        let port = port("bare", Protocol::Tcp, family_of(near.ip()))
            .at(FrontendKind::NodePort, frontend)
            .elsewhere(near);
        rig.program([port.build()]);
        let syn = frame::tcp(&client.to_string(), &frontend.to_string(), Tcp::Syn);
        let outcome = rig.ingress(&syn);
        assert_eq!(outcome.fate, Fate::Pass);
        assert_eq!(frame::read(&outcome.bytes), Said { from: client, to: near, ttl: 64 });
    }
}

#[test]
fn one_client_port_at_two_frontends_of_one_backend_stays_two_flows() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (client, near) = (at(parties.client, 40_002), at(parties.near, 8080));
        let [(_, node_port), (_, external), _] = frontends(&parties);
        let port = port("both", Protocol::Tcp, family_of(near.ip()))
            .at(FrontendKind::NodePort, node_port)
            .at(FrontendKind::ExternalIp, external)
            .local(near);
        rig.program([port.build()]);
        let mut seen = Vec::new();
        for frontend in [node_port, external] {
            let syn = frame::tcp(&client.to_string(), &frontend.to_string(), Tcp::Syn);
            let said = frame::read(&rig.ingress(&syn).bytes);
            assert_eq!((said.from.ip(), said.to), (client.ip(), near));
            let ack = frame::tcp(&near.to_string(), &said.from.to_string(), Tcp::Ack);
            let back = frame::read(&rig.run(At::TcEgress, &ack).bytes);
            assert_eq!((back.from, back.to), (frontend, client));
            seen.push(said.from.port());
        }
        assert_eq!(seen[0], client.port(), "the first keeps its port");
        assert_ne!(seen[0], seen[1]);
    }
}

#[test]
fn policy_local_takes_endpoints_of_this_node_only() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (near, far) = (at(parties.near, 8080), at(parties.far, 8080));
        let frontend = at(parties.node, NODE_PORT);
        let base = || {
            port("local", Protocol::Tcp, family_of(near.ip()))
                .at(FrontendKind::NodePort, frontend)
                .external_local()
        };
        rig.program([base().elsewhere(far).local(near).build()]);
        for source_port in 41_000..41_032 {
            let client = at(parties.client, source_port).to_string();
            let outcome = rig.ingress(&frame::tcp(&client, &frontend.to_string(), Tcp::Syn));
            assert_eq!(frame::read(&outcome.bytes).to, near);
        }
        rig.program([base().elsewhere(far).build()]);
        let before = rig.count(Counter::DropNoLocalEndpoint);
        let client = at(parties.client, 41_100).to_string();
        let outcome = rig.ingress(&frame::tcp(&client, &frontend.to_string(), Tcp::Syn));
        assert_eq!(outcome.fate, Fate::Dropped);
        assert_eq!(rig.count(Counter::DropNoLocalEndpoint) - before, 3);
    }
}

#[test]
fn affinity_keeps_a_client_at_its_backend_over_all_frontends() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let [(_, node_port), (_, external), _] = frontends(&parties);
        let mut port = port("sticky", Protocol::Tcp, family_of(parties.near))
            .at(FrontendKind::NodePort, node_port)
            .at(FrontendKind::ExternalIp, external)
            .affinity(10_800);
        for backend_port in 9_000..9_008 {
            port = port.local(at(parties.near, backend_port));
        }
        rig.program([port.build()]);
        let mut backends = std::collections::BTreeSet::new();
        for source_port in 42_000..42_032 {
            for frontend in [node_port, external] {
                let client = at(parties.client, source_port).to_string();
                let syn = frame::tcp(&client, &frontend.to_string(), Tcp::Syn);
                backends.insert(frame::read(&rig.ingress(&syn).bytes).to);
            }
        }
        assert_eq!(backends.len(), 1, "{backends:?}");
    }
}

#[test]
fn without_affinity_every_backend_is_chosen() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let frontend = at(parties.node, NODE_PORT);
    let mut port =
        port("spread", Protocol::Tcp, family_of(parties.near)).at(FrontendKind::NodePort, frontend);
    for backend_port in 9_000..9_004 {
        port = port.local(at(parties.near, backend_port));
    }
    rig.program([port.build()]);
    let mut backends = std::collections::BTreeSet::new();
    for source_port in 43_000..43_100 {
        let client = at(parties.client, source_port).to_string();
        let syn = frame::tcp(&client, &frontend.to_string(), Tcp::Syn);
        backends.insert(frame::read(&rig.ingress(&syn).bytes).to);
    }
    assert_eq!(backends.len(), 4);
}
