//! Pings of a VIP.

use std::net::IpAddr;

use lb_common::{Protocol, counter::Counter, settings::flags};
use lb_userspace::model::FrontendKind;

use crate::{
    message::Icmp,
    rig::{Fate, Parties, Rig, at},
    service::{family_of, port},
};

const VIPS: [&str; 2] = ["198.51.100.9", "2001:db8:51::9"];
const CLUSTER_IPS: [&str; 2] = ["10.96.0.9", "fd00:96::9"];

/// Type of a ping, and of its answer.
fn kinds(ip: IpAddr) -> [u8; 2] {
    if ip.is_ipv4() { [8, 0] } else { [128, 129] }
}

fn echo(kind: u8, from: IpAddr, to: IpAddr, ttl: u8) -> Vec<u8> {
    Icmp { kind: [kind, 0], rest: 0x1234_0001, payload: b"is anybody there?" }.frame(from, to, ttl)
}

/// One frontend of each kind in each family, without an endpoint: a VIP answers for itself.
fn program(rig: &mut Rig) -> [(Parties, IpAddr, IpAddr); 2] {
    let families = rig.families();
    let mut all = Vec::new();
    for (parties, (vip, cluster_ip)) in families.into_iter().zip(VIPS.into_iter().zip(CLUSTER_IPS))
    {
        let (vip, cluster_ip): (IpAddr, IpAddr) =
            (vip.parse().unwrap(), cluster_ip.parse().unwrap());
        let name = if vip.is_ipv4() { "four" } else { "six" };
        let service = port(name, Protocol::Tcp, family_of(vip))
            .at(FrontendKind::LoadBalancer, at(vip, 80))
            .at(FrontendKind::ExternalIp, at(parties.node, 80))
            .at(FrontendKind::ClusterIp, at(cluster_ip, 80));
        rig.program([service.build()]);
        all.push((parties, vip, cluster_ip));
    }
    [all[0], all[1]]
}

#[test]
fn a_vip_answers_for_itself_and_the_node_is_left_to_its_stack() {
    let mut rig = Rig::with_flags(flags::VIP_PING);
    for (parties, vip, cluster_ip) in program(&mut rig) {
        let [request, reply] = kinds(vip);
        let before = rig.count(Counter::VipPing);
        let outcome = rig.ingress(&echo(request, parties.client, vip, 57));
        assert_eq!(outcome.fate, Fate::Sent);
        assert_eq!(outcome.bytes[14..], echo(reply, vip, parties.client, 64)[14..]);
        assert_eq!(outcome.bytes[..12], [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], "turned round");
        assert_eq!(rig.count(Counter::VipPing) - before, 3);
        // The node's own address, though a Service has it too; somebody else's; an answer.
        for (kind, to) in [(request, parties.node), (request, parties.far), (reply, vip)] {
            let packet = echo(kind, parties.client, to, 64);
            let outcome = rig.ingress(&packet);
            assert_eq!((outcome.fate, outcome.bytes), (Fate::Pass, packet), "{kind} {to}");
        }
        let outcome = rig.ingress(&echo(request, parties.client, cluster_ip, 64));
        assert_eq!(outcome.fate, Fate::Dropped, "a ClusterIP is not for those outside");
    }
}

#[test]
fn each_flag_has_its_say() {
    for (set, vip_fate, cluster_ip_fate) in [
        (0, Fate::Pass, Fate::Pass),
        (flags::EXTERNAL_CLUSTER_IP, Fate::Pass, Fate::Pass),
        (flags::VIP_PING | flags::EXTERNAL_CLUSTER_IP, Fate::Sent, Fate::Sent),
    ] {
        let mut rig = Rig::with_flags(set);
        for (parties, vip, cluster_ip) in program(&mut rig) {
            let [request, _] = kinds(vip);
            for (to, fate) in [(vip, vip_fate), (cluster_ip, cluster_ip_fate)] {
                let outcome = rig.ingress(&echo(request, parties.client, to, 64));
                assert_eq!(outcome.fate, fate, "{set:#b} {to}");
            }
        }
    }
}
