//! From a report's JSON to the pages people read: `bench.md`, its drawings, and the figures in
//! README. Nothing in here measures, so the pages can be made anew whenever their words change; a
//! test holds those of docs/ to be what docs/bench.json gives.

mod chart;
mod markdown;
mod readme;
mod scale;

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{
    model::{self, Figures},
    report::{Plot, Report},
};
use crate::workspace;

/// The figures.
const JSON: &str = "bench.json";
/// The page.
const PAGE: &str = "bench.md";
/// What the figures say of larger clusters.
const MODEL: &str = "cluster-cost.md";
/// Where drawings are, beside the page.
const DRAWINGS: &str = "bench";

/// Where the project keeps its report.
pub fn docs() -> PathBuf {
    workspace::root().join("docs")
}

/// Writes a report into a folder, figures and pages.
pub fn write(folder: &Path, report: &Report) -> Result<()> {
    let path = folder.join(JSON);
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let text = serde_json::to_string_pretty(report)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    again(&path)
}

/// Writes the pages of a report that is kept, beside it.
pub fn again(json: &Path) -> Result<()> {
    // Of what was written and not of what was measured, so that both ways come to the same.
    let report = read(json)?;
    let folder = match json.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let pages = pages(folder, &report)?;
    for stale in drawings(folder)?.into_iter().filter(|path| !pages.contains_key(path)) {
        fs::remove_file(&stale).with_context(|| format!("cannot remove {}", stale.display()))?;
    }
    fs::create_dir_all(folder.join(DRAWINGS))?;
    for (path, text) in &pages {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{} and {} more", folder.join(PAGE).display(), pages.len() - 1);
    Ok(())
}

/// A report that is kept.
pub fn read(path: &Path) -> Result<Report> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let report = serde_json::from_slice(&text);
    report.with_context(|| format!("{} is no report that this version knows", path.display()))
}

/// All pages with their text. README belongs to the report in docs/ alone.
fn pages(folder: &Path, report: &Report) -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::from([(folder.join(PAGE), markdown::page(report))]);
    let mut plots: Vec<Plot> =
        report.sections.iter().flat_map(|section| section.plots.iter().cloned()).collect();
    // A report of some measurements only may lack what the model takes.
    if let Some(figures) = Figures::of(report) {
        let (text, more) = model::page(&figures);
        pages.insert(folder.join(MODEL), text);
        plots.extend(more);
    }
    for plot in &plots {
        let path = folder.join(svg_name(&plot.title));
        let svg = chart::draw(plot).with_context(|| format!("cannot draw {:?}", plot.title))?;
        if pages.insert(path, svg).is_some() {
            bail!("two plots are called {:?}", plot.title);
        }
    }
    if is_docs(folder) {
        let path = workspace::root().join("README.md");
        let text = fs::read_to_string(&path)?;
        pages.insert(path, readme::renew(&text, report)?);
    }
    Ok(pages)
}

fn is_docs(folder: &Path) -> bool {
    let [this, docs] = [folder, &docs()].map(fs::canonicalize);
    matches!((this, docs), (Ok(this), Ok(docs)) if this == docs)
}

/// Those that lie in the folder already.
fn drawings(folder: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(folder.join(DRAWINGS)) {
        Ok(entries) => Ok(entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).context("cannot list the drawings"),
    }
}

/// Where a plot is drawn, seen from the page.
pub fn svg_name(title: &str) -> String {
    let letters = title.chars().filter(|letter| *letter != ',').map(|letter| {
        match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => letter,
            _ => '-',
        }
    });
    let words: String = letters.collect();
    let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
    format!("{DRAWINGS}/{}.svg", words.join("-"))
}

#[cfg(test)]
mod tests;
