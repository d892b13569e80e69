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
    assert_eq!(table.len(), after.len(), "another size is another table");
    let others = table.iter().zip(&after).filter(|(before, _)| **before != gone);
    let all = others.clone().count();
    others.filter(|(before, after)| before != after).count() as f64 / all as f64
}

/// Over several sets of backends, each of them taken away in turn from each: what moves at most and
/// on average, and how large shares of the table are, beside equal ones.
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
            let moved = moved(&shares, &table, removal * count / removals);
            most = most.max(moved);
            sum += moved;
        }
    }
    let moved_on_average = sum / (sets * removals) as f64;
    Figures { moved: most, moved_on_average, shares: (low, high) }
}

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
        assert!(low > 0.6 && high < 1.12, "{count} backends: {low} to {high}");
    }
    println!("| backends | slots | moved | moved at most | share, 1 being equal |");
    check(2, 50, 2);
    check(3, 50, 3);
    check(5, 50, 5);
    check(8, 50, 8);
    check(10, 20, 10);
    check(32, 10, 10);
    check(100, 4, 5);
    check(1_000, 1, 3);
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
    assert_eq!(first(&equals(0, 3)), [2, 0, 1, 1, 2, 1, 1, 1, 0, 1, 2, 1, 1, 0, 1, 1]);
    let v6 = |host: u16| Share {
        index: host.into(),
        weight: 1 + host,
        address: ([0xfd00, 0, 0, 0, 0, 0, 1, host], 53).into(),
    };
    assert_eq!(first(&[v6(0), v6(1), v6(2)]), [1, 2, 1, 2, 2, 2, 2, 2, 2, 2, 1, 1, 2, 1, 1, 2]);
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
            assert!((0.7..1.25).contains(&part), "{weights:?}: {weight} has {part} of its share");
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
        assert!(moved <= 0.03, "{gone}: {moved}");
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
fn sizes_are_the_least_primes_that_give_each_backend_a_hundred_slots() {
    let prime =
        |number: u32| (2..).take_while(|d| d * d <= number).all(|d| !number.is_multiple_of(d));
    for Size { backends, slots, .. } in &SIZES[..SIZES.len() - 1] {
        let least = (100 * *backends as u32..).find(|number| prime(*number));
        assert_eq!(Some(*slots), least, "{backends}");
    }
    let largest = (0..=Run::LONGEST).rev().find(|number| prime(*number));
    assert_eq!((table_size(8_193), table_size(1_000_000)), (largest.unwrap(), 1_048_573));
}
