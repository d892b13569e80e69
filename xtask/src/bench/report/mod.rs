//! What was measured, as one value: from it come the tables for people and the JSON for machines.

mod bar;
mod better;
pub mod figure;
mod plot;
#[cfg(test)]
pub mod testing;
mod text;

use serde::{Deserialize, Serialize};

use self::figure::{number, ratio, spread_of_ratios};
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
    /// Which way of the ratio, or of the value if there is none, is an improvement of sluice;
    /// nothing for what merely describes.
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
    pub bar: Bar,
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

    /// Where the unit does not say it, or says it of something else: a peer that takes longer
    /// beside sluice is an improvement.
    pub fn better(self, better: Better) -> Self {
        Self { better: Some(better), ..self }
    }

    /// Which is there to be read and not to be judged: what a peer does.
    pub fn describing(self) -> Self {
        Self { better: None, ..self }
    }

    /// Held against something.
    pub fn beside(self, comparison: Comparison) -> Self {
        Self { beside: Some(comparison), ..self }
    }
}

/// What a report says of a budget.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict<'a> {
    /// Of what.
    pub what: &'a str,
    /// In words.
    pub asked: String,
    /// In the budget's terms; empty if it was not measured.
    pub measured: &'a str,
    /// Whether it was kept, if it was measured.
    pub held: Option<bool>,
}

impl Report {
    /// Every budget of the design in its order, measured or not.
    pub fn verdicts(&self) -> Vec<Verdict<'_>> {
        let mut verdicts = Vec::new();
        for bar in Bar::ALL {
            let before = verdicts.len();
            let found = self.budgets.iter().filter(|budget| budget.bar == bar);
            verdicts.extend(found.map(|Budget { what, budget, measured, held, .. }| Verdict {
                what,
                asked: budget.clone(),
                measured,
                held: Some(*held),
            }));
            if verdicts.len() == before {
                let asked = bar.limit().to_string();
                verdicts.push(Verdict { what: bar.what(), asked, measured: "", held: None });
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
    /// Of a value in the limit's unit.
    pub fn of(bar: Bar, what: impl Into<String>, value: f64) -> Self {
        let unit = bar.limit().unit();
        Self::judged(bar, what.into(), value, format!("{} {unit}", number(value)))
    }

    /// Of a ratio.
    pub fn of_ratio(bar: Bar, what: impl Into<String>, found: &Comparison) -> Self {
        let measured = format!("{} ({})", ratio(found.ratio), spread_of_ratios(&found.ratios));
        Self::judged(bar, what.into(), found.ratio, measured)
    }

    fn judged(bar: Bar, what: String, value: f64, measured: String) -> Self {
        let (limit, measured) = (bar.limit(), measured.trim_end().to_owned());
        Self { bar, what, budget: limit.to_string(), measured, held: limit.holds(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples::Comparison, Bar, Budget, Report, testing::report};

    #[test]
    fn a_budget_is_kept_up_to_its_limit_itself() {
        for (value, held) in [(2.9, true), (3.0, true), (3.1, false)] {
            assert_eq!(Budget::of(Bar::Packet, "", value).held, held, "{value}");
        }
        for (value, held) in [(0.96, false), (0.97, true), (0.98, true)] {
            let comparison = Comparison::of(&[value], &[1.0]);
            assert_eq!(Budget::of_ratio(Bar::ClusterIp, "", &comparison).held, held, "{value}");
        }
    }

    #[test]
    fn every_budget_is_in_a_report_measured_or_not() {
        let budgets = vec![Budget::of(Bar::Load, "a", 7.0), Budget::of(Bar::Load, "b", 700.0)];
        let report = Report { budgets, ..report(Vec::new()) };
        let verdicts = report.verdicts();
        assert_eq!(verdicts.len(), Bar::ALL.len() + 1);
        let told: Vec<_> = verdicts.iter().filter_map(|one| Some((one.what, one.held?))).collect();
        assert_eq!(told, [("a", true), ("b", false)]);
    }
}
