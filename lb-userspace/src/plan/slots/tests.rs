use std::collections::HashMap;

use super::*;

/// So many backends of weight 1, of a set that has no other members in common with the next.
fn equals(set: usize, count: usize) -> Vec<Share> {
    let address =
        |host: usize| SocketAddr::from(([10, set as u8, (host >> 8) as u8, host as u8], 8080));
    let share = |host| Share { index: host as u32, weight: 1, address: address(host) };
    (0..count).map(share).collect()
}

fn weighted(weights: &[u16]) -> Vec<Share> {
    let shares = equals(0, weights.len()).into_iter().zip(weights);
    shares.map(|(share, weight)| Share { weight: *weight, ..share }).collect()
}

fn counts(slots: &[u32]) -> HashMap<u32, usize> {
    let mut counts = HashMap::new();
    slots.iter().for_each(|backend| *counts.entry(*backend).or_default() += 1);
    counts
}

/// The part of the flows on other backends that moves when `gone` goes.
fn moved(shares: &[Share], table: &[u32], gone: usize) -> f64 {
    let mut left = shares.to_vec();
    let gone = left.remove(gone).index;
    let after = super::table(&left);
    // A slot of a smaller table is as many of the larger.
    let of_each = table.len() / after.len();
    let after = after.iter().flat_map(|backend| std::iter::repeat_n(backend, of_each));
    let others = table.iter().zip(after).filter(|(before, _)| **before != gone);
    let (mut all, mut moved) = (0, 0);
    others.for_each(|(before, after)| (all, moved) = (all + 1, moved + i32::from(before != after)));
    f64::from(moved) / f64::from(all)
}

/// Over several sets of backends, some or all of them taken away in turn from each: what moves at
/// most and on average, and how large shares of the table are, beside those of their weights.
struct Figures {
    moved: f64,
    moved_on_average: f64,
    shares: (f64, f64),
}

fn figures(count: usize, sets: usize, removals: usize) -> Figures {
    let (mut most, mut sum, mut low, mut high) = (0f64, 0f64, f64::MAX, 0f64);
    for set in 0..sets {
        let shares = equals(set, count);
        let table = table(&shares);
        let fair = table.len() as f64 / count as f64;
        for part in counts(&table).into_values() {
            (low, high) = (low.min(part as f64 / fair), high.max(part as f64 / fair));
        }
        for removal in 0..removals {
            let moved = moved(&shares, &table, (set + removal * count) / removals % count);
            most = most.max(moved);
            sum += moved;
        }
    }
    let moved_on_average = sum / (sets * removals) as f64;
    Figures { moved: most, moved_on_average, shares: (low, high) }
}

/// The rows of the documentation's table: `cargo test -p lb-userspace --lib flows -- --nocapture`.
#[test]
fn taking_one_backend_away_moves_at_most_two_in_a_hundred_of_the_other_flows() {
    #[track_caller]
    fn check(count: usize, sets: usize, removals: usize) {
        let Figures { moved, moved_on_average, shares: (low, high) } =
            figures(count, sets, removals);
        let percent = |part: f64| format!("{:.2} %", 100. * part);
        println!(
            "| {count} | {} | {} | {} | {low:.2} to {high:.2} |",
            table_size(count),
            percent(moved_on_average),
            percent(moved),
        );
        assert!(moved <= 0.02, "{count} backends: {moved}");
        assert!(low > 0.55 && high < 1.4, "{count} backends: {low} to {high}");
    }
    println!("| backends | slots | moved | moved at most | share, 1 being equal |");
    check(2, 100, 2);
    check(3, 100, 3);
    check(5, 50, 5);
    check(8, 50, 8);
    check(9, 20, 9);
    check(16, 20, 8);
    check(32, 10, 8);
    check(33, 10, 8);
    check(64, 5, 8);
    check(100, 5, 8);
    check(128, 4, 8);
    check(129, 4, 8);
    check(200, 4, 4);
    check(512, 1, 4);
    check(513, 1, 4);
    check(1_000, 1, 2);
    check(2_049, 1, 1);
}

/// Also from one size of table to the next, and where cells begin or cease to be split.
#[test]
fn no_number_of_backends_is_an_exception() {
    let worst = |counts: &mut dyn Iterator<Item = usize>| {
        let figures = counts.map(|count| (figures(count, 1, 3).moved, count));
        figures.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
    };
    for (moved, count) in [
        worst(&mut (2..=100)),
        worst(&mut (101..=300).step_by(3)),
        worst(&mut [512, 513, 800, 801, 2_048, 2_049].into_iter()),
    ] {
        println!("at worst {:.2} %, with {count} backends", 100. * moved);
        assert!(moved <= 0.02, "{count} backends: {moved}");
    }
}

