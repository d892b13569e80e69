use std::{
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

    /// Answers requests for grace periods until there are none.
    #[track_caller]
    fn rest(&mut self) {
        while self.grace.try_iter().count() > 0 {
            self.turn([Event::GraceOver]);
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
        let vip = format!("10.96.0.{}", number + 1);
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

fn node(zone: Option<&str>, addresses: &[&str]) -> Event {
    Event::Node(NodeNews {
        zone: zone.map(Arc::from),
        internal_ips: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        eligible: true,
        exists: true,
    })
}

#[test]
fn a_change_of_zone_chooses_endpoints_anew() {
    let hinted = |address, zone| endpoint(address).for_zones(&[zone]);
    let ends = slice("a")
        .udp_port("dns", 53)
        .endpoint(hinted("10.1.0.1", "east"))
        .endpoint(hinted("10.1.0.2", "west"))
        .build();
    let built = service("a").cluster_ip("10.96.0.1").udp_port("dns", 53).build();
    let mut picture = Picture::default();
    picture.slices.insert(built.name.clone(), [Arc::new(ends)].into());
    picture.services.insert(built.name.clone(), Arc::new(built));
    let (rejections, triggers) = (Arc::new([]), Vec::new());
    let news = News { picture: Arc::new(picture), rejections, complete: true, triggers };
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([Event::News(news)]);
    let mut chosen = |zone| {
        bench.turn([node(zone, &[])]);
        let content = bench.content();
        content.services.values().map(|row| row.cluster.length()).sum::<u32>()
    };
    assert_eq!([None, Some("east"), Some("nowhere")].map(&mut chosen), [2, 1, 2]);
}

#[test]
fn the_clusters_primary_addresses_win_over_those_of_routes() {
    let mut bench = Bench::new(&FakeTables::default());
    bench.reconciler.parts.node_port_addresses =
        NodePortAddresses { primary: true, ..Default::default() };
    bench.turn([Event::GraceOver, network(&["192.0.2.1", "192.0.2.9"]), news(&[])]);
    let answering = |bench: &Bench| -> Vec<IpAddr> {
        let addresses = bench.content().node_addresses;
        let admitted = addresses.into_iter().filter(|(_, flags)| *flags != 0);
        admitted.map(|(address, _)| address.into()).collect()
    };
    assert_eq!(answering(&bench), [IpAddr::from([192, 0, 2, 1])]);
    bench.turn([node(None, &["192.0.2.9"])]);
    assert_eq!(answering(&bench), [IpAddr::from([192, 0, 2, 9])]);
    bench.turn([node(None, &["192.0.2.9", "192.0.2.1"])]);
    assert_eq!(answering(&bench), [IpAddr::from([192, 0, 2, 9])]);
    bench.turn([node(None, &["2001:db8::9"])]);
    assert_eq!(answering(&bench), [IpAddr::from([192, 0, 2, 1])]);
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
fn what_cannot_be_written_waits_until_it_is() {
    #[track_caller]
    fn check(bench: &Bench, healthy: bool) {
        let later = Instant::now() + PATIENCE + Duration::from_secs(1);
        assert_eq!(bench.pulse.condition(later).healthy, healthy);
    }
    let mut bench = Bench::ready(&FakeTables::default());
    check(&bench, true);
    bench.turn([news(&[("a", "10.1.0.1")])]);
    check(&bench, true);
    bench.rest();
    bench.tables.0.lock().unwrap().failures.push(libc::ENOMEM);
    bench.turn([news(&[("a", "10.1.0.2")])]);
    check(&bench, false);
    bench.rest();
    check(&bench, true);
}

/// What the metrics show of a series.
#[track_caller]
fn shown(bench: &Bench, series: &str) -> f64 {
    let mut text = String::new();
    encode_registry(&mut text, &bench.registry).unwrap();
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {series} in\n{text}"))
}

#[test]
fn triggers_are_timed_when_written_unless_they_are_older_than_the_agent() {
    const TIMED: &str = "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"}";
    let triggered = |mut event: Event| {
        let later = SystemTime::now() + Duration::from_secs(5);
        let [service, gone] = ["a", "gone"].map(|name| ServiceName::new("default", name));
        if let Event::News(news) = &mut event {
            news.triggers = vec![
                Trigger { service: service.clone(), at: SystemTime::now() },
                Trigger { service: service.clone(), at: later },
                Trigger { service, at: SystemTime::UNIX_EPOCH },
                Trigger { service: gone, at: later },
            ];
        }
        event
    };
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([triggered(news(&[("a", "10.1.0.1")]))]);
    assert_eq!(shown(&bench, TIMED), 2.0);
    bench.rest();
    bench.tables.0.lock().unwrap().failures.push(libc::ENOMEM);
    bench.turn([triggered(news(&[("a", "10.1.0.2")]))]);
    assert_eq!(shown(&bench, TIMED), 2.0, "nothing was written");
    bench.rest();
    assert_eq!(shown(&bench, TIMED), 4.0);
}

#[test]
fn changes_are_pending_until_they_are_written() {
    #[track_caller]
    fn check(bench: &Bench, pending: [f64; 2], total: [f64; 2]) {
        let name = |kind, what| format!("kubeproxy_sync_proxy_rules_{kind}_changes_{what}");
        let both = |what| ["service", "endpoint"].map(|kind| shown(bench, &name(kind, what)));
        assert_eq!((both("pending"), both("total")), (pending, total));
    }
    let mut bench = Bench::new(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.2")])]);
    check(&bench, [2.0, 2.0], [2.0, 2.0]);
    bench.turn([Event::GraceOver, network(&["192.0.2.1"])]);
    check(&bench, [0.0, 0.0], [2.0, 2.0]);
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.3")])]);
    check(&bench, [0.0, 0.0], [2.0, 3.0]);
    bench.turn([news(&[("a", "10.1.0.1")])]);
    check(&bench, [0.0, 0.0], [3.0, 4.0]);
    assert_eq!(shown(&bench, "sluice_services"), 1.0);
}

#[test]
fn health_checks_follow_the_write_not_the_news() {
    let balanced = |here: bool, port| {
        let node = if here { "n1" } else { "n2" };
        let built = service("web").kind(ServiceType::LoadBalancer).cluster_ip("10.96.0.1");
        let built = built.external_policy(TrafficPolicy::Local).port("http", 80);
        let built = built.health_check_port(port).build();
        let ends = slice("web").port("http", 80).endpoint(endpoint("10.1.0.1").node(node));
        let mut picture = Picture::default();
        picture.slices.insert(built.name.clone(), [Arc::new(ends.build())].into());
        picture.services.insert(built.name.clone(), Arc::new(built));
        let (rejections, triggers) = (Arc::new([]), Vec::new());
        Event::News(News { picture: Arc::new(picture), rejections, complete: true, triggers })
    };
    #[track_caller]
    fn check(bench: &Bench, expected: &[(u16, u32)]) {
        let now = bench.programmed.borrow().clone();
        let found: Vec<_> =
            now.health_checks.values().map(|check| (check.port, check.local_endpoints)).collect();
        assert_eq!(found, expected);
    }
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([balanced(true, 31000)]);
    check(&bench, &[(31000, 1)]);
    bench.rest();
    bench.tables.0.lock().unwrap().failures.push(libc::ENOMEM);
    bench.turn([balanced(false, 31000)]);
    check(&bench, &[(31000, 1)]);
    bench.rest();
    check(&bench, &[(31000, 0)]);
    bench.turn([balanced(true, 31001)]);
    check(&bench, &[(31001, 1)]);
    bench.turn([news(&[])]);
    check(&bench, &[]);
}

#[test]
fn what_is_primary_follows_the_routes_until_the_cluster_says() {
    let node = |addresses: &[&str]| {
        let internal_ips = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Event::Node(NodeNews { zone: None, internal_ips, eligible: true, exists: true })
    };
    let mut bench = Bench::new(&FakeTables::default());
    bench.reconciler.parts.node_port_addresses =
        NodePortAddresses { primary: true, ..Default::default() };
    let mut picture = Picture::default();
    let web = service("web")
        .kind(ServiceType::LoadBalancer)
        .cluster_ip("10.96.0.1")
        .load_balancer_ip("198.51.100.1")
        .source_range("203.0.113.0/24")
        .port("http", 80)
        .build();
    picture.services.insert(web.name.clone(), Arc::new(web));
    let (picture, rejections, triggers) = (Arc::new(picture), Arc::new([]), Vec::new());
    let news = Event::News(News { picture, rejections, complete: true, triggers });
    bench.turn([Event::GraceOver, news, network(&["192.0.2.1", "203.0.113.7"])]);
    let open = |bench: &Bench| {
        let rows = bench.content().node_addresses;
        let open = rows.iter().filter(|(_, flags)| **flags != 0);
        open.map(|(address, _)| IpAddr::from(*address).to_string()).collect::<Vec<_>>()
    };
    assert_eq!(open(&bench), ["192.0.2.1"], "the device's own");
    assert_eq!(bench.content().source_ranges.len(), 1);
    bench.turn([node(&["203.0.113.7"])]);
    assert_eq!(open(&bench), ["203.0.113.7"]);
    assert_eq!(bench.content().source_ranges.len(), 2, "the node is let in, and so is its VIP");
    bench.turn([node(&["192.0.2.1"])]);
    assert_eq!(open(&bench), ["192.0.2.1"]);
    assert_eq!(bench.content().source_ranges.len(), 1);
}
