//! One row struct, two faces: a table for people, JSON for machines.

use std::io::{self, Write};

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;

/// Something that is shown one a line.
pub(super) trait Row: Serialize {
    /// The columns' titles.
    const TITLES: &'static [&'static str];

    /// One text a column.
    fn cells(&self) -> Vec<String>;
}

/// Prints rows.
pub(super) fn print<R: Row>(rows: &[R], json: bool) -> Result<()> {
    say(&if json { serde_json::to_string_pretty(rows)? } else { text(rows) })
}

/// Prints lines. A reader who has seen enough, as `head` has, is no failure.
pub(super) fn say(text: &str) -> Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Rows as a table without lines; cells of several lines stay in their column.
pub(super) fn text<R: Row>(rows: &[R]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(R::TITLES);
    table.add_rows(rows.iter().map(Row::cells));
    table.trim_fmt()
}
