//! Packets a second: what lb-userspace/benches/measure/frames.rs measures, beside plain routing.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::{
    Measured,
    programs::Programs,
    report::{Axis, Line, Plot, Row, Section},
    samples::{Comparison, Summary},
};

/// What the others are held against.
const DIRECT: &str = "direct";

#[derive(Deserialize)]
struct Found {
    frames: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    who: String,
    elsewhere: bool,
    flows: u32,
    /// Packets a second that arrived.
    rates: Vec<f64>,
    /// Of those sent, in hundredths.
    shares: Vec<f64>,
}

impl Case {
    fn place(&self) -> &'static str {
        if self.elsewhere { "backend elsewhere" } else { "backend here" }
    }

    fn rows(&self, direct: &Self) -> [Row; 2] {
        let what = format!("{}, {} flows, {}", self.place(), self.flows, self.who);
        let rate = Row::new(what.clone(), "/s", Summary::of(&self.rates));
        let share = Row::new(format!("{what}: arrived"), "%", Summary::of(&self.shares));
        let is_direct = self.who == DIRECT;
        let beside = || Comparison::of(&self.rates, &direct.rates);
        [if is_direct { rate } else { rate.beside(beside()) }, share]
    }
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool) -> Result<Measured> {
    let (samples, frames, flows) =
        if quick { (5, 50_000, "1,1000,50000") } else { (9, 400_000, "1,1000,50000,500000") };
    let arguments = [format!("--samples={samples}"), format!("--frames={frames}")];
    let arguments = [vec!["frames".to_owned(), format!("--flows={flows}")], arguments.into()];
    let Found { frames, cases } = programs.measure(&arguments.concat())?;
    let mut rows = Vec::new();
    for case in &cases {
        let beside = |other: &&Case| {
            other.who == DIRECT && (other.elsewhere, other.flows) == (case.elsewhere, case.flows)
        };
        rows.extend(case.rows(cases.iter().find(beside).context("nothing was sent directly")?));
    }
    let notes = vec![
        format!("UDP, IPv4, by live frames: {samples} samples of {frames} frames, taken in turn"),
        "baseline: the same frames by plain routing to the backend's own address".to_owned(),
        "with a backend elsewhere also what the bridge between the nodes takes".to_owned(),
    ];
    let plots = [false, true].map(|elsewhere| plot(&cases, elsewhere)).into();
    let section = Section { title: "Packets a second".to_owned(), notes, rows, plots };
    Ok((section, Vec::new()))
}

fn plot(cases: &[Case], elsewhere: bool) -> Plot {
    let mut lines: Vec<Line> = Vec::new();
    let mut title = String::new();
    for case in cases.iter().filter(|case| case.elsewhere == elsewhere) {
        title = format!("Packets a second through a NodePort, {}", case.place());
        let point = (f64::from(case.flows), Summary::of(&case.rates));
        match lines.iter_mut().find(|line| line.name == case.who) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { name: case.who.clone(), points: vec![point] }),
        }
    }
    Plot { title, x: Axis::log("flows"), y: Axis::linear("packets a second"), lines }
}
