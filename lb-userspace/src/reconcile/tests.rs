use std::{
    cell::Cell,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, mpsc::Receiver},
};

use prometheus_client::{encoding::text::encode_registry, registry::Registry};
use tokio::sync::watch;

use super::*;
use crate::{
    config::NodePortAddresses,
    maps::fake::{Content, FakeTables},
    model::{
        Picture, ServiceType, TrafficPolicy,
        testing::{endpoint, service, slice},
    },
    plan::Capacities,
    task::grace,
    watch::{DeviceNet, News, NodeNews, netdev::LocalAddress},
};

mod audit;
mod node;
mod told;

thread_local! {
    /// How often the loop of this test gave memory back.
    static GIVEN_BACK: Cell<u32> = const { Cell::new(0) };
}

/// A loop with tables that the test can look at, and the far ends of its channels.
struct Bench {
    reconciler: Reconciler<FakeTables>,
    tables: FakeTables,
    grace: Receiver<Duration>,
    programmed: watch::Receiver<Programmed>,
    severed: Receiver<BTreeSet<SocketAddr>>,
    pulse: Arc<Pulse>,
    registry: Registry,
}

impl Bench {
    fn new(tables: &FakeTables) -> Self {
        let (grace, requests) = grace::pair();
        let (programmed, progress) = watch::channel(Programmed::default());
        let (severed, to_close) = std::sync::mpsc::channel();
        let (mut registry, pulse) = <(Registry, Arc<Pulse>)>::default();
        let capacities = Capacities::default();
        let parts = Parts {
            tables: tables.clone(),
            capacities,
            node: Node { name: "n1".into(), zone: None },
            node_port_addresses: NodePortAddresses { all: true, ..Default::default() },
            direct_delivery: false,
            grace,
            programmed,
            severed,
            metrics: Metrics::new(&mut registry, &capacities, SystemTime::now()),
            pulse: Arc::clone(&pulse),
            give_memory_back: || GIVEN_BACK.set(GIVEN_BACK.get() + 1),
        };
        Self {
            reconciler: Reconciler::new(parts),
            tables: tables.clone(),
            grace: requests,
            programmed: progress,
            severed: to_close,
            pulse,
            registry,
        }
    }

    /// A loop that has read the tables and knows its network.
    fn ready(tables: &FakeTables) -> Self {
        let mut bench = Self::new(tables);
        bench.turn([Event::GraceOver, network(&["192.0.2.1"])]);
        bench
    }

    #[track_caller]
    fn turn<const N: usize>(&mut self, events: [Event; N]) {
        assert!(self.reconciler.turn(events).unwrap());
    }

    /// Answers requests for grace periods until there are none, and lets an audit end.
    #[track_caller]
    fn rest(&mut self) {
        loop {
            if self.grace.try_iter().count() > 0 {
                self.turn([Event::GraceOver]);
            } else if self.reconciler.is_auditing() {
                self.turn([]);
            } else {
                return;
            }
        }
    }

    fn content(&self) -> Content {
        self.tables.0.lock().unwrap().clone()
    }

    fn performed(&self) -> usize {
        self.content().performed
    }
}

/// Services by name and endpoint; all on UDP port 53.
fn news(services: &[(&str, &str)]) -> Event {
    let mut picture = Picture::default();
    for (number, (name, address)) in services.iter().enumerate() {
        let [high, low] = (number as u16 + 1).to_be_bytes();
        let vip = format!("10.96.{high}.{low}");
        let built = service(name).cluster_ip(&vip).udp_port("dns", 53).build();
        let ends = slice(name).udp_port("dns", 53).endpoint(endpoint(address)).build();
        picture.slices.insert(built.name.clone(), [Arc::new(ends)].into());
        picture.services.insert(built.name.clone(), Arc::new(built));
    }
    let (rejections, triggers) = (Arc::new([]), Vec::new());
    Event::News(News { picture: Arc::new(picture), rejections, complete: true, triggers })
}

fn incomplete(mut event: Event) -> Event {
    if let Event::News(news) = &mut event {
        news.complete = false;
    }
    event
}

/// A network with these addresses and one external device, number 7.
fn network(addresses: &[&str]) -> Event {
    let local = || LocalAddress { ifindex: 7, device: "eth0".into(), global: true };
    let addresses: BTreeMap<IpAddr, _> =
        addresses.iter().map(|address| (address.parse().unwrap(), local())).collect();
    let device = DeviceNet {
        name: "eth0".into(),
        kind: None,
        up: true,
        vlans: false,
        pods: false,
        source_v4: Some([192, 0, 2, 1].into()),
        source_v6: None,
    };
    let devices = [(7, device)].into();
    Event::NodeNet(NodeNet { addresses, devices, ..NodeNet::default() })
}

#[test]
fn nothing_is_written_before_everything_is_known() {
    #[track_caller]
    fn check<const N: usize>(events: [Event; N], written: bool) {
        let mut bench = Bench::new(&FakeTables::default());
        bench.turn(events);
        assert_eq!(bench.performed() > 0, written);
        assert_eq!(bench.programmed.borrow().services.is_some(), written);
    }
    let picture = || news(&[("a", "10.1.0.1")]);
    let net = || network(&["192.0.2.1"]);
    check([picture(), net()], false);
    check([Event::GraceOver, net()], false);
    check([Event::GraceOver, picture()], false);
    check([picture(), Event::GraceOver, net()], true);
}

