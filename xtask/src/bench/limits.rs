//! Where the first limit is: what lb-userspace/benches/measure/limits.rs finds, as a table.

use anyhow::Result;
use serde::Deserialize;

use super::{
    Measured,
    programming::one,
    programs::Programs,
    report::{Better, Row, Section},
};

#[derive(Deserialize)]
struct Found {
    limits: Vec<Limit>,
}

#[derive(Deserialize)]
struct Limit {
    what: String,
    /// How many there were room for.
    fitted: f64,
    reason: String,
}

/// Measures.
pub fn measure(programs: &Programs, quick: bool) -> Result<Measured> {
    let larger = (!quick).then(|| "--larger".to_owned());
    let arguments: Vec<_> = ["limits".to_owned()].into_iter().chain(larger).collect();
    let Found { limits } = programs.measure(&arguments)?;
    let rows = limits.into_iter().map(|Limit { what, fitted, reason }| {
        Row::new(format!("{what}, and then: {reason}"), "", one(fitted)).better(Better::More)
    });
    let notes = vec![
        "found by trying: more and more from memory into tables of their default sizes, unless it \
         says otherwise, until something is refused; what fitted stands there unharmed"
            .to_owned(),
        "services have one TCP port; what is said is what the log says".to_owned(),
    ];
    let rows = rows.collect();
    let title = "Where the first limit is".to_owned();
    Ok((Section { title, notes, rows, plots: Vec::new() }, Vec::new()))
}
