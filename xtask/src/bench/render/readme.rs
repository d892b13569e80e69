//! The part of README that has figures: between two marks, made of the same report.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::{
    super::report::{Report, figure::duration},
    markdown, svg_name,
};

const FROM: &str = "<!-- made by `cargo xtask bench`; change nothing by hand -->";
const TO: &str = "<!-- made until here -->";

const HEADING: &str = "## What it costs\n";

/// The text with the part between the marks made anew.
pub fn renew(text: &str, report: &Report) -> Result<String> {
    let Some((before, rest)) = text.split_once(FROM) else { bail!("README has no `{FROM}`") };
    let Some((_, after)) = rest.split_once(TO) else { bail!("README has no `{TO}`") };
    // Whatever else that chapter says, its figures come from the report.
    let chapter = before.split_once(HEADING).map(|(_, start)| start).unwrap_or_default();
    let chapter = chapter.to_owned() + after.split("\n## ").next().unwrap_or_default();
    if chapter.contains(|letter: char| letter.is_ascii_digit()) {
        bail!("README has a figure of its own below {HEADING:?}: only the report may give one");
    }
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

#[cfg(test)]
mod tests {
    use super::{FROM, HEADING, TO, renew};
    use crate::bench::report::testing::report;

    #[test]
    fn only_the_report_gives_figures() {
        let renewed = |words: &str| {
            let text = format!("1\n{HEADING}{words}\n{FROM}\nold 7\n{TO}\n{words}\n## 2");
            renew(&text, &report(Vec::new())).map_err(|error| error.to_string())
        };
        let text = renewed("a lot").unwrap();
        assert!(text.starts_with("1\n") && text.ends_with("\na lot\n## 2"), "{text}");
        assert!(text.contains("2 x made up, kernel 6.1") && !text.contains("old"), "{text}");
        assert!(renewed("5 % more").unwrap_err().contains("a figure of its own"));
    }

    #[test]
    fn a_readme_without_marks_is_not_touched() {
        assert!(renew(FROM, &report(Vec::new())).is_err());
        assert!(renew(TO, &report(Vec::new())).is_err());
    }
}
