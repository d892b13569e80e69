//! Nanoseconds a packet. How each is measured, and what its error is, stands at the top of
//! lb-userspace/benches/measure/packets.rs.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    programs::Programs,
    report::{Budget, Row, Section},
    samples::{Comparison, Summary},
};

/// What the programs are held against.
const EMPTY: &str = "empty program";
const PARSE_AND_SEND: &str = "parse and send back";
/// What the budget is about.
const KNOWN_ELSEWHERE: &str = "known flow, backend elsewhere";
const MOST_TIMES_PARSE_AND_SEND: f64 = 3.0;

#[derive(Deserialize)]
struct Found {
    runs_a_call: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    hook: String,
    family: String,
    kind: String,
    samples: Vec<f64>,
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool) -> Result<(Section, Vec<Budget>)> {
    let (samples, calls) = if quick { (10, 20) } else { (30, 40) };
    let arguments = ["packets", "--samples", &samples.to_string(), "--calls", &calls.to_string()]
        .map(str::to_owned);
    let Found { runs_a_call, cases } = programs.measure(&arguments)?;
    let mut rows = Vec::new();
    let mut budgets = Vec::new();
    for case in &cases {
        let Case { hook, family, kind, samples } = case;
        let beside = |kind: &str| {
            let found = cases.iter().find(|other| {
                (&other.hook, &other.family, other.kind.as_str()) == (hook, family, kind)
            });
            found.with_context(|| format!("{hook} {family}: {kind} was not measured"))
        };
        // tc has no program that sends frames back.
        let baseline = if hook == "XDP" { PARSE_AND_SEND } else { EMPTY };
        let comparison = Comparison::of(samples, &beside(baseline)?.samples);
        if hook == "XDP" && kind == KNOWN_ELSEWHERE {
            let what = format!("XDP, {family}, {kind} / parse and send back");
            budgets.push(Budget::at_most(&what, comparison.ratio, MOST_TIMES_PARSE_AND_SEND, ""));
        }
        let row = Row::new(format!("{hook} {family} {kind}"), "ns", Summary::of(samples));
        rows.push(if kind == baseline { row } else { row.beside(comparison) });
    }
    let runs = samples * calls * runs_a_call;
    let notes = vec![
        format!("by test-run: {runs} runs each, in {samples} samples taken in turn"),
        "baseline: at XDP a program that only parses and sends back, at tc an empty one".to_owned(),
    ];
    let title = "Nanoseconds a packet".to_owned();
    Ok((Section { title, notes, rows, plots: Vec::new() }, budgets))
}
