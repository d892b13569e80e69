//! What was measured, as one value: from it come the tables for people and the JSON for machines.

mod bar;
mod better;
pub mod figure;
mod plot;
#[cfg(test)]
pub mod testing;
mod text;

use serde::{Deserialize, Serialize};

use self::figure::{mark, number, ratio, spread_of_ratios};
#[allow(unused_imports, reason = "the measurements that draw are being written")]
pub use self::plot::{Axis, Line, Plot};
pub use self::{
    bar::Bar,
    better::Better,
    text::{SPREAD, plain},
};
use super::{
    machine::Machine,
    samples::{Comparison, Summary},
};

/// Everything.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// `fresh`: the kernel object was built of these sources; `kept`: it is the repository's.
    pub kernel_object: String,
    /// Whether it was the short version.
    pub quick: bool,
    /// The command that repeats it.
    pub command: String,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// What was measured.
    pub sections: Vec<Section>,
    /// The design's budgets, as far as they were measured.
    pub budgets: Vec<Budget>,
}

/// Measurements of one kind.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Section {
    /// What kind.
    pub title: String,
    /// What one must know to read them.
    pub notes: Vec<String>,
    /// The measurements.
    pub rows: Vec<Row>,
    /// The same as drawings, where there is something to see.
    pub plots: Vec<Plot>,
}

/// One measurement.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Of what.
    pub what: String,
    /// The unit of all values but ratios.
    pub unit: String,
    /// Which way is an improvement; nothing for what merely describes.
    pub better: Option<Better>,
    /// What was found.
    pub found: Summary,
    /// What it is held against.
    pub beside: Option<Comparison>,
}

/// A budget.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// Which of the design's it belongs to.
    pub bar: Option<Bar>,
    /// Of what.
    pub what: String,
    /// In words.
    pub budget: String,
    /// What was found, in the budget's terms.
    pub measured: String,
    /// Whether it was kept.
    pub held: bool,
}

impl Row {
    /// A measurement by itself. Its unit says which way is an improvement.
    pub fn new(what: impl Into<String>, unit: &str, found: Summary) -> Self {
        let (what, unit, better) = (what.into(), unit.to_owned(), Better::by_unit(unit));
        Self { what, unit, better, found, beside: None }
    }

    /// Where the unit does not say it, or says it wrongly.
    #[allow(dead_code, reason = "the measurements that need it are being written")]
    pub fn better(self, better: Better) -> Self {
        Self { better: Some(better), ..self }
    }

    /// Held against something.
    pub fn beside(self, comparison: Comparison) -> Self {
        Self { beside: Some(comparison), ..self }
    }
}

/// What a report says of a budget.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verdict<'a> {
    /// Of what.
    pub what: &'a str,
    /// In words.
    pub asked: &'a str,
    /// In the budget's terms; empty if it was not measured.
    pub measured: &'a str,
    /// Whether it was kept, if it was measured.
    pub held: Option<bool>,
}

impl Report {
    /// Every budget of the design in its order, measured or not, and then those of nobody else's.
    pub fn verdicts(&self) -> Vec<Verdict<'_>> {
        let mut verdicts = Vec::new();
        let order = Bar::ALL.map(Some).into_iter().chain([None]);
        for bar in order {
            let found = self.budgets.iter().filter(|budget| budget.bar == bar);
            let before = verdicts.len();
            verdicts.extend(found.map(|Budget { what, budget, measured, held, .. }| Verdict {
                what,
                asked: budget,
                measured,
                held: Some(*held),
            }));
            if let Some(bar) = bar.filter(|_| verdicts.len() == before) {
                let (what, asked) = (bar.what(), bar.asked());
                verdicts.push(Verdict { what, asked, measured: "", held: None });
            }
        }
        verdicts
    }
}

impl Section {
    /// Whether any of its rows is held against something.
    pub fn compares(&self) -> bool {
        self.rows.iter().any(|row| row.beside.is_some())
    }
}

impl Budget {
    /// As one of the design's.
    pub fn of(self, bar: Bar) -> Self {
        Self { bar: Some(bar), ..self }
    }

    /// A value that must not be larger.
    pub fn at_most(what: &str, value: f64, limit: f64, unit: &str) -> Self {
        Self {
            bar: None,
            what: what.to_owned(),
            budget: format!("<= {} {unit}", mark(limit)).trim_end().to_owned(),
            measured: format!("{} {unit}", number(value)).trim_end().to_owned(),
            held: value <= limit,
        }
    }

    /// A ratio that must not be smaller.
    pub fn at_least(what: &str, found: &Comparison, limit: f64) -> Self {
        Self {
            bar: None,
            what: what.to_owned(),
            budget: format!(">= {limit}"),
            measured: format!("{} ({})", ratio(found.ratio), spread_of_ratios(&found.ratios)),
            held: found.ratio >= limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples::Comparison, Budget};

    #[test]
    fn a_budget_is_kept_up_to_its_limit_itself() {
        for (value, at_most, at_least) in
            [(2.9, true, false), (3.0, true, true), (3.1, false, true)]
        {
            assert_eq!(Budget::at_most("", value, 3.0, "").held, at_most, "{value}");
            let comparison = Comparison::of(&[value], &[1.0]);
            assert_eq!(Budget::at_least("", &comparison, 3.0).held, at_least, "{value}");
        }
    }
}