#[test]
fn news_that_changes_nothing_writes_nothing() {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.2")])]);
    bench.rest();
    let before = bench.performed();
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.2")]), network(&["192.0.2.1"])]);
    assert_eq!(bench.performed(), before);
}

#[test]
fn a_restart_finds_everything_in_place() {
    let tables = FakeTables::default();
    let picture = || news(&[("a", "10.1.0.1"), ("b", "10.1.0.2")]);
    Bench::ready(&tables).turn([picture()]);
    let before = tables.0.lock().unwrap().clone();
    let mut second = Bench::new(&tables);
    second.turn([picture(), Event::GraceOver, network(&["192.0.2.1"])]);
    assert_eq!(second.content(), before);
    assert_eq!(second.programmed.borrow().services, Some(2));
}

#[test]
fn what_vanished_during_a_restart_is_removed() {
    let tables = FakeTables::default();
    Bench::ready(&tables).turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.2")])]);
    let mut second = Bench::ready(&tables);
    second.turn([news(&[("a", "10.1.0.1")])]);
    assert_eq!(second.content().frontends.len(), 1);
}

#[test]
fn only_a_complete_picture_deletes() {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.2")])]);
    let one = || news(&[("a", "10.1.0.9")]);
    bench.turn([incomplete(one())]);
    let content = bench.content();
    assert_eq!(content.frontends.len(), 2);
    assert!(
        content
            .backends
            .values()
            .any(|row| IpAddr::from(row.address) == IpAddr::from([10, 1, 0, 9]))
    );
    bench.turn([one()]);
    assert_eq!(bench.content().frontends.len(), 1);
}

#[test]
fn a_failed_write_is_read_and_written_again() {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1")])]);
    bench.rest();
    bench.tables.0.lock().unwrap().failures.push(libc::ENOMEM);
    bench.turn([news(&[("a", "10.1.0.2"), ("b", "10.1.0.3")])]);
    assert_eq!(bench.content().frontends.len(), 1);
    bench.rest();
    assert_eq!(bench.content().frontends.len(), 2);
}

#[test]
fn an_error_that_nothing_cures_ends_the_loop() {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.tables.0.lock().unwrap().failures.push(libc::EPERM);
    let error = bench.reconciler.turn([news(&[("a", "10.1.0.1")])]).unwrap_err();
    assert_eq!(error.class(), Class::Fatal);
}

#[test]
fn sockets_of_an_endpoint_that_nobody_has_are_to_be_closed() {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.1")])]);
    bench.turn([news(&[("a", "10.1.0.2"), ("b", "10.1.0.1")])]);
    assert_eq!(bench.severed.try_iter().count(), 0, "b still has it");
    bench.turn([news(&[("a", "10.1.0.2"), ("b", "10.1.0.2")])]);
    let closed: Vec<_> = bench.severed.try_iter().flatten().collect();
    assert_eq!(closed, ["10.1.0.1:53".parse().unwrap()]);
}

#[test]
fn a_device_is_announced_when_its_row_is_there_and_flagged_when_xdp_runs() {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&[])]);
    assert_eq!(bench.programmed.borrow().devices[&7].name, "eth0");
    assert_eq!(bench.content().devices[&7].flags, 0);
    bench.turn([Event::NativeXdp([7].into())]);
    assert_eq!(bench.content().devices[&7].flags, flags::XDP);
    // The next agent starts from what this one knew.
    let mut second = Bench::ready(&bench.tables);
    second.turn([news(&[])]);
    assert_eq!(second.content().devices[&7].flags, flags::XDP);
}

#[test]
fn one_grace_period_is_asked_for_at_a_time() {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1")])]);
    bench.rest();
    for last in 2..6 {
        bench.turn([news(&[("a", &format!("10.1.0.{last}"))])]);
    }
    assert_eq!(bench.grace.try_iter().count(), 1);
    bench.turn([Event::GraceOver]);
    assert_eq!(bench.grace.try_iter().count(), 1, "what retired meanwhile waits for the next");
}

#[test]
fn memory_is_given_back_after_very_many_services_and_after_no_others() {
    let named = |count: usize| (0..count).map(|number| format!("s{number:04}")).collect::<Vec<_>>();
    let all = |names: &[String], address| {
        news(&names.iter().map(|name| (name.as_str(), address)).collect::<Vec<_>>())
    };
    #[track_caller]
    fn check(bench: &mut Bench, event: Event, expected: u32) {
        bench.turn([event]);
        bench.rest();
        assert_eq!(GIVEN_BACK.get(), expected);
    }
    let mut bench = Bench::ready(&FakeTables::default());
    check(&mut bench, all(&named(MUCH - 1), "10.1.0.1"), 0);
    check(&mut bench, all(&named(MUCH), "10.1.0.2"), 1);
    check(&mut bench, all(&named(MUCH - 1), "10.1.0.2"), 1);
    check(&mut bench, all(&named(0), "10.1.0.2"), 1);
    check(&mut bench, all(&named(MUCH), "10.1.0.2"), 2);
}
