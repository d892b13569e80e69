//! docs/metrics.md says what there is.

use std::collections::{BTreeMap, BTreeSet};

use lb_common::counter::Counter;
use prometheus_client::encoding::text::encode_registry;

use super::*;
use crate::serve::Datapath;

const PAGE: &str = include_str!("../../../../docs/metrics.md");

/// Type and names of labels, by name of the metric.
type Listing = BTreeMap<String, (String, BTreeSet<String>)>;

/// What a registry would show, with the `_total` that counters are scraped with.
fn shown(registry: &Registry) -> Listing {
    let mut text = String::new();
    encode_registry(&mut text, registry).unwrap();
    let mut found = Listing::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# TYPE ") {
            let (name, kind) = about.split_once(' ').unwrap();
            current = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            let known = found.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
            assert_eq!(known, None, "{current} is there twice");
        } else if let Some((_, rest)) = line.split_once('{') {
            let labels = rest.rsplit_once('}').unwrap().0.split("\",");
            let labels = labels.map(|label| label.split_once('=').unwrap().0.to_owned());
            found.get_mut(&current).unwrap().1.extend(labels.filter(|label| label != "le"));
        }
    }
    found
}

/// The rows of the page: name, type, labels, meaning.
fn documented() -> Listing {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(|cell| cell.replace('`', "")).collect();
        let [_, name, kind, labels, ..] = cells.as_slice() else { panic!("{row}") };
        let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty());
        let labels = labels.map(str::to_owned).collect();
        (name.trim().to_owned(), (kind.trim().to_owned(), labels))
    })
    .collect()
}

#[test]
fn the_page_lists_every_metric_and_no_other() {
    let read = || Ok(Counter::ALL.iter().map(|counter| (*counter, 1)).collect());
    let ports = Ports::new(&Capacities::default(), Box::new(Datapath::new(read)));
    ports.watch_metrics.show_zeros("192.0.2.1:6443");
    assert_eq!(documented(), shown(&ports.registry));
}
