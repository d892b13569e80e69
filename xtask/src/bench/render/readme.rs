//! The part of README that has figures: between two marks, made of the same report.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::{
    super::report::{Report, figure::duration},
    markdown, svg_name,
};

const FROM: &str = "<!-- made by `cargo xtask bench`; change nothing by hand -->";
const TO: &str = "<!-- made until here -->";

/// The text with the part between the marks made anew.
pub fn renew(text: &str, report: &Report) -> Result<String> {
    let Some((before, rest)) = text.split_once(FROM) else { bail!("README has no `{FROM}`") };
    let Some((_, after)) = rest.split_once(TO) else { bail!("README has no `{TO}`") };
    Ok(format!("{before}{FROM}\n{}{TO}{after}", part(report)))
}

fn part(report: &Report) -> String {
    let machine = &report.machine;
    let mut text = format!(
        "\nOn {} x {}, kernel {}, in {}:\n\n",
        machine.processors,
        machine.processor,
        machine.kernel,
        duration(report.took_s),
    );
    text += &markdown::budget_table(report);
    let plots = report.sections.iter().flat_map(|section| &section.plots);
    if let Some(plot) = plots.into_iter().next() {
        let _ = write!(text, "\n![{}](docs/{})\n", plot.title, svg_name(&plot.title));
    }
    text + "\n"
}
