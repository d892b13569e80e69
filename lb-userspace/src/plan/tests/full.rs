//! Tables without room.

use super::{
    super::*,
    build::{Bench, PortBuilder, gone, port, wanted},
    random::{Random, random_wanted, whole},
};

/// A Service that takes one row, one backend, one slot, one cell, two frontends and one range.
fn one(service: &str, number: u8) -> PortBuilder {
    port(service, "")
        .cluster_ip(&format!("10.96.0.{number}"), 80)
        .vip(&format!("192.0.2.{number}"), 80)
        .source_range("10.0.0.0/8")
        .backend(&format!("10.1.0.{number}:80"), "C")
}

/// With `small`, `a` fits and `b` does not; when `a` goes, `b` comes.
#[track_caller]
fn check(table: &str, small: impl FnOnce(&mut Capacities)) {
    let mut capacities = Capacities::small();
    small(&mut capacities);
    let mut bench = Bench::new(capacities);
    bench.plan(wanted([one("a", 1), one("b", 2)]));
    bench.settle();
    bench.check(&wanted([one("a", 1)]));
    let rejections = bench.rejections();
    let expected = format!("Service default/b: does not fit: table {table} (");
    assert!(rejections.len() == 1 && rejections[0].starts_with(&expected), "{rejections:?}");
    assert_eq!(bench.plan([]), "");
    assert_eq!(bench.planner.names().count(), 2);

    bench.plan([gone("a")]);
    bench.settle();
    bench.check(&wanted([one("b", 2)]));
    assert!(bench.rejections().is_empty());
}

#[test]
fn a_service_that_does_not_fit_is_left_out_whole_and_comes_when_there_is_room() {
    check("SERVICES", |sizes| sizes.services = 1);
    check("BACKENDS", |sizes| sizes.backends = 1);
    check("SLOTS", |sizes| sizes.slots = 1);
    check("NAMES", |sizes| sizes.name_cells = 1);
    check("FRONTENDS_V4", |sizes| sizes.frontends = 3);
    check("SOURCE_RANGES", |sizes| sizes.source_ranges = 1);
}

#[test]
fn all_ports_of_a_service_are_left_out_together() {
    let sizes = Capacities { backends: 2, ..Capacities::small() };
    let mut bench = Bench::new(sizes);
    let other = |port: PortBuilder| port.backend("10.1.0.9:80", "C").backend("10.1.0.8:80", "C");
    let two = || [port("b", "x").cluster_ip("10.96.0.2", 80), other(port("b", "y"))];
    bench.plan(wanted([one("a", 1)].into_iter().chain(two())));
    bench.check(&wanted([one("a", 1)]));
    assert_eq!(bench.rejections().len(), 1);
}

#[test]
fn an_applied_service_that_outgrows_a_table_is_withdrawn() {
    let mut bench = Bench::new(Capacities { backends: 3, ..Capacities::small() });
    bench.plan(wanted([one("a", 1), one("b", 2)]));
    let grown = || one("b", 2).backend("10.1.0.3:80", "C").backend("10.1.0.4:80", "C");
    bench.plan(wanted([grown()]));
    bench.settle();
    bench.check(&wanted([one("a", 1)]));
    assert_eq!(
        bench.rejections(),
        ["Service default/b: does not fit: table BACKENDS (3 entries, see --max-backends) has no \
             room for it"]
    );

    bench.plan(wanted([one("b", 2)]));
    bench.settle();
    bench.check(&wanted([one("a", 1), one("b", 2)]));
    assert!(bench.rejections().is_empty());
}

#[test]
fn a_service_that_waits_and_vanishes_is_forgotten() {
    let mut bench = Bench::new(Capacities { services: 1, ..Capacities::small() });
    bench.plan(wanted([one("a", 1), one("b", 2)]));
    bench.plan([gone("b")]);
    assert!(bench.rejections().is_empty());
    bench.plan([gone("a")]);
    bench.settle();
    bench.check(&wanted([]));
    assert_eq!(bench.planner.names().count(), 0);
}

#[test]
fn places_are_not_given_away_before_they_are_released() {
    let mut bench = Bench::new(Capacities { backends: 1, ..Capacities::small() });
    bench.plan(wanted([one("a", 1)]));
    bench.plan([gone("a")]);
    bench.plan(wanted([one("b", 2)]));
    assert_eq!(bench.rejections().len(), 1);
    bench.settle();
    bench.check(&wanted([one("b", 2)]));
}

#[test]
fn a_frontend_shared_or_handed_on_needs_no_second_entry() {
    let mut bench = Bench::new(Capacities { frontends: 1, ..Capacities::small() });
    let at = |service: &str| port(service, "").cluster_ip("10.96.0.1", 80);
    bench.plan(wanted([at("a"), at("b")]));
    bench.plan([gone("a")]);
    bench.plan(wanted([at("b").node_port(1)]));
    assert_eq!(bench.rejections().len(), 1);
    bench.settle();
    bench.plan(wanted([port("b", "").cluster_ip("10.96.0.1", 80)]));
    let text = bench.plan(wanted([port("b", "").node_port(1)]));
    assert_eq!(
        text,
        "remove frontend 10.96.0.1:80/TCP\n\
         remove VIP 10.96.0.1\n\
         put frontend IPv4 NodePort 1/TCP: service 0, NodePort\n"
    );
}

#[test]
fn a_frontend_that_somebody_else_claims_too_makes_no_room() {
    let mut bench = Bench::new(Capacities { frontends: 1, ..Capacities::small() });
    let at =
        |service: &str, number: u8| port(service, "").cluster_ip(&format!("10.96.0.{number}"), 80);
    bench.plan(wanted([at("a", 1), at("b", 1)]));
    bench.plan(wanted([at("b", 2)]));
    bench.settle();
    bench.check(&wanted([at("a", 1)]));
    assert_eq!(bench.rejections().len(), 1);
}

