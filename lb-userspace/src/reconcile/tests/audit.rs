//! Somebody else writes to the tables.

use super::*;
use crate::reconcile::audit::PORTION;

fn drift(bench: &Bench) -> u64 {
    let mut text = String::new();
    encode_registry(&mut text, &bench.registry).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("sluice_table_drift_total "));
    line.unwrap().parse().unwrap()
}

/// Changes tables that are in use, and asserts how many entries are found to be others, and that
/// afterwards all is as it was.
#[track_caller]
fn check(tamper: impl FnOnce(&mut Content), expected: u64) {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1"), ("b", "10.1.0.2")])]);
    bench.rest();
    let before = bench.content();
    tamper(&mut bench.tables.0.lock().unwrap());
    bench.turn([Event::Audit]);
    bench.rest();
    assert_eq!(drift(&bench), expected);
    let view = |content: Content| {
        let Content { frontends, vips, node_addresses, devices, .. } = content;
        // Where things are may differ, how many there are may not.
        let keys: Vec<_> = frontends.into_keys().collect();
        (keys, vips, node_addresses, devices)
    };
    assert_eq!(view(bench.content()), view(before));
    bench.turn([Event::Audit]);
    bench.rest();
    assert_eq!(drift(&bench), expected, "nothing is wrong any more");
}

#[test]
fn tables_that_nobody_touched_are_left_alone() {
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&[("a", "10.1.0.1")])]);
    // Even while places wait for their grace period.
    bench.turn([news(&[("b", "10.1.0.2")]), Event::Audit]);
    bench.rest();
    let before = bench.performed();
    bench.turn([Event::Audit]);
    bench.rest();
    assert_eq!((bench.performed(), drift(&bench)), (before, 0));
}

#[test]
fn what_somebody_removed_is_written_anew() {
    check(|content| _ = content.frontends.pop_first(), 1);
    check(|content| content.frontends.clear(), 2);
    check(|content| _ = content.vips.pop_first(), 1);
    check(|content| content.node_addresses.clear(), 1);
    check(|content| content.devices.clear(), 1);
    check(|content| *content.services.values_mut().next().unwrap() = Default::default(), 1);
}

#[test]
fn what_somebody_changed_is_written_anew() {
    check(|content| content.backends.values_mut().next().unwrap().weight += 1, 1);
    check(|content| *content.slots.values_mut().next().unwrap() += 1, 1);
    check(|content| content.frontends.values_mut().for_each(|frontend| frontend.service ^= 1), 2);
}

#[test]
fn many_services_are_compared_a_portion_a_turn_and_news_go_between() {
    const PORTIONS: usize = 3;
    let services: Vec<_> = (0..PORTIONS * PORTION)
        .map(|number| (format!("s{number:04}"), format!("10.1.{}.{}", number / 256, number % 256)))
        .collect();
    let services: Vec<_> =
        services.iter().map(|(name, address)| (name.as_str(), address.as_str())).collect();
    let mut bench = Bench::ready(&FakeTables::default());
    bench.turn([news(&services)]);
    bench.rest();
    let before = bench.content();
    // One entry of each portion, the first and the last of all among them.
    for row in [0, PORTION, PORTIONS * PORTION - 1] {
        let mut tables = bench.tables.0.lock().unwrap();
        tables.backends.get_mut(&(row as u32)).unwrap().weight += 1;
    }
    bench.turn([Event::Audit]);
    let mut turns = 1;
    while bench.reconciler.is_auditing() {
        assert_eq!(drift(&bench), 0, "told at the end, all together");
        bench.turn([]);
        turns += 1;
    }
    // What is in hash tables is compared after the last portion.
    assert_eq!((turns, drift(&bench)), (PORTIONS + 1, 3));
    bench.rest();
    assert_eq!(bench.content().frontends.len(), before.frontends.len());

    bench.turn([Event::Audit]);
    let written = bench.performed();
    bench.turn([news(&services[1..])]);
    assert!(bench.performed() > written && bench.reconciler.is_auditing(), "news go first");
    bench.rest();
    assert_eq!(drift(&bench), 3, "nothing is wrong any more");
}
