//! The report for people at a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::NOTHING};
use console::style;

use super::{
    super::machine::Machine,
    Report, Row, Section,
    figure::{number, ratio, spread, spread_of_ratios},
};

/// What a spread is, which every report says.
pub const SPREAD: &str = "a spread goes from the tenth to the ninetieth percentile, of fewer than \
                          ten samples from the least to the largest";

impl Row {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![format!("  {}", self.what), number(self.found.median)];
        cells.extend([spread(&self.found), self.unit.clone()]);
        if let Some(beside) = &self.beside {
            cells.extend([number(beside.baseline.median), spread(&beside.baseline)]);
            cells.extend([ratio(beside.ratio), spread_of_ratios(&beside.ratios)]);
        }
        cells
    }
}

impl Section {
    /// As a table.
    pub fn text(&self) -> String {
        let mut text = format!("\n{}\n", style(&self.title).bold().underlined());
        for note in &self.notes {
            let _ = writeln!(text, "  {}", style(note).dim());
        }
        let mut table = plain();
        let mut titles = vec!["", "median", "spread", ""];
        if self.compares() {
            titles.extend(["baseline", "spread", "ratio", "spread"]);
        }
        table.set_header(titles);
        table.add_rows(self.rows.iter().map(Row::cells));
        for column in [1, 4, 6] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let _ = writeln!(text, "{}", table.trim_fmt());
        text
    }
}

impl Report {
    /// What precedes the tables.
    pub fn heading(&self) -> String {
        let Machine { processor, processors, memory_mib, kernel, load, commit, .. } = &self.machine;
        format!(
            "{processors} x {processor}, {memory_mib} MiB, kernel {kernel}, load {load} at the \
             start\nsources {commit}, kernel object {}{}\n{SPREAD}\n",
            self.kernel_object,
            if self.quick { ", quick" } else { "" },
        )
    }

    /// The budgets as a table.
    pub fn budgets(&self) -> String {
        let mut table = plain();
        table.set_header(["", "budget", "measured", ""]);
        for verdict in self.verdicts() {
            let word = match verdict.held {
                Some(true) => style("held").green(),
                Some(false) => style("NOT HELD").red().bold(),
                None => style("not measured").dim(),
            };
            let what = format!("  {}", verdict.what);
            table.add_row([&what, verdict.asked, verdict.measured, &word.to_string()]);
        }
        format!("\n{}\n{}\n", style("Budgets").bold().underlined(), table.trim_fmt())
    }
}

/// A table without lines.
pub fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}