#[test]
fn room_in_tables_without_a_grace_period_is_used_too() {
    let ranges = Capacities { source_ranges: 1, ..Capacities::small() };
    let mut bench = Bench::new(ranges);
    bench.plan(wanted([one("a", 1), one("b", 2)]));
    let mut open = one("a", 1);
    open.0.source_ranges.clear();
    bench.plan(wanted([open.clone()]));
    bench.plan([]);
    bench.check(&wanted([open, one("b", 2)]));

    let frontends = Capacities { frontends: 3, ..Capacities::small() };
    let mut bench = Bench::new(frontends);
    bench.plan(wanted([one("a", 1), one("b", 2)]));
    let mut fewer = one("a", 1);
    fewer.0.frontends.truncate(1);
    bench.plan(wanted([fewer.clone()]));
    bench.check(&wanted([fewer, one("b", 2)]));
}

/// Whether a Service that waits for a table is tried again when another gives slots back, and nothing
/// else.
#[track_caller]
fn check_woken(table: &str, small: impl FnOnce(&mut Capacities), expected: bool) {
    let mut capacities = Capacities::small();
    small(&mut capacities);
    let mut bench = Bench::new(capacities);
    let two = |service: &str, number: u8, second: &str| {
        let first = port(service, "").cluster_ip(&format!("10.96.0.{number}"), 80);
        let first = first.backend(&format!("10.1.{number}.1:80"), "C");
        first.backend(&format!("10.1.{number}.2:80"), second)
    };
    bench.plan(wanted([two("a", 1, "C"), two("b", 2, "C")]));
    let waits = bench.rejections();
    assert!(waits.len() == 1 && waits[0].contains(table), "{waits:?}");
    // One of its endpoints serves on and is in no list any more: only the old list is given back.
    bench.plan(wanted([two("a", 1, "")]));
    bench.image.end_grace_period();
    assert_eq!(bench.planner.release(std::mem::take(&mut bench.retired)), expected, "{table}");
    bench.plan([]);
    assert_eq!(bench.rejections() != waits, expected, "{table}");
}

#[test]
fn room_in_one_table_does_not_wake_those_that_wait_for_another() {
    check_woken("SLOTS", |sizes| sizes.slots = 3, true);
    check_woken("BACKENDS", |sizes| sizes.backends = 3, false);
    check_woken("SERVICES", |sizes| sizes.services = 1, false);
}

#[test]
fn one_plan_never_needs_more_room_than_before_or_after() {
    let mut bench = Bench::new(Capacities { frontends: 2, ..Capacities::small() });
    let at =
        |service: &str, number: u8| port(service, "").cluster_ip(&format!("10.96.0.{number}"), 80);
    bench.plan(wanted([at("a", 1), at("b", 2)]));
    let next = wanted([at("c", 3), at("d", 4)]);
    let plan = whole(&bench.planner, &next);
    bench.plan(plan);
    bench.settle();
    bench.check(&next);
}

#[test]
fn tables_that_are_always_full_never_break_and_fill_up_again() {
    for seed in 0..30 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let sizes = Capacities {
            services: 3 + random.below(6) as u32,
            backends: 8 + random.below(12) as u32,
            slots: 10 + random.below(20) as u32,
            name_cells: 6 + random.below(10) as u32,
            frontends: 4 + random.below(6) as u32,
            source_ranges: 3 + random.below(4) as u32,
            ..Capacities::small()
        };
        let mut bench = Bench::new(sizes);
        for _ in 0..60 {
            let mut next = random_wanted(&mut random);
            let plan = whole(&bench.planner, &next);
            bench.plan(plan);
            if random.once_in(2) {
                bench.settle();
                let left_out = bench.rejections();
                next.retain(|name, _| {
                    let refused = format!("Service {name}: does not fit");
                    !left_out.iter().any(|rejection| rejection.starts_with(&refused))
                });
                bench.check(&next);
            }
        }
        // With nothing else in the tables, whatever waited for the others' room fits or never will.
        let plan = whole(&bench.planner, &wanted([]));
        bench.plan(plan);
        bench.settle();
        bench.check(&wanted([]));
    }
}

#[test]
fn node_tables_keep_what_fits() {
    use lb_common::{Address, device::Device};
    let mut bench = Bench::new(Capacities { node_addresses: 2, devices: 1, ..Capacities::small() });
    let addresses = |last: &[u8]| {
        last.iter()
            .map(|last| (Address::from(std::net::Ipv4Addr::new(10, 0, 0, *last)), 1))
            .collect()
    };
    let devices = |all: &[u32]| all.iter().map(|index| (*index, Device::default())).collect();

    let plan = bench.planner.plan_node(&addresses(&[1, 2, 3]), &devices(&[5, 6]));
    let text = bench.perform(plan);
    assert_eq!(text.lines().filter(|line| line.starts_with("put")).count(), 3, "{text}");
    assert_eq!(bench.rejections().len(), 2);

    let plan = bench.planner.plan_node(&addresses(&[2, 3]), &devices(&[6]));
    let text = bench.perform(plan);
    assert!(text.contains("remove node address 10.0.0.1\nput node address 10.0.0.3 NodePorts\n"));
    assert!(text.contains("remove device 5\nput device 6"));
    assert!(bench.rejections().is_empty());
    let again = bench.planner.plan_node(&addresses(&[2, 3]), &devices(&[6]));
    assert!(again.is_empty());
}
