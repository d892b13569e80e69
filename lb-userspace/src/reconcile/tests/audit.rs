//! Somebody else writes to the tables.

use super::*;

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
