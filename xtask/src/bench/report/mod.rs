//! What was measured, as one value: from it come the tables for people and the JSON for machines.

mod better;
mod plot;
mod text;

use serde::{Deserialize, Serialize};

pub use self::better::Better;
#[allow(unused_imports, reason = "the measurements that draw are being written")]
pub use self::plot::{Axis, Line, Plot};
use self::text::{number, ratio, spread};
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

impl Budget {
    /// A value that must not be larger.
    pub fn at_most(what: &str, value: f64, limit: f64, unit: &str) -> Self {
        Self {
            what: what.to_owned(),
            budget: format!("<= {limit} {unit}").trim_end().to_owned(),
            measured: format!("{} {unit}", number(value)).trim_end().to_owned(),
            held: value <= limit,
        }
    }

    /// A ratio that must not be smaller.
    pub fn at_least(what: &str, found: &Comparison, limit: f64) -> Self {
        Self {
            what: what.to_owned(),
            budget: format!(">= {limit}"),
            measured: format!("{} ({})", ratio(found.ratio), spread(&found.ratios)),
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
