//! `cargo xtask tidy`: what the project asks of its own text and no other tool checks.
//!
//! Each check is a pure function from a file's text to the faults in it; this file walks the
//! checkout. The checks run as a unit test too, so `cargo test` alone finds what they find.

mod code;
mod rooms;
mod sizes;
mod words;

use crate::workspace;
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What is looked at: names of files without ending, or endings.
const LOOKED_AT: [&str; 7] = ["rs", "md", "toml", "yaml", "yml", "run", "Dockerfile"];
/// Folders that hold nothing of ours.
const PASSED_OVER: [&str; 4] = ["target", ".git", "prebuilt", "golden"];

/// One file, named relative to the top of the checkout with `/` between folders.
pub struct File {
    name: String,
    text: String,
}

/// The verb.
pub fn run() -> Result<()> {
    let files = files()?;
    let faults = faults(&files);
    for fault in &faults {
        println!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} faults", faults.len());
    }
    println!("{} files are tidy", files.len());
    Ok(())
}

/// All faults in all files.
fn faults(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let found = [sizes::check(file), rooms::check(file), words::check(file)];
        faults.extend(found.into_iter().flatten().map(|fault| format!("{}: {fault}", file.name)));
    }
    faults
}

fn files() -> Result<Vec<File>> {
    let mut paths = Vec::new();
    walk(workspace::root(), &mut paths)?;
    paths.sort();
    let read = |path: PathBuf| -> Result<File> {
        let name = path.strip_prefix(workspace::root()).unwrap_or(&path);
        let name = name.to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        Ok(File { name, text })
    };
    paths.into_iter().map(read).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !PASSED_OVER.contains(&name.as_ref()) {
                walk(&path, paths)?;
            }
        } else if LOOKED_AT.contains(&name.rsplit('.').next().unwrap_or_default()) {
            paths.push(path);
        }
    }
    Ok(())
}

impl File {
    fn is_rust(&self) -> bool {
        self.name.ends_with(".rs")
    }

    /// Whether the file only serves tests: it has no limit and may reach into any room.
    fn is_test(&self) -> bool {
        let folders = ["/tests/", "/benches/", "/fuzz/"];
        folders.iter().any(|folder| self.name.contains(folder))
            || self.name.ends_with("/tests.rs")
            || self.name.ends_with("/testing.rs")
    }
}

#[cfg(test)]
mod tests {
    use super::{faults, files};

    #[test]
    fn the_checkout_is_tidy() {
        assert_eq!(faults(&files().unwrap()), Vec::<String>::new());
    }
}
