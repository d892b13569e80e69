//! How the demo's findings look: a table of answers with bars, then what was expected and whether
//! it held. Colours only where a terminal is.

use std::fmt::Write as _;

use console::style;
use lb_testbed::Report;

use super::{
    expect::{Facts, Finding},
    scenario::{Caller, Scenario},
    tables::Family,
};

/// Columns of the longest bar.
const BAR: usize = 32;
/// Parts of a column that a bar can end in.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The heading of an example.
pub fn example(name: &str) -> String {
    format!("\n{}", style(format!("deploy/examples/{name}.yaml")).bold().underlined())
}

/// What was called, who answered, and what was found.
pub fn scenario(
    scenario: &Scenario,
    family: Family,
    facts: &Facts,
    report: &Report,
    findings: &[Finding],
) -> String {
    let mut text = String::new();
    let title = style(format!("{} ({})", scenario.title, family.name())).bold();
    let _ = writeln!(text, "\n  {title}");
    let made = report.answered() + report.failed();
    let _ = writeln!(text, "  {made} × {} → {}", caller(scenario.caller), facts.to);
    text.push_str(&answers(facts, report));
    for finding in findings {
        text.push_str(&line(finding));
    }
    text
}

/// A change of the cluster, or a look at it, and what was found.
pub fn change(title: &str, findings: &[Finding]) -> String {
    let mut text = format!("\n{}\n", style(title).bold().underlined());
    text.extend(findings.iter().map(line));
    text
}

/// One thing that was expected, and whether it held.
pub fn line(finding: &Finding) -> String {
    let Finding { expected, found, held, .. } = finding;
    let mark = if *held { style("✔").green() } else { style("✘").red().bold() };
    let found = if *held { style(found).dim() } else { style(found).red() };
    format!("    {mark} {expected}  {found}\n")
}

/// A bar for each of the web service's ready pods, and for whoever else answered.
fn answers(facts: &Facts, report: &Report) -> String {
    let by_pod = report.by_pod();
    if by_pod.is_empty() {
        return String::new();
    }
    let mut pods: Vec<&str> = facts.ready.keys().map(String::as_str).collect();
    pods.extend(by_pod.keys().filter(|pod| !facts.ready.contains_key(**pod)));
    let most = by_pod.values().copied().max().unwrap_or_default();
    let mut text = String::new();
    for pod in pods {
        let count = by_pod.get(pod).copied().unwrap_or_default();
        let node = facts.nodes.get(pod).map_or("gone", String::as_str);
        let bar = style(bar(count, most)).cyan();
        let _ = writeln!(text, "    {pod:<7} {node:<6} {count:>6} {bar}");
    }
    text
}

fn caller(caller: Caller) -> String {
    match caller {
        Caller::Pod => "pod shell on node1".into(),
        Caller::Node(node) => format!("process on {node}"),
        Caller::Client => "client outside".into(),
        Caller::Stranger => "client outside, second address".into(),
    }
}

/// A bar as long as `count` is of `most`.
fn bar(count: u64, most: u64) -> String {
    if most == 0 {
        return String::new();
    }
    let eighths = (count * (BAR * 8) as u64).div_ceil(most) as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_in_proportion() {
        for (count, most, full, rest) in [
            (100, 100, BAR, ""),
            (50, 100, BAR / 2, ""),
            (1, 100, 0, "▍"),
            (0, 100, 0, ""),
            (0, 0, 0, ""),
        ] {
            assert_eq!(
                bar(count, most),
                format!("{}{rest}", "█".repeat(full)),
                "{count} of {most}"
            );
        }
    }
}
