//! What is refused, what is dropped, what is left alone.

use lb_common::{Protocol, counter::Counter, settings::flags};
use lb_userspace::{model::FrontendKind, plan::Op};

use crate::{
    frame::{self, Tcp},
    rig::{At, Fate, Rig, at},
    service::{family_of, port},
};

#[test]
fn packets_that_are_not_ours_are_untouched() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let near = at(parties.near, 8080);
        let service = port("web", Protocol::Tcp, family_of(near.ip()))
            .at(FrontendKind::NodePort, at(parties.node, 30_080))
            .local(near);
        rig.program([service.build()]);
        let client = at(parties.client, 40_000).to_string();
        let to = |ip, port| at(ip, port).to_string();
        for packet in [
            frame::tcp(&client, &to(parties.node, 22), Tcp::Syn),
            frame::tcp(&client, &to(parties.node, 30_081), Tcp::Syn),
            frame::tcp(&client, &to(parties.near, 30_080), Tcp::Syn),
            frame::udp(&client, &to(parties.node, 30_080)),
        ] {
            let outcome = rig.ingress(&packet);
            assert_eq!(outcome.fate, Fate::Pass);
            assert_eq!(outcome.bytes, packet);
            let outcome = rig.run(At::TcEgress, &packet);
            assert_eq!(outcome.fate, Fate::Pass);
            assert_eq!(outcome.bytes, packet);
        }
    }
    assert_eq!(rig.flows(), 0);
}

#[test]
fn a_cluster_ip_is_not_reachable_from_outside_unless_allowed() {
    for (allowed, fate) in [(0, Fate::Dropped), (flags::EXTERNAL_CLUSTER_IP, Fate::Pass)] {
        let mut rig = Rig::with_flags(allowed);
        for (parties, cluster_ip) in rig.families().into_iter().zip(["10.96.0.9", "fd00:96::9"]) {
            let (near, vip) = (at(parties.near, 8080), at(cluster_ip.parse().unwrap(), 80));
            let service = port("web", Protocol::Tcp, family_of(near.ip()))
                .at(FrontendKind::ClusterIp, vip)
                .local(near);
            rig.program([service.build()]);
            let client = at(parties.client, 40_000).to_string();
            let outcome = rig.ingress(&frame::tcp(&client, &vip.to_string(), Tcp::Syn));
            assert_eq!(outcome.fate, fate);
        }
        let drops = if allowed == 0 { 6 } else { 0 };
        assert_eq!(rig.count(Counter::DropClusterIpFromOutside), drops);
    }
}

#[test]
fn source_ranges_bind_the_load_balancer_and_nothing_else() {
    let mut rig = Rig::new();
    let ranges = [("203.0.113.0/24", "198.51.100.9"), ("2001:db8:113::/64", "2001:db8:51::9")];
    for (parties, (range, vip)) in rig.families().into_iter().zip(ranges) {
        let near = at(parties.near, 8080);
        let (vip, node_port) = (at(vip.parse().unwrap(), 80), at(parties.node, 30_080));
        let service = port("web", Protocol::Tcp, family_of(near.ip()))
            .at(FrontendKind::LoadBalancer, vip)
            .at(FrontendKind::NodePort, node_port)
            .source_range(range)
            .local(near);
        rig.program([service.build()]);
        let stranger = if vip.is_ipv4() { "192.0.2.1:1" } else { "[2001:db8:99::1]:1" };
        let client = at(parties.client, 40_000).to_string();
        let before = rig.count(Counter::DropSourceRange);
        for (from, to, fate) in [
            (client.as_str(), vip, Fate::Pass),
            (stranger, vip, Fate::Dropped),
            (stranger, node_port, Fate::Pass),
        ] {
            let outcome = rig.ingress(&frame::tcp(from, &to.to_string(), Tcp::Syn));
            assert_eq!(outcome.fate, fate, "{from} {to}");
        }
        assert_eq!(rig.count(Counter::DropSourceRange) - before, 3);
    }
}

