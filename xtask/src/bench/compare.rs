//! Two reports held against each other: what has become worse, what better.
//!
//! Machines are shared, and a faster or slower hour moves every absolute figure. So times and rates
//! are judged by their ratio to what was measured beside them in the same run, and not at all if
//! there is none; sizes and counts are judged as they are. A change counts only if it is larger than
//! the tolerance and the spreads of both runs do not even touch: where the samples spread widely,
//! only what exceeds that is taken for a change.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Result, bail};
use console::style;

use super::{
    report::{
        Better, Report, Row,
        figure::{number, ratio},
        plain,
    },
    samples::Summary,
};

/// What two reports come to.
#[derive(Debug)]
pub struct Difference {
    /// The largest change first.
    worse: Vec<Change>,
    better: Vec<Change>,
    /// Changes too small to be told from noise.
    within: usize,
    /// What only describes, and times and rates without a baseline.
    unjudged: usize,
    /// Keys that only one of them has.
    missing: Vec<String>,
    added: Vec<String>,
    /// Sections that the newer one has not measured at all.
    left_out: Vec<String>,
    /// Why they might not be comparable.
    doubts: Vec<String>,
}

/// A measurement whose change counts.
#[derive(Debug)]
pub struct Change {
    key: String,
    old: String,
    new: String,
    /// Relative to the older one; infinite if that was 0.
    by: f64,
}

/// What of a row is judged.
struct Judged {
    value: f64,
    spread: Summary,
    is_ratio: bool,
}

impl Difference {
    /// Of a newer report to an older one; the tolerance is in percent.
    pub fn between(old: &Report, new: &Report, tolerance: f64) -> Self {
        let mut difference = Self {
            worse: Vec::new(),
            better: Vec::new(),
            within: 0,
            unjudged: 0,
            missing: Vec::new(),
            added: Vec::new(),
            left_out: Vec::new(),
            doubts: doubts(old, new),
        };
        let mut rest = rows(new);
        for section in &old.sections {
            if !new.sections.iter().any(|other| other.title == section.title) {
                difference.left_out.push(section.title.clone());
                continue;
            }
            for row in &section.rows {
                match rest.remove(&(section.title.as_str(), row.what.as_str())) {
                    Some(now) => difference.judge(&section.title, row, now, tolerance),
                    None => difference.missing.push(format!("{}: {}", section.title, row.what)),
                }
            }
        }
        difference.added = rest.keys().map(|(title, what)| format!("{title}: {what}")).collect();
        let largest_first = |a: &Change, b: &Change| b.by.abs().total_cmp(&a.by.abs());
        difference.worse.sort_by(largest_first);
        difference.better.sort_by(largest_first);
        difference
    }

    fn judge(&mut self, title: &str, old: &Row, new: &Row, tolerance: f64) {
        let (Some(before), Some(now), Some(better)) = (judged(old), judged(new), new.better) else {
            self.unjudged += 1;
            return;
        };
        let by = match (before.value, now.value) {
            (old, new) if old == new => 0.0,
            (old, new) => (new - old) / old.abs(),
        };
        let apart = now.spread.low > before.spread.high || now.spread.high < before.spread.low;
        if !apart || by.abs() * 100.0 <= tolerance {
            self.within += 1;
            return;
        }
        let key = format!("{title}: {}", old.what);
        let change = Change { key, old: before.shown(old), new: now.shown(new), by };
        match (by > 0.0) == (better == Better::More) {
            true => self.better.push(change),
            false => self.worse.push(change),
        }
    }

    /// Fails if anything has become worse.
    pub fn verdict(&self) -> Result<()> {
        match self.worse.len() {
            0 => Ok(()),
            worse => bail!("worse than before: {worse}"),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for doubt in &self.doubts {
            let _ = writeln!(text, "{}", style(doubt).yellow());
        }
        text += &changes(&style("Worse").red().bold().to_string(), &self.worse);
        text += &changes(&style("Better").green().bold().to_string(), &self.better);
        for (what, keys) in [
            ("Not measured any more", &self.missing),
            ("Not measured this time", &self.left_out),
            ("New", &self.added),
        ] {
            if !keys.is_empty() {
                let _ = writeln!(text, "\n{what}\n  {}", keys.join("\n  "));
            }
        }
        let (worse, better) = (self.worse.len(), self.better.len());
        let _ = writeln!(
            text,
            "\n{worse} worse, {better} better, {} as before within tolerance and spread, {} not judged",
            self.within, self.unjudged,
        );
        text
    }
}

fn changes(title: &str, changes: &[Change]) -> String {
    if changes.is_empty() {
        return String::new();
    }
    let mut table = plain();
    for Change { key, old, new, by } in changes {
        let by = if by.is_finite() { format!("{:+.1} %", by * 100.0) } else { String::new() };
        table.add_row([&format!("  {key}"), old, "->", new, &by]);
    }
    format!("\n{title}\n{}\n", table.trim_fmt())
}

impl Judged {
    fn shown(&self, row: &Row) -> String {
        match self.is_ratio {
            true => ratio(self.value),
            false => format!("{} {}", number(self.value), row.unit).trim_end().to_owned(),
        }
    }
}

/// A ratio if there is one, else a size or a count.
fn judged(row: &Row) -> Option<Judged> {
    if let Some(beside) = &row.beside {
        return Some(Judged { value: beside.ratio, spread: beside.ratios, is_ratio: true });
    }
    let value = Judged { value: row.found.median, spread: row.found, is_ratio: false };
    (!Better::is_of_the_hour(&row.unit)).then_some(value)
}

fn rows(report: &Report) -> BTreeMap<(&str, &str), &Row> {
    let sections = report.sections.iter();
    let rows = sections.flat_map(|section| {
        section.rows.iter().map(|row| ((section.title.as_str(), row.what.as_str()), row))
    });
    rows.collect()
}

fn doubts(old: &Report, new: &Report) -> Vec<String> {
    let length = |report: &Report| if report.quick { "quick" } else { "full" }.to_owned();
    let machine =
        |report: &Report| format!("{} x {}", report.machine.processors, report.machine.processor);
    [
        ("processors", machine(old), machine(new)),
        ("kernels", old.machine.kernel.clone(), new.machine.kernel.clone()),
        ("lengths", length(old), length(new)),
    ]
    .into_iter()
    .filter(|(_, old, new)| old != new)
    .map(|(what, old, new)| format!("different {what}: {old}, now {new}"))
    .collect()
}

#[cfg(test)]
mod tests;
