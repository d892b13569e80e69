//! Nanoseconds a packet and a socket call, and how long the verifier takes. How each is measured, and
//! what its error is, stands at the top of lb-userspace/benches/measure/packets/mod.rs and calls.rs.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    programs::Programs,
    report::{Bar, Budget, Row, Section},
    samples::{Comparison, Summary},
};

/// What the programs are held against.
const EMPTY: &str = "empty program";
const PARSE_AND_SEND: &str = "parse and send back";
const EMPTY_ONCE: &str = "empty program, run once";
/// Ends the names of what takes a call a run.
const ONCE: &str = ", run once";
/// What the budget is about.
const KNOWN_ELSEWHERE: &str = "known flow, backend elsewhere";

#[derive(Deserialize)]
struct Found {
    runs_a_call: u32,
    cases: Vec<Case>,
    programs: Vec<Program>,
}

#[derive(Deserialize)]
struct Program {
    name: String,
    verified: u32,
}

#[derive(Deserialize)]
struct Case {
    hook: String,
    family: String,
    kind: String,
    samples: Vec<f64>,
}

/// Measures.
pub fn measure(measurements: &Programs, quick: bool) -> Result<(Section, Vec<Budget>)> {
    // New flows keep their source ports meanwhile: where 95 % of 20,000 are taken beforehand, there
    // are no more than 1,000, of which each call at either hook takes one.
    let (samples, calls) = if quick { (10, 20) } else { (30, 15) };
    let arguments = ["packets", "--samples", &samples.to_string(), "--calls", &calls.to_string()]
        .map(str::to_owned);
    let Found { runs_a_call, cases, programs } = measurements.measure(&arguments)?;
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
        let baseline = match hook.as_str() {
            _ if kind.ends_with(ONCE) => EMPTY_ONCE,
            "XDP" => PARSE_AND_SEND,
            _ => EMPTY,
        };
        let comparison = Comparison::of(samples, &beside(baseline)?.samples);
        if hook == "XDP" && kind == KNOWN_ELSEWHERE {
            let what = format!("XDP, {family}, {kind} / parse and send back");
            budgets.push(Budget::of(Bar::Packet, what, comparison.ratio));
        }
        let row = Row::new(format!("{hook} {family} {kind}"), "ns", Summary::of(samples));
        rows.push(if kind == baseline { row } else { row.beside(comparison) });
    }
    rows.extend(programs.iter().map(|Program { name, verified }| {
        let verified = Summary::of(&[f64::from(*verified)]);
        Row::new(format!("{name}, verified"), "instructions", verified)
    }));
    let runs = samples * calls * runs_a_call;
    let notes = vec![
        format!("by test-run: {runs} runs each, in {samples} samples taken in turn"),
        "baseline: at XDP a program that only parses and sends back, at tc an empty one".to_owned(),
        "run once: each run is a call of its own, with colder caches; so is its baseline"
            .to_owned(),
    ];
    let title = "Nanoseconds a packet".to_owned();
    Ok((Section { title, notes, rows, plots: Vec::new() }, budgets))
}

#[derive(Deserialize)]
struct FoundCalls {
    calls: u32,
    cases: Vec<Call>,
}

/// One socket call, in turn with the programs on it and without.
#[derive(Deserialize)]
struct Call {
    call: String,
    family: String,
    service: bool,
    hooked: Vec<f64>,
    plain: Vec<f64>,
}

impl Call {
    fn rows(&self) -> [Row; 2] {
        let Self { call, family, service, hooked, plain } = self;
        let to = if *service { "a ClusterIP" } else { "no service" };
        let what = format!("{call}(), {family}, {to}");
        let added: Vec<f64> =
            hooked.iter().zip(plain).map(|(with, without)| with - without).collect();
        [
            Row::new(format!("{what}: the call"), "ns", Summary::of(hooked))
                .beside(Comparison::of(hooked, plain)),
            Row::new(format!("{what}: what the hook adds"), "ns", Summary::of(&added)),
        ]
    }
}

/// Measures what the socket hooks add to the calls they sit on.
pub fn calls(measurements: &Programs, quick: bool) -> Result<(Section, Vec<Budget>)> {
    let samples = if quick { 7 } else { 25 };
    let arguments = ["calls", "--samples", &samples.to_string()].map(str::to_owned);
    let FoundCalls { calls, cases } = measurements.measure(&arguments)?;
    let notes = vec![
        format!(
            "UDP; {samples} samples in turn, each the median of batches of {calls} calls in all"
        ),
        "baseline: the endpoint itself, from a cgroup without hooks".to_owned(),
    ];
    let rows = cases.iter().flat_map(Call::rows).collect();
    let title = "Nanoseconds a socket call".to_owned();
    Ok((Section { title, notes, rows, plots: Vec::new() }, Vec::new()))
}