#[test]
fn a_table_is_the_same_in_whatever_rows_its_backends_stand() {
    let shares = equals(1, 7);
    let elsewhere: Vec<_> =
        shares.iter().map(|share| Share { index: 900 - 31 * share.index, ..*share }).collect();
    let back = |slot: &u32| (900 - slot) / 31;
    assert_eq!(table(&shares), table(&elsewhere).iter().map(back).collect::<Vec<_>>());
}

/// A changed table here moves every flow of a cluster whose nodes are upgraded one by one.
#[test]
fn the_table_is_what_it_was() {
    let first = |shares: &[Share]| table(shares)[..16].to_vec();
    assert_eq!(first(&equals(0, 3)), [2, 1, 2, 2, 1, 1, 1, 2, 2, 2, 2, 1, 0, 1, 1, 0]);
    assert_eq!(
        first(&equals(0, 40)),
        [20, 22, 11, 18, 31, 31, 31, 31, 11, 11, 11, 11, 18, 18, 18, 18]
    );
    let v6 = |host: u16| Share {
        index: host.into(),
        weight: 1 + host,
        address: ([0xfd00, 0, 0, 0, 0, 0, 1, host], 53).into(),
    };
    assert_eq!(first(&[v6(0), v6(1), v6(2)]), [2, 0, 2, 2, 1, 2, 2, 1, 0, 2, 0, 1, 2, 2, 1, 2]);
}

#[test]
fn weights_are_shares_of_the_table() {
    #[track_caller]
    fn check(weights: &[u16]) {
        let shares = weighted(weights);
        let table = table(&shares);
        let counts = counts(&table);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        for (share, weight) in shares.iter().zip(weights) {
            let expected = table.len() as f64 * f64::from(*weight) / total;
            let part = counts[&share.index] as f64 / expected;
            assert!((0.65..1.35).contains(&part), "{weights:?}: {weight} has {part} of its share");
        }
    }
    check(&[3, 1]);
    check(&[2, 2, 1]);
    check(&[10, 1, 5, 5]);
    check(&[100, 50, 25]);
    check(&[7; 40]);
}

#[test]
fn a_weighted_backend_that_goes_moves_no_more_than_another() {
    for gone in 0..4 {
        let shares = weighted(&[1, 2, 3, 4]);
        let moved = moved(&shares, &table(&shares), gone);
        assert!(moved <= 0.02, "{gone}: {moved}");
    }
}

#[test]
fn equal_weights_are_like_none() {
    assert_eq!(table(&weighted(&[1, 1, 1])), table(&weighted(&[40, 40, 40])));
}

#[test]
fn a_list_has_each_backend_as_often_as_it_weighs() {
    #[track_caller]
    fn check(weights: &[u16], expected: &[u32]) {
        assert_eq!(list(&weighted(weights)), expected);
    }
    check(&[], &[]);
    check(&[5], &[0]);
    check(&[1, 1, 1], &[0, 1, 2]);
    check(&[40, 40], &[0, 1]);
    check(&[3, 1], &[0, 0, 0, 1]);
    check(&[20, 30], &[0, 0, 1, 1, 1]);
}

#[test]
fn a_list_that_no_run_could_hold_is_thinned_out() {
    let mut weights = vec![100; 20_000];
    weights[0] = 1;
    let slots = list(&weighted(&weights));
    assert!(slots.len() <= Run::LONGEST as usize, "{}", slots.len());
    let counts = counts(&slots);
    assert!(counts.len() == 20_000 && counts[&1] > 40, "{}", counts[&1]);
}

#[test]
fn sizes_give_each_backend_a_hundred_slots_while_there_are_as_many() {
    #[track_caller]
    fn check(backends: usize, slots: u32) {
        assert_eq!(table_size(backends), slots, "{backends}");
        assert!(slots as usize >= 100 * backends.min(8_192));
    }
    check(2, 809);
    check(8, 809);
    check(9, 3_236);
    check(32, 3_236);
    check(33, 12_944);
    check(128, 12_944);
    check(512, 51_776);
    check(2_048, 207_104);
    check(2_049, 828_416);
    check(1_000_000, 828_416);
}
