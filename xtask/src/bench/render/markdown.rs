//! The page: where and when, every budget, and what was measured.

use std::fmt::Write as _;

use super::{
    super::report::{
        Report, Row, SPREAD, Section,
        figure::{duration, number, ratio, spread, spread_of_ratios},
    },
    svg_name,
};

/// A table with more rows than this is folded away where drawings stand above it.
const MOST_OPEN: usize = 12;

/// All of it.
pub fn page(report: &Report) -> String {
    let mut text = String::from("# Measured beside its peers\n\n");
    let _ = writeln!(
        text,
        "Made of [bench.json](bench.json), which has the same figures for programs. What is \
         compared was measured in the same run and in turn, so ratios tell more than what they are \
         made of: hold the absolute figures of two machines, or of two days, against each other \
         only with care.\n",
    );
    text += &facts(report);
    let _ = writeln!(text, "\nThe middle one of all samples stands first; {SPREAD}.\n");
    text += &budgets(report);
    for section in &report.sections {
        text += &measured(section);
    }
    let _ = writeln!(text, "\n## Again\n\n    {}\n", report.command);
    text += "`cargo xtask bench --render docs/bench.json` makes this page anew without measuring, \
             and `cargo xtask bench --compare docs/bench.json` measures and says what has become \
             worse.\n";
    text
}

/// Where and when.
pub fn facts(report: &Report) -> String {
    let machine = &report.machine;
    let load = &machine.load;
    let quick = if report.quick { ", the short version" } else { "" };
    let rows = [
        ("machine", format!("{} x {}", machine.processors, machine.processor)),
        ("memory", format!("{} MiB", number(machine.memory_mib as f64))),
        ("kernel", machine.kernel.clone()),
        ("kernel object", report.kernel_object.clone()),
        ("sources", machine.commit.clone()),
        ("load at the start", format!("{load}, over one minute")),
        ("measured", format!("{}, {}{quick}", day(machine.began_s), duration(report.took_s))),
    ];
    let mut text = String::from("| | |\n| --- | --- |\n");
    for (what, value) in rows {
        let _ = writeln!(text, "| {what} | {} |", cell(&value));
    }
    text
}

/// The day, as the world counts it.
fn day(epoch_s: u64) -> String {
    let stamp = i64::try_from(epoch_s).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    stamp.map_or_else(String::new, |stamp| stamp.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn budgets(report: &Report) -> String {
    let verdicts = report.verdicts();
    let measured = verdicts.iter().filter(|verdict| verdict.held.is_some()).count();
    let held = verdicts.iter().filter(|verdict| verdict.held == Some(true)).count();
    let mut text = format!("## Budgets\n\n{held} of {measured} held");
    if measured < verdicts.len() {
        let _ = write!(text, ", {} not measured", verdicts.len() - measured);
    }
    text += ".\n\n";
    text + &budget_table(report)
}

/// Every budget.
pub fn budget_table(report: &Report) -> String {
    let mut text = String::from("| | budget | measured | |\n| --- | --: | --: | --- |\n");
    for verdict in report.verdicts() {
        let word = match verdict.held {
            Some(true) => "held",
            Some(false) => "**not held**",
            None => "not measured",
        };
        let [what, asked, measured] = [verdict.what, verdict.asked, verdict.measured].map(cell);
        let _ = writeln!(text, "| {what} | {asked} | {measured} | {word} |");
    }
    text
}

fn measured(section: &Section) -> String {
    let mut text = format!("\n## {}\n\n", section.title);
    for note in &section.notes {
        let _ = writeln!(text, "* {note}");
    }
    for plot in &section.plots {
        let _ = write!(text, "\n![{}]({})\n", plot.title, svg_name(&plot.title));
    }
    let fold = !section.plots.is_empty() && section.rows.len() > MOST_OPEN;
    if fold {
        let rows = section.rows.len();
        let _ = write!(text, "\n<details><summary>All {rows} figures</summary>\n");
    }
    if !section.rows.is_empty() {
        text += "\n";
        text += &table(section);
    }
    if fold {
        text += "\n</details>\n";
    }
    text
}

fn table(section: &Section) -> String {
    let compares = section.compares();
    let mut text = String::from(match compares {
        true => {
            "| | median | spread | | baseline | spread | ratio | spread |\n\
             | --- | --: | --- | --- | --: | --- | --: | --- |\n"
        }
        false => "| | median | spread | |\n| --- | --: | --- | --- |\n",
    });
    for row in &section.rows {
        let _ = writeln!(text, "| {} |", cells(row, compares).join(" | "));
    }
    text
}

fn cells(row: &Row, compares: bool) -> Vec<String> {
    let mut cells = vec![cell(&row.what), number(row.found.median), spread(&row.found)];
    cells.push(row.unit.clone());
    match &row.beside {
        Some(beside) => {
            cells.extend([number(beside.baseline.median), spread(&beside.baseline)]);
            cells
                .extend([format!("**{}**", ratio(beside.ratio)), spread_of_ratios(&beside.ratios)]);
        }
        None if compares => cells.extend([const { String::new() }; 4]),
        None => {}
    }
    cells
}

/// So that it does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
