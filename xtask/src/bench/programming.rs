//! From objects in memory to tables in the kernel: what lb-userspace/benches/measure/programming.rs
//! measures, judged.

use anyhow::Result;
use serde::Deserialize;

use super::{
    programs::Programs,
    report::{Budget, Row, Section},
    samples::{Summary, percentile},
};

const SERVICES: u32 = 10_000;
const ENDPOINTS: u32 = 4;
const LOAD_BUDGET_MS: f64 = 100.0;
const CHANGE_BUDGET_US: f64 = 1_000.0;
const MS: f64 = 1e-6;
const US: f64 = 1e-3;

#[derive(Deserialize)]
struct Found {
    creation: Vec<f64>,
    load: Passes,
    change: Passes,
}

#[derive(Deserialize)]
struct Passes {
    model: Vec<f64>,
    plan: Vec<f64>,
    write: Vec<f64>,
    total: Vec<f64>,
    ops: Vec<f64>,
    calls: Vec<f64>,
}

impl Passes {
    fn rows(&self, what: &str, unit: &'static str, factor: f64) -> Vec<Row> {
        let parts = [
            ("in all", &self.total),
            ("model", &self.model),
            ("plan", &self.plan),
            ("write", &self.write),
        ];
        let row = |(part, samples): (&str, &Vec<f64>)| {
            Row::new(format!("{what}: {part}"), unit, Summary::of(samples).times(factor))
        };
        parts.map(row).into()
    }
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool) -> Result<(Section, Vec<Budget>)> {
    let (loads, changes) = if quick { (3, 500) } else { (9, 4_000) };
    let arguments =
        [("services", SERVICES), ("endpoints", ENDPOINTS), ("loads", loads), ("changes", changes)];
    let arguments = arguments.map(|(name, value)| format!("--{name}={value}"));
    let arguments = [vec!["programming".to_owned()], arguments.to_vec()].concat();
    let Found { creation, load, change } = programs.measure(&arguments)?;

    let mut rows =
        vec![Row::new("programs and empty tables made", "ms", Summary::of(&creation).times(MS))];
    rows.extend(load.rows("everything loaded", "ms", MS));
    rows.extend(change.rows("one endpoint changed", "us", US));
    let worst = percentile(&change.total, 99) * US;
    rows.push(Row::new("one endpoint changed: p99", "us", Summary::of(&[worst])));
    rows.push(Row::new("one endpoint changed: operations", "", Summary::of(&change.ops)));
    let calls: f64 = change.calls.iter().sum();
    let notes = vec![
        format!("{SERVICES} services x {ENDPOINTS} endpoints; {loads} loads, {changes} changes"),
        "making programs and tables is not in the loading: it is done at a node's first start"
            .to_owned(),
    ];
    let what = format!("{SERVICES} services x {ENDPOINTS} endpoints");
    let loaded = Summary::of(&load.total).median * MS;
    let budgets = vec![
        Budget::at_most(&format!("load {what} from memory"), loaded, LOAD_BUDGET_MS, "ms"),
        Budget::at_most(
            &format!("one endpoint changed at {what}, p99"),
            worst,
            CHANGE_BUDGET_US,
            "us",
        ),
        Budget::at_most("system calls to tables for those changes", calls, 0.0, ""),
    ];
    Ok((Section { title: "Programming".to_owned(), notes, rows, plots: Vec::new() }, budgets))
}
