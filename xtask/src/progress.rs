//! Long work that shows that it goes on: a spinner on a terminal, plain lines elsewhere.

use crate::{command, workspace};
use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    fs::{self, File},
    io::IsTerminal as _,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const POLL: Duration = Duration::from_millis(100);
const LINES_SHOWN_ON_FAILURE: usize = 12;

/// Runs `command` quietly under a heading, for no longer than `limit`. What it prints goes to a
/// file, whose end is shown if it fails.
pub fn step(heading: &str, command: &mut Command, limit: Duration) -> Result<()> {
    let bar = begin(heading);
    let log = workspace::tools().join("last-step.log");
    fs::create_dir_all(workspace::tools())?;
    let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot start {}", command::shown(command)))?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bar.abandon();
            bail!("{heading} took longer than {} s", limit.as_secs());
        }
        thread::sleep(POLL);
    };
    if status.success() {
        bar.finish_and_clear();
        eprintln!("{heading}: done in {} s", started.elapsed().as_secs());
        return Ok(());
    }
    bar.abandon();
    let said = fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    for line in &lines[lines.len().saturating_sub(LINES_SHOWN_ON_FAILURE)..] {
        eprintln!("    {line}");
    }
    bail!("{heading} failed ({status})");
}

fn begin(heading: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        eprintln!("{heading} ...");
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(heading.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(POLL);
    bar
}
