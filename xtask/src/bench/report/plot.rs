//! What a section shows as a drawing: lines over an axis, each point with its spread.

use serde::{Deserialize, Serialize};

use super::super::samples::Summary;

/// A drawing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plot {
    /// What it shows. Titles are unique in a report: a file is named for each.
    pub title: String,
    /// What was varied.
    pub x: Axis,
    /// What was found.
    pub y: Axis,
    /// Who was measured.
    pub lines: Vec<Line>,
}

/// An axis.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Axis {
    /// What it counts, with its unit.
    pub label: String,
    /// Whether each step is a multiple of the last; no value is 0 then.
    pub log: bool,
}

/// One who was measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Whom.
    pub name: String,
    /// Found at each place on the x axis, ascending.
    pub points: Vec<(f64, Summary)>,
}

#[allow(dead_code, reason = "the measurements that draw are being written")]
impl Axis {
    /// Equal steps.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: false }
    }

    /// Equal factors.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: true }
    }
}
