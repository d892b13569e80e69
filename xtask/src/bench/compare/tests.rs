use super::Difference;
use crate::bench::{
    report::{Better, Report, Row, testing::report},
    samples::{Comparison, Summary},
};

/// A row with these ratios to a baseline of ones.
fn ratios(unit: &str, ratios: &[f64]) -> Row {
    let ones = vec![1.0; ratios.len()];
    Row::new("r", unit, Summary::of(ratios)).beside(Comparison::of(ratios, &ones))
}

/// Worse, better, within, not judged.
#[track_caller]
fn check(old: Row, new: Row, expected: [usize; 4]) {
    let found = Difference::between(&report(vec![old]), &report(vec![new]), 5.0);
    let counts = [found.worse.len(), found.better.len(), found.within, found.unjudged];
    assert_eq!(counts, expected, "{}", found.text());
}

const WORSE: [usize; 4] = [1, 0, 0, 0];
const BETTER: [usize; 4] = [0, 1, 0, 0];
const WITHIN: [usize; 4] = [0, 0, 1, 0];
const UNJUDGED: [usize; 4] = [0, 0, 0, 1];

#[test]
fn the_unit_says_whether_more_is_worse() {
    let old = [0.99, 1.0, 1.01];
    let less = [0.89, 0.9, 0.91];
    check(ratios("/s", &old), ratios("/s", &less), WORSE);
    check(ratios("/s", &less), ratios("/s", &old), BETTER);
    check(ratios("us", &old), ratios("us", &less), BETTER);
    check(ratios("us", &less), ratios("us", &old), WORSE);
    check(ratios("%", &old), ratios("%", &less), UNJUDGED);
    let more = |values| ratios("%", values).better(Better::More);
    check(more(&old), more(&less), WORSE);
}

#[test]
fn a_change_counts_beyond_the_tolerance_and_beyond_the_spreads() {
    let old = [0.99, 1.0, 1.01];
    check(ratios("/s", &old), ratios("/s", &[0.955, 0.96, 0.965]), WITHIN);
    check(ratios("/s", &old), ratios("/s", &[0.80, 0.9, 0.99]), WITHIN);
    check(ratios("/s", &old), ratios("/s", &[0.80, 0.9, 0.98]), WORSE);
    check(ratios("/s", &old), ratios("/s", &old), WITHIN);
}

#[test]
fn times_and_rates_without_a_baseline_are_not_judged_but_sizes_and_counts_are() {
    let row = |unit, value| Row::new("r", unit, Summary::of(&[value]));
    for unit in ["ns", "ms", "/s", "Gbit/s", "%"] {
        check(row(unit, 1.0), row(unit, 2.0), UNJUDGED);
    }
    check(row("B", 100.0), row("B", 104.0), WITHIN);
    check(row("B", 100.0), row("B", 106.0), WORSE);
    check(row("instructions", 100.0), row("instructions", 90.0), BETTER);
    let failures = |count| row("", count).better(Better::Less);
    check(failures(0.0), failures(0.0), WITHIN);
    check(failures(0.0), failures(1.0), WORSE);
    check(failures(1.0), failures(0.0), BETTER);
}

#[test]
fn only_what_became_worse_fails_the_command() {
    let verdict = |old, new| {
        let rows = [old, new].map(|value| Row::new("r", "B", Summary::of(&[value])));
        let [old, new] = rows.map(|row| report(vec![row]));
        Difference::between(&old, &new, 5.0).verdict().map_err(|error| error.to_string())
    };
    assert_eq!(verdict(1.0, 2.0), Err("worse than before: 1".to_owned()));
    assert_eq!([verdict(2.0, 1.0), verdict(1.0, 1.0)], [Ok(()), Ok(())]);
    let nothing = Report { sections: Vec::new(), ..report(Vec::new()) };
    let row = Row::new("r", "B", Summary::of(&[1.0]));
    assert!(Difference::between(&report(vec![row]), &nothing, 5.0).verdict().is_ok());
}

#[test]
fn what_only_one_of_them_has_is_named() {
    let row = |what: &str| Row::new(what, "B", Summary::of(&[1.0]));
    let (old, new) =
        (report(vec![row("gone"), row("kept")]), report(vec![row("kept"), row("new")]));
    let found = Difference::between(&old, &new, 5.0);
    assert_eq!((found.missing, found.added), (vec!["S: gone".into()], vec!["S: new".into()]));
    assert!(found.left_out.is_empty());

    let nothing = Report { sections: Vec::new(), ..report(Vec::new()) };
    let found = Difference::between(&old, &nothing, 5.0);
    assert_eq!((found.left_out, found.missing), (vec!["S".into()], Vec::<String>::new()));
}

#[test]
fn runs_of_different_kinds_are_called_so() {
    let old = report(Vec::new());
    let new = Report { quick: true, ..report(Vec::new()) };
    let found = Difference::between(&old, &new, 5.0);
    assert_eq!(found.doubts, ["different lengths: full, now quick"]);
    assert_eq!(Difference::between(&old, &old, 5.0).doubts, [] as [String; 0]);
}