#[test]
fn without_endpoints_everybody_is_refused() {
    let mut rig = Rig::new();
    for (parties, vip) in rig.families().into_iter().zip(["198.51.100.9", "2001:db8:51::9"]) {
        let (vip, node_port) = (at(vip.parse().unwrap(), 80), at(parties.node, 30_080));
        let service = port("empty", Protocol::Tcp, family_of(parties.near))
            .at(FrontendKind::LoadBalancer, vip)
            .at(FrontendKind::NodePort, node_port);
        rig.program([service.build()]);
        let client = at(parties.client, 40_000).to_string();
        for frontend in [node_port, vip] {
            let before = rig.count(Counter::RejectNoEndpoint);
            let outcome = rig.ingress(&frame::tcp(&client, &frontend.to_string(), Tcp::Syn));
            assert_eq!(outcome.fate, Fate::Sent, "{frontend}");
            assert_eq!(rig.count(Counter::RejectNoEndpoint) - before, 3);
        }
    }
    assert_eq!(rig.flows(), 0);
}

#[test]
fn a_list_that_names_a_free_row_is_told_and_nobody_is_sent_there() {
    // The first service has row 0, which is what a free backend says, and the first slot.
    const FREE: u32 = 7;
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let vip = at("198.51.100.9".parse().unwrap(), 80);
    let service = port("web", Protocol::Tcp, family_of(parties.near))
        .at(FrontendKind::LoadBalancer, vip)
        .local(at(parties.near, 8080));
    rig.program([service.build()]);
    rig.spoil(Op::WriteSlots { offset: 0, backends: vec![FREE] });
    let client = at(parties.client, 40_000).to_string();
    let outcome = rig.ingress(&frame::tcp(&client, &vip.to_string(), Tcp::Syn));
    assert_eq!(outcome.fate, Fate::Sent, "refused");
    assert_eq!(rig.count(Counter::RejectNoEndpoint), 3);
    assert_eq!(rig.count(Counter::TableInconsistent), 3);
    assert_eq!(rig.flows(), 0);
}

#[test]
fn a_packet_out_of_hops_is_not_routed_on_but_may_stay() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let frontend = at(parties.node, 30_080);
        let client = at(parties.client, 40_000).to_string();
        let syn = frame::with_ttl(frame::tcp(&client, &frontend.to_string(), Tcp::Syn), 1);
        let base = |name| {
            port(name, Protocol::Tcp, family_of(parties.near)).at(FrontendKind::NodePort, frontend)
        };
        rig.program([base("web").elsewhere(at(parties.far, 8080)).build()]);
        let before = rig.count(Counter::DropTtl);
        assert_eq!(rig.ingress(&syn).fate, Fate::Sent, "the client is told");
        assert_eq!(rig.count(Counter::DropTtl) - before, 3);

        let other = at(parties.client, 40_001).to_string();
        let syn = frame::with_ttl(frame::tcp(&other, &frontend.to_string(), Tcp::Syn), 1);
        rig.program([base("web").local(at(parties.near, 8080)).build()]);
        let outcome = rig.ingress(&syn);
        assert_eq!(outcome.fate, Fate::Pass);
        assert_eq!(frame::read(&outcome.bytes).ttl, 1);
    }
}

#[test]
fn a_partial_checksum_is_left_to_tc_untouched() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let frontend = at(parties.node, 30_080);
    let near = at(parties.near, 8080);
    let service = port("web", Protocol::Udp, family_of(parties.near))
        .at(FrontendKind::NodePort, frontend)
        .local(near);
    rig.program([service.build()]);
    let mut packet = frame::udp(&at(parties.client, 40_000).to_string(), &frontend.to_string());
    let partial = pseudo_header_sum(&packet);
    packet[40..42].copy_from_slice(&partial.to_be_bytes());
    let outcome = rig.run(At::Xdp, &packet);
    assert_eq!((outcome.fate, outcome.bytes), (Fate::Pass, packet));
    assert_eq!(rig.count(Counter::XdpPartialChecksum), 1);
}

/// The sum a sender leaves in an IPv4 UDP packet for its hardware to complete, by RFC 768.
fn pseudo_header_sum(packet: &[u8]) -> u16 {
    let length = (packet.len() - 34) as u32;
    let words = packet[26..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum = words.sum::<u32>() + 17 + length;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
