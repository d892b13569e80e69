//! A new agent on the tables an earlier one left, at whatever moment it ended.

use lb_common::{backend, run::Run, service::flags};

use super::{
    super::*,
    build::{Bench, gone, port, wanted},
    image::expected_view,
    random::{Random, random_wanted, whole},
};

/// A new agent finds the tables as they are; nobody who ran under the old one runs any more.
fn restart(bench: &mut Bench) -> String {
    bench.image.end_grace_period();
    bench.retired = Retired::default();
    let (planner, plan) = Planner::adopt(Capacities::tiny(), bench.image.contents());
    bench.planner = planner;
    bench.perform(plan)
}

#[test]
fn an_agent_that_ends_between_any_two_operations_leaves_what_the_next_one_can_finish() {
    for seed in 0..8 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut bench = Bench::new(Capacities::tiny());
        restart(&mut bench);
        for _ in 0..6 {
            let before = random_wanted(&mut random);
            let plan = whole(&bench.planner, &before);
            bench.plan(plan);
            if random.once_in(2) {
                bench.settle();
            }
            // Interrupt the way to `next` after each of its operations, and go on to `last`.
            let next = random_wanted(&mut random);
            let last = if random.once_in(2) { next.clone() } else { random_wanted(&mut random) };
            let image = bench.image.clone();
            let ops = bench.planner.plan(whole(&bench.planner, &next)).ops;
            for end in 0..=ops.len() {
                bench.image = image.clone();
                ops[..end].iter().for_each(|op| bench.image.apply(op));
                restart(&mut bench);
                assert_eq!(bench.planner.usage(), bench.image.usage(), "after {end} of {ops:#?}");
                let plan = whole(&bench.planner, &last);
                bench.plan(plan);
                assert_eq!(bench.image.view(), expected_view(&last), "after {end} of {ops:#?}");
                let rows = bench
                    .planner
                    .names()
                    .map(|name| bench.planner.drift_of_rows(name, &bench.image));
                let entries = bench.planner.drift_of_entries(&bench.image.contents());
                assert_eq!(rows.sum::<usize>() + entries, 0);
                bench.settle();
                bench.check(&last);
            }
        }
    }
}

#[test]
fn an_agent_that_ends_while_it_repairs_is_no_different() {
    let mut random = Random::new(7);
    for _ in 0..40 {
        let (before, next) = (random_wanted(&mut random), random_wanted(&mut random));
        let mut bench = Bench::new(Capacities::tiny());
        restart(&mut bench);
        bench.plan(before);
        let ops = bench.planner.plan(whole(&bench.planner, &next)).ops;
        let end = random.below(ops.len() + 1);
        ops[..end].iter().for_each(|op| bench.image.apply(op));

        bench.image.end_grace_period();
        let image = bench.image.clone();
        let (_, repair) = Planner::adopt(Capacities::tiny(), image.contents());
        for end in 0..=repair.ops.len() {
            bench.image = image.clone();
            repair.ops[..end].iter().for_each(|op| bench.image.apply(op));
            restart(&mut bench);
            let plan = whole(&bench.planner, &next);
            bench.plan(plan);
            bench.settle();
            bench.check(&next);
        }
    }
}

#[test]
fn sound_tables_are_adopted_without_a_write() {
    let services = || {
        wanted([
            port("a", "http")
                .cluster_ip("10.96.0.1", 80)
                .node_port(30080)
                .affinity(10)
                .backend("10.1.0.1:80", "CL@")
                .backend("10.1.0.2:80", "")
                .external_local(),
            port("a", "dns").udp().cluster_ip("10.96.0.1", 53).backend("10.1.0.3:53", "C"),
            port("b", "")
                .ipv6()
                .vip("fd00:96::1", 443)
                .source_range("fd00::/8")
                .backend("[fd00:1::1]:443", "C"),
            port("b", "empty").cluster_ip("10.96.0.2", 80),
        ])
    };
    let mut bench = Bench::new(Capacities::tiny());
    bench.plan(services());
    assert_eq!(restart(&mut bench), "");
    assert_eq!(bench.plan(services()), "");
    bench.check(&services());
}

#[test]
fn udp_backends_that_went_while_no_agent_ran_are_severed() {
    let dns = |backends: &[&str]| {
        let base = port("dns", "").udp().cluster_ip("10.96.0.10", 53);
        wanted([backends.iter().fold(base, |port, backend| port.backend(backend, "C"))])
    };
    let mut bench = Bench::new(Capacities::tiny());
    bench.plan(dns(&["10.1.0.1:53", "10.1.0.2:53", "10.1.0.3:53"]));

    // One goes, but the agent ends before it gets to sever anything.
    bench.plan(dns(&["10.1.0.1:53", "10.1.0.2:53"]));
    assert_eq!(restart(&mut bench), "clear backend 2, generation 2\nsever 10.1.0.3:53/UDP\n");

    // One more goes before the new agent has looked.
    let text = bench.plan(dns(&["10.1.0.1:53"]));
    assert!(text.ends_with("sever 10.1.0.2:53/UDP\n"), "{text}");
}

