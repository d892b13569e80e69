//! Source ports towards backends elsewhere: all of them are given out, none twice, and they come
//! back.

use std::{collections::BTreeSet, thread};

use aya::{
    Ebpf,
    programs::{SchedClassifier, Xdp},
};
use lb_common::{
    Be16, Protocol,
    counter::Counter,
    names,
    pool::{Pool, PoolKey},
};
use lb_userspace::kernel::Sizes;

use crate::{
    caller::Caller,
    frame::{self, Tcp},
    rig::{self, At, Fate, Rig},
};

/// A range that a test can use up, and clients' ports outside of it.
const RANGE: (u16, u16) = (10_000, 10_099);
const PORTS: u16 = 100;
const CLIENTS: u16 = 41_000;

fn rig() -> Rig {
    Rig::with_ports(0, Sizes { flows: 1 << 12, ..Sizes::default() }, RANGE)
}

#[test]
fn every_port_of_the_range_is_given_out_before_a_flow_is_refused() {
    let mut rig = rig();
    for hook in [At::Xdp, At::TcIngress] {
        for parties in rig.families() {
            let caller = Caller::program(&mut rig, &parties, hook, Protocol::Tcp);
            let before = rig.count(Counter::DropSnatExhausted);
            let mut given = BTreeSet::new();
            for source_port in CLIENTS..CLIENTS + PORTS {
                given.insert(caller.from(source_port).connects(&mut rig).port());
            }
            assert_eq!(given, (RANGE.0..=RANGE.1).collect());
            let late = caller.from(CLIENTS + PORTS);
            assert_eq!(late.says(&mut rig, Tcp::Syn).fate, Fate::Dropped);
            assert_eq!(rig.count(Counter::DropSnatExhausted), before + 1);
            let fullest = rig.pools()[0];
            assert_eq!((fullest.taken, fullest.ports), (u32::from(PORTS), u32::from(PORTS)));
            assert_eq!(fullest.backend, caller.backend);

            // Both ways of ending a connection give its port back at once.
            let first = caller.from(CLIENTS);
            let ours = first.reaches(&mut rig, Tcp::Ack);
            first.closes(&mut rig, ours);
            rig.rest(2);
            assert_eq!(late.connects(&mut rig), ours);
            let second = caller.from(CLIENTS + 1);
            let ours = second.reaches(&mut rig, Tcp::Rst);
            rig.rest(2);
            assert_eq!(caller.from(CLIENTS + PORTS + 1).connects(&mut rig), ours);

            for source_port in CLIENTS..CLIENTS + PORTS + 2 {
                caller.from(source_port).says(&mut rig, Tcp::Rst);
            }
            assert_eq!(rig.pools().iter().map(|pool| pool.taken).sum::<u32>(), 0);
            rig.rest(100);
        }
    }
    assert_eq!(rig.halves(), 0);
}

#[test]
fn the_clients_own_port_is_kept_if_it_is_free_and_ours_to_give() {
    let mut rig = rig();
    for parties in rig.families() {
        let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Tcp);
        assert_eq!(caller.from(10_050).connects(&mut rig).port(), 10_050);
        assert_ne!(caller.from(50_050).connects(&mut rig).port(), 10_050);
        assert!((RANGE.0..=RANGE.1).contains(&caller.from(9_999).connects(&mut rig).port()));
        // The same port of another client.
        let mut other = caller.from(10_050);
        let ip = if parties.node.is_ipv4() { "203.0.113.77" } else { "2001:db8:113::77" };
        other.client.set_ip(ip.parse().unwrap());
        let outcome = other.says(&mut rig, Tcp::Syn);
        assert_eq!(outcome.fate, Fate::Sent);
        assert_ne!(frame::read(&outcome.bytes).from.port(), 10_050);
    }
}

#[test]
fn a_port_rests_as_long_as_there_are_others() {
    let mut rig = rig();
    let [parties, _] = rig.families();
    let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Tcp);
    let mut last = BTreeSet::new();
    for source_port in CLIENTS..CLIENTS + PORTS {
        let caller = caller.from(source_port);
        let ours = caller.connects(&mut rig);
        caller.closes(&mut rig, ours);
        assert!(last.insert(ours), "{ours} came back after {}", last.len());
    }
}

