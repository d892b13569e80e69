//! Where cargo has put what it built, for verbs that start it themselves.

use crate::command;
use anyhow::{Context as _, Result, bail};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// What cargo said while it built.
pub struct Artifacts(String);

impl Artifacts {
    /// Runs cargo, which shows its progress and problems as ever.
    pub fn build(cargo: &mut Command) -> Result<Self> {
        cargo.arg("--message-format=json-render-diagnostics");
        let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("{} failed ({})", command::shown(cargo), output.status);
        }
        Ok(Self(String::from_utf8(output.stdout).context("what cargo said")?))
    }

    /// The program of this name.
    pub fn find(&self, name: &str) -> Result<PathBuf> {
        let found = self.0.lines().find_map(|line| executable(line, name));
        found.with_context(|| format!("cargo has not said where it put {name}"))
    }
}

/// The path in one of cargo's lines, if it is about the executable of this name.
fn executable(line: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message.get("executable")?.as_str()?;
    (message.pointer("/target/name")? == name).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn an_executable_is_found_by_its_name() {
        let line = |name: &str, path: &str| {
            format!(
                "{{\"reason\":\"compiler-artifact\",\"target\":{{\"name\":\"{name}\"}},\
                 \"executable\":{path}}}"
            )
        };
        for (line, expected) in [
            (line("sluice", "\"a/sluice\""), Some("a/sluice".into())),
            (line("sluice", "null"), None),
            (line("other", "\"a/other\""), None),
            ("{\"reason\":\"build-finished\",\"success\":true}".to_owned(), None),
        ] {
            assert_eq!(executable(&line, "sluice"), expected, "{line}");
        }
    }
}
