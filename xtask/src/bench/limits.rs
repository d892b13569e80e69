//! Where the first limit is: what lb-userspace/benches/measure/limits.rs finds, as a table.

use anyhow::Result;
use serde::Deserialize;

use super::{
    Measured,
    programming::{US, one},
    programs::Programs,
    report::{Better, Row, Section},
    samples::Summary,
};

#[derive(Deserialize)]
struct Found {
    ways: Vec<Way>,
}

/// A way to ask for more.
#[derive(Deserialize)]
struct Way {
    what: String,
    limits: Vec<Limit>,
    /// What changes of one endpoint took then, in nanoseconds.
    changes: Vec<f64>,
}

#[derive(Deserialize)]
struct Limit {
    /// How many there were room for.
    fitted: f64,
    reason: String,
}

impl Way {
    fn rows(self) -> impl Iterator<Item = Row> {
        let Self { what, limits, changes } = self;
        let change = (!changes.is_empty()).then(|| {
            let what = format!("{what}, one endpoint changed while as many again wait for room");
            Row::new(what, "us", Summary::of(&changes).times(US))
        });
        let limit = move |Limit { fitted, reason }| {
            Row::new(format!("{what}, and then: {reason}"), "", one(fitted)).better(Better::More)
        };
        limits.into_iter().map(limit).chain(change)
    }
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool) -> Result<Measured> {
    let larger = (!quick).then(|| "--larger".to_owned());
    let arguments: Vec<_> = ["limits".to_owned()].into_iter().chain(larger).collect();
    let Found { ways } = programs.measure(&arguments)?;
    let rows = ways.into_iter().flat_map(Way::rows).collect();
    let notes = vec![
        "found by trying: more and more from memory into tables of their default sizes, unless it \
         says otherwise, until something is refused; what fitted stands there unharmed"
            .to_owned(),
        "services have one TCP port; what is said is what the log says".to_owned(),
    ];
    let title = "Where the first limit is".to_owned();
    Ok((Section { title, notes, rows, plots: Vec::new() }, Vec::new()))
}