#[test]
fn two_processors_never_give_out_the_same_port() {
    const PORTS: u16 = 4_096;
    let range = (10_000, 10_000 + PORTS - 1);
    let sizes = Sizes { flows: 1 << 16, ..Sizes::default() };
    let mut rig = Rig::with_ports(0, sizes, range);
    let [parties, _] = rig.families();
    let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Tcp);
    let packet = |source_port| {
        let client = caller.from(source_port).client.to_string();
        frame::tcp(&client, &caller.frontend.to_string(), Tcp::Syn)
    };
    let given = rig.on_node(|programs, ifindex| {
        let object: &Ebpf = programs.object();
        let xdp: &Xdp = object.program(names::XDP_INGRESS).unwrap().try_into().unwrap();
        let tc: &SchedClassifier = object.program(names::TC_INGRESS).unwrap().try_into().unwrap();
        thread::scope(|scope| {
            let one = scope.spawn(move || {
                let run = |port| rig::run_xdp(xdp, ifindex, &packet(port));
                (20_000..20_000 + PORTS / 2).map(run).collect::<Vec<_>>()
            });
            let run = |port| rig::run_tc(tc, ifindex, &packet(port));
            let other = (20_000 + PORTS / 2..20_000 + PORTS).map(run).collect::<Vec<_>>();
            one.join().unwrap().into_iter().chain(other).collect::<Vec<_>>()
        })
    });
    assert!(given.iter().all(|outcome| outcome.fate == Fate::Sent));
    let ports: BTreeSet<_> =
        given.iter().map(|outcome| frame::read(&outcome.bytes).from.port()).collect();
    assert_eq!(ports.len(), usize::from(PORTS));
    assert_eq!(rig.pools()[0].taken, u32::from(PORTS));
    assert_eq!(rig.flows(), 2 * usize::from(PORTS));
    assert_eq!(rig.halves(), 0);
}

#[test]
fn silent_conversations_make_way_when_no_port_is_left() {
    let mut rig = rig();
    for parties in rig.families() {
        let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Udp);
        for source_port in CLIENTS..CLIENTS + PORTS {
            assert_eq!(caller.from(source_port).asks(&mut rig).fate, Fate::Sent);
        }
        let late = caller.from(CLIENTS + PORTS);
        assert_eq!(late.asks(&mut rig).fate, Fate::Dropped);
        rig.rest(2);
        let before = rig.count(Counter::FlowEvicted);
        for source_port in CLIENTS + PORTS..CLIENTS + 2 * PORTS {
            assert_eq!(caller.from(source_port).asks(&mut rig).fate, Fate::Sent);
        }
        assert_eq!(rig.count(Counter::FlowEvicted) - before, u64::from(PORTS));
        assert_eq!(rig.halves(), 0);
    }
}

#[test]
fn a_port_that_a_flow_holds_is_not_given_out_even_if_its_pool_forgot() {
    let mut rig = rig();
    for parties in rig.families() {
        let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Tcp);
        let held: BTreeSet<_> =
            (CLIENTS..CLIENTS + 4).map(|port| caller.from(port).connects(&mut rig)).collect();
        let key = PoolKey {
            backend: parties.far.into(),
            address: parties.node.into(),
            backend_port: Be16::new(caller.backend.port()),
            first: RANGE.0,
            ports: PORTS,
            protocol: Protocol::Tcp.number(),
            pad: 0,
        };
        rig.put_pool(&key, &Pool::default());
        for source_port in CLIENTS + 4..CLIENTS + PORTS {
            let ours = caller.from(source_port).connects(&mut rig);
            assert!(!held.contains(&ours), "{ours}");
        }
        // They come back with their flows.
        caller.from(CLIENTS).reaches(&mut rig, Tcp::Rst);
        rig.rest(2);
        assert!(held.contains(&caller.from(CLIENTS + PORTS).connects(&mut rig)));
    }
}
