//! Reads the Prometheus text format 0.0.4 as strictly as it is defined, and refuses what a scraper
//! would take amiss.

use std::collections::{BTreeMap, BTreeSet};

/// Values by series, as `name{label="value",...}` in the order given.
pub type Samples = BTreeMap<String, f64>;

/// All samples.
///
/// # Panics
///
/// A line is neither a sample nor about one; a metric has no help, no type, two of either, or
/// samples apart from each other; a counter does not end in `_total`; a histogram's buckets do not
/// grow up to its count; a series is there twice.
pub fn parse(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line has no end");
    let (mut samples, mut seen) = (Samples::new(), BTreeSet::new());
    let mut histograms: BTreeMap<(String, Labels), Histogram> = BTreeMap::new();
    let (mut name, mut kind) = (String::new(), String::new());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(about) = line.strip_prefix("# HELP ") {
            let (metric, help) = about.split_once(' ').unwrap();
            assert!(is_name(metric) && !help.is_empty(), "{line}");
            assert!(seen.insert(metric.to_owned()), "{metric} comes twice");
            let typed = lines.next().and_then(|next| next.strip_prefix("# TYPE "));
            let (of, typed) = typed.unwrap_or_else(|| panic!("{line}")).split_once(' ').unwrap();
            assert_eq!(of, metric);
            assert!(["counter", "gauge", "histogram"].contains(&typed), "{typed}");
            assert!(typed != "counter" || metric.ends_with("_total"), "{metric}");
            (name, kind) = (metric.to_owned(), typed.to_owned());
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let of = series.split('{').next().unwrap();
        let suffix = of.strip_prefix(name.as_str()).unwrap_or_else(|| panic!("{line} in {name}"));
        let suffixes: &[&str] =
            if kind == "histogram" { &["_sum", "_count", "_bucket"] } else { &[""] };
        assert!(suffixes.contains(&suffix), "{line}");
        let mut labels = labels(&series[of.len()..]);
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(kind == "gauge" || value >= 0.0, "{line}");
        assert_eq!(samples.insert(series.to_owned(), value), None, "{series} comes twice");
        if kind == "histogram" {
            let bound = labels.remove("le");
            assert_eq!(bound.is_some(), suffix == "_bucket", "{line}");
            let histogram = histograms.entry((name.clone(), labels)).or_default();
            match bound {
                Some(bound) => histogram.buckets.push((bound.parse().unwrap(), value)),
                None if suffix == "_count" => histogram.count = Some(value),
                None => (),
            }
        }
    }
    histograms.iter().for_each(|(which, histogram)| histogram.check(which));
    samples
}

fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// Values by name.
type Labels = BTreeMap<String, String>;

/// `{name="value",...}`, or nothing. No value here has a quote or a backslash in it.
fn labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    if text.is_empty() {
        return labels;
    }
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix("\"}")).unwrap();
    for label in inside.split("\",") {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(is_name(name) && !value.contains(['"', '\\']), "{text}");
        assert_eq!(labels.insert(name.to_owned(), value.to_owned()), None, "{text}");
    }
    labels
}

#[derive(Default)]
struct Histogram {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
}

impl Histogram {
    fn check(&self, which: &(String, Labels)) {
        let grows = self.buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let (bound, all) = *self.buckets.last().unwrap();
        assert!(grows && bound == f64::INFINITY, "{which:?}: {:?}", self.buckets);
        assert_eq!(Some(all), self.count, "{which:?}");
    }
}

#[test]
fn what_a_scraper_would_take_amiss_is_refused() {
    let refused = |text: &str| std::panic::catch_unwind(|| parse(text)).is_err();
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"y\",z=\"\"} 1\n";
    assert_eq!(parse(good)[r#"a_total{x="y",z=""}"#], 1.0);
    for (from, to) in [
        ("A.\n", "A.\n\n"),
        ("a_total counter", "a counter"),
        ("counter", "unknown"),
        ("} 1", "} one"),
        ("} 1", "}1"),
        ("x=\"y\"", "x=y"),
        ("x=\"y\"", "9=\"y\""),
        ("1\n", "1"),
        ("1\n", "1\na_total{x=\"y\",z=\"\"} 2\n"),
        ("1\n", "1\nb 2\n"),
        ("a_total", "a"),
        ("} 1", "} -1"),
    ] {
        assert!(refused(&good.replace(from, to)), "{to:?} instead of {from:?}");
    }
    let buckets = "# HELP h H.\n# TYPE h histogram\nh_sum 3.0\nh_count 2\nh_bucket{le=\"1.0\"} 1\n\
                   h_bucket{le=\"+Inf\"} 2\n";
    parse(buckets);
    assert!(refused(&buckets.replace("h_count 2", "h_count 3")));
    assert!(refused(&buckets.replace("le=\"1.0\"} 1", "le=\"1.0\"} 3")));
    assert!(refused(&buckets.replace("+Inf", "2.0")));
    assert!(refused(&buckets.replace("h_count", "h_count{a=\"b\"}")));
}
