//! The report for people at a terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::NOTHING};
use console::style;

use super::{
    super::{machine::Machine, samples::Summary},
    Budget, Report, Row, Section,
};

impl Row {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![format!("  {}", self.what), number(self.found.median)];
        cells.extend([spread(&self.found), self.unit.clone()]);
        if let Some(beside) = &self.beside {
            cells.extend([number(beside.baseline.median), spread(&beside.baseline)]);
            cells.extend([ratio(beside.ratio), spread(&beside.ratios)]);
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
        let compared = self.rows.iter().any(|row| row.beside.is_some());
        let mut titles = vec!["", "median", "spread", ""];
        if compared {
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
            "{processors} x {processor}, {memory_mib} MiB, kernel {kernel}, load {load} at the start\n\
             sources {commit}, kernel object {}{}\n\
             a spread goes from the tenth to the ninetieth percentile, of fewer than ten samples \
             from the least to the largest\n",
            self.kernel_object,
            if self.quick { ", quick" } else { "" },
        )
    }

    /// The budgets as a table.
    pub fn budgets(&self) -> String {
        let mut table = plain();
        table.set_header(["", "budget", "measured", ""]);
        for Budget { what, budget, measured, held } in &self.budgets {
            let verdict = match held {
                true => style("held").green(),
                false => style("NOT HELD").red().bold(),
            };
            table.add_row([&format!("  {what}"), budget, measured, &verdict.to_string()]);
        }
        format!("\n{}\n{}\n", style("Budgets").bold().underlined(), table.trim_fmt())
    }
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

pub fn spread(summary: &Summary) -> String {
    match summary.samples {
        0 | 1 => String::new(),
        _ => format!("{}..{}", number(summary.low), number(summary.high)),
    }
}

/// Near one the third digit behind the point counts.
pub fn ratio(value: f64) -> String {
    if value < 2.0 { format!("{value:.3}") } else { number(value) }
}

/// Three digits that count, more only before the point.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_the_digits_that_count() {
        for (value, expected) in
            [(0.0, "0"), (0.9712, "0.971"), (1.239, "1.24"), (47.46, "47.5"), (12_345.6, "12346")]
        {
            assert_eq!(number(value), expected);
        }
    }
}