/// Spoils row 0 of a sound table and restarts: nothing may be left of it, the other Service stays
/// untouched, and the next plan puts it right.
#[track_caller]
fn check_spoiled(spoil: impl FnOnce(&mut super::image::Rows<'_>)) {
    let services = || {
        wanted([
            port("a", "")
                .cluster_ip("10.96.0.1", 80)
                .node_port(30080)
                .backend("10.1.0.1:80", "C")
                .backend("10.1.0.1:81", "C"),
            port("b", "").cluster_ip("10.96.0.2", 80).backend("10.1.0.2:80", "C"),
        ])
    };
    let mut bench = Bench::new(Capacities::tiny());
    bench.plan(services());
    bench.image.spoil(spoil);
    let (planner, repair) = Planner::adopt(Capacities::tiny(), bench.image.contents());
    bench.planner = planner;
    assert_eq!(bench.planner.names().collect::<Vec<_>>(), [&gone("b").0]);
    bench.image.end_grace_period();
    repair.ops.iter().for_each(|op| bench.image.apply(op));
    bench.image.check_readers();

    let b = gone("a").0;
    let only_b: Vec<_> = services().into_iter().filter(|(name, _)| *name != b).collect();
    bench.check(&only_b.into_iter().collect());
    bench.plan(services());
    bench.settle();
    bench.check(&services());
}

#[test]
fn a_row_that_does_not_hold_together_is_taken_out() {
    check_spoiled(|rows| rows.services[0].settings.flags &= !flags::LIVE);
    check_spoiled(|rows| rows.services[0].settings.flags |= flags::IPV6);
    check_spoiled(|rows| rows.services[0].settings.flags ^= 0xff << flags::PROTOCOL_SHIFT);
    check_spoiled(|rows| rows.services[0].settings.flags ^= (6 ^ 17) << flags::PROTOCOL_SHIFT);
    check_spoiled(|rows| rows.services[0].name = Run::EMPTY);
    check_spoiled(|rows| rows.services[0].name = Run::new(Run::OFFSETS - 1, 3, 0));
    check_spoiled(|rows| rows.services[0].cluster = Run::new(u32::MAX, Run::LONGEST, 0));
    check_spoiled(|rows| rows.services[0].local = rows.services[0].cluster);
    check_spoiled(|rows| rows.slots[0] = 2);
    check_spoiled(|rows| rows.slots[0] = u32::MAX);
    check_spoiled(|rows| rows.backends[0].flags = 0);
    check_spoiled(|rows| rows.backends[0].service = 1);
    check_spoiled(|rows| rows.backends[0].port = rows.backends[1].port);
}

#[test]
fn of_two_rows_with_one_name_one_is_taken_out() {
    let services = || {
        wanted([
            port("a", "").cluster_ip("10.96.0.1", 80).backend("10.1.0.1:80", "C"),
            port("b", "").cluster_ip("10.96.0.2", 80).backend("10.1.0.2:80", "C"),
        ])
    };
    let mut bench = Bench::new(Capacities::tiny());
    bench.plan(services());
    bench.image.spoil(|rows| rows.names[0] = rows.names[1]);
    assert_eq!(
        restart(&mut bench),
        "remove frontend 10.96.0.2:80/TCP\n\
         clear service 1\n\
         clear backend 1, generation 2\n\
         remove VIP 10.96.0.2\n"
    );
    bench.plan(services());
    bench.settle();
    bench.check(&services());
}

#[test]
fn rows_and_entries_that_nothing_leads_to_are_wiped() {
    let mut bench = Bench::new(Capacities::tiny());
    bench.plan(wanted([port("a", "").cluster_ip("10.96.0.1", 80)]));
    bench.image.spoil(|rows| {
        rows.services[9] = rows.services[0];
        rows.backends[7].flags = backend::flags::SERVING;
        rows.backends[7].service = 9;
    });
    bench.image.admit(9, "10.0.0.1".parse().unwrap());
    assert_eq!(
        restart(&mut bench),
        "no longer admit 10.0.0.1/0 to service 9\n\
         clear service 9\n\
         clear backend 7, generation 1\n"
    );
    bench.check(&wanted([port("a", "").cluster_ip("10.96.0.1", 80)]));
}
