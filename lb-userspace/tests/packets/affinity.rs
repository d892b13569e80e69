//! Session affinity of clients outside: what renews a client's memory, and what ends it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lb_common::{Protocol, settings::flags};
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Tcp},
    rig::{At, Parties, Rig, at},
    service::{Port, family_of, port},
};

const NODE_PORT: u16 = 30_080;
const TIMEOUT_S: u32 = 10;

/// As many as make it certain that not all are chosen the same backend by chance.
fn clients() -> impl Iterator<Item = IpAddr> {
    (1..=24).map(|host| [203, 0, 113, host].into())
}

fn base(parties: &Parties) -> Port {
    port("sticky", Protocol::Tcp, family_of(parties.near))
        .at(FrontendKind::NodePort, at(parties.node, NODE_PORT))
}

fn with(port: Port, parties: &Parties, backends: std::ops::Range<u16>) -> Port {
    backends.fold(port, |port, number| port.local(at(parties.near, number)))
}

fn send(rig: &mut Rig, from: SocketAddr, to: SocketAddr, flags: Tcp) -> u16 {
    let packet = frame::tcp(&from.to_string(), &to.to_string(), flags);
    frame::read(&rig.run(At::TcIngress, &packet).bytes).to.port()
}

/// Which backend a new connection of each client goes to.
fn call(rig: &mut Rig, to: SocketAddr, source_port: u16) -> BTreeMap<IpAddr, u16> {
    let ask = |client| (client, send(rig, at(client, source_port), to, Tcp::Syn));
    clients().map(ask).collect()
}

#[test]
fn a_memory_lasts_for_its_timeout_after_the_last_new_flow() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let to = at(parties.node, NODE_PORT);
    rig.program([with(base(&parties).affinity(TIMEOUT_S), &parties, 9_000..9_008).build()]);
    let first = call(&mut rig, to, 40_000);
    // The rest is for the calls themselves, on a busy machine.
    let most = Duration::from_secs(TIMEOUT_S.into()) * 6 / 10;
    for source_port in 40_001..40_004 {
        // Longer than the timeout since the first flow, though not since the last.
        rig.age_affinity(most);
        assert_eq!(call(&mut rig, to, source_port), first);
    }
    rig.age_affinity(Duration::from_secs(TIMEOUT_S.into()) + Duration::from_nanos(1));
    assert_ne!(call(&mut rig, to, 40_010), first);
}

#[test]
fn only_new_flows_renew_a_memory() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (to, client) = (at(parties.node, NODE_PORT), parties.client);
        rig.program([with(base(&parties).affinity(TIMEOUT_S), &parties, 9_000..9_002).build()]);
        let seen = |rig: &Rig| {
            let all = rig.affinity();
            let own = |key: &lb_common::affinity::AffinityKey| IpAddr::from(key.client) == client;
            all.iter().find(|(key, _)| own(key)).unwrap().1.seen_ns
        };
        send(&mut rig, at(client, 40_000), to, Tcp::Syn);
        let first = seen(&rig);
        for flags in [Tcp::Ack, Tcp::Ack, Tcp::Fin] {
            send(&mut rig, at(client, 40_000), to, flags);
        }
        assert_eq!(seen(&rig), first, "packets of a known flow");
        send(&mut rig, at(client, 40_001), to, Tcp::Syn);
        let second = seen(&rig);
        assert!(second > first, "a new flow");
        send(&mut rig, at(client, 40_000), to, Tcp::Syn);
        assert!(seen(&rig) > second, "a new connection from a port used before");
    }
}

#[test]
fn a_port_used_again_goes_where_its_client_belongs_now() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let to = at(parties.node, NODE_PORT);
    rig.program([with(base(&parties), &parties, 9_000..9_001).build()]);
    call(&mut rig, to, 40_000);
    rig.program([with(base(&parties).affinity(TIMEOUT_S), &parties, 9_000..9_008).build()]);
    let own = call(&mut rig, to, 40_001);
    assert_eq!(call(&mut rig, to, 40_000), own);
}

#[test]
fn a_handshake_that_outlives_its_memory_goes_on_where_it_began() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let to = at(parties.node, NODE_PORT);
    rig.program([with(base(&parties).affinity(TIMEOUT_S), &parties, 9_000..9_008).build()]);
    let first = call(&mut rig, to, 40_000);
    rig.age_affinity(Duration::from_secs(2 * u64::from(TIMEOUT_S)));
    assert_eq!(call(&mut rig, to, 40_000), first, "the same packets again");
    assert_eq!(call(&mut rig, to, 40_001), first, "which is remembered again");
}

#[test]
fn an_endpoint_that_leaves_the_list_and_serves_on_returns_with_an_empty_memory() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let to = at(parties.node, NODE_PORT);
    let base = || base(&parties).affinity(TIMEOUT_S);
    rig.program([with(base(), &parties, 9_000..9_001).build()]);
    let first = call(&mut rig, to, 40_000);
    rig.program([with(base(), &parties, 9_000..9_004).build()]);
    assert_eq!(call(&mut rig, to, 40_001), first);

    let serving = base().serving(at(parties.near, 9_000));
    rig.program([with(serving, &parties, 9_001..9_004).build()]);
    rig.program([with(base(), &parties, 9_000..9_004).build()]);
    let chosen: BTreeSet<_> = call(&mut rig, to, 40_002).into_values().collect();
    assert!(chosen.len() > 1, "{chosen:?}");
}

#[test]
fn affinity_is_switched_on_and_off_and_forgets_meanwhile() {
    let mut rig = Rig::new();
    let [parties, _] = rig.families();
    let to = at(parties.node, NODE_PORT);
    let plain = || with(base(&parties), &parties, 9_000..9_008);
    rig.program([plain().build()]);
    let first = call(&mut rig, to, 40_000);
    assert_ne!(call(&mut rig, to, 40_001), first, "none yet");
    rig.program([plain().affinity(TIMEOUT_S).build()]);
    let own = call(&mut rig, to, 40_002);
    assert_eq!(call(&mut rig, to, 40_003), own, "on");
    rig.program([plain().build()]);
    assert_ne!(call(&mut rig, to, 40_004), own, "off");
    rig.program([plain().affinity(TIMEOUT_S).build()]);
    assert_ne!(call(&mut rig, to, 40_005), own, "on again, with nothing remembered");
}

#[test]
fn both_lists_share_a_memory_that_counts_where_its_endpoint_is_listed() {
    let mut rig = Rig::with_flags(flags::EXTERNAL_CLUSTER_IP);
    let [parties, _] = rig.families();
    let (near, far) = (at(parties.near, 9_000), at(parties.far, 9_001));
    let (inside, outside) = (at([10, 96, 0, 10].into(), 80), at(parties.node, NODE_PORT));
    let base =
        || base(&parties).at(FrontendKind::ClusterIp, inside).affinity(TIMEOUT_S).external_local();
    rig.program([base().elsewhere(far).build()]);
    let client = |port| at(parties.client, port);
    assert_eq!(send(&mut rig, client(40_000), inside, Tcp::Syn), 9_001, "the only one there is");
    rig.program([base().elsewhere(far).local(near).build()]);
    assert_eq!(send(&mut rig, client(40_001), inside, Tcp::Syn), 9_001, "remembered");
    // Not in the list that the NodePort draws from: another is taken, and remembered instead.
    assert_eq!(send(&mut rig, client(40_002), outside, Tcp::Syn), 9_000);
    for port in 40_003..40_011 {
        assert_eq!(send(&mut rig, client(port), inside, Tcp::Syn), 9_000);
    }
}
