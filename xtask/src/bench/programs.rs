//! The programs that are measured and that measure: all of them release builds.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use lb_testbed::Launcher;
use serde::de::DeserializeOwned;

use crate::{command, kernel_object};

/// The measurements inside the agent's crate.
const MEASURE: &str = "measure";

/// Where cargo has put what.
pub struct Programs {
    /// The agent.
    pub sluice: PathBuf,
    /// What the cluster's servers and clients run.
    pub workers: Launcher,
    measure: PathBuf,
}

impl Programs {
    /// Builds them.
    pub fn build() -> Result<Self> {
        kernel_object::prepare()?;
        let mut cargo = command::cargo();
        cargo.args(["build", "--release", "--locked", "--package", "lb-userspace"]);
        cargo.args(["--package", "lb-testbed", "--bin", "sluice", "--bin", "lb-testbed"]);
        cargo.args(["--bench", MEASURE, "--features", "lb-userspace/privileged"]);
        cargo.arg("--message-format=json-render-diagnostics");
        let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("{} failed ({})", command::shown(&cargo), output.status);
        }
        let said = String::from_utf8(output.stdout).context("what cargo said")?;
        let find = |name| {
            let found = said.lines().find_map(|line| executable(line, name));
            found.with_context(|| format!("cargo has not said where it put {name}"))
        };
        Ok(Self {
            sluice: find("sluice")?,
            workers: Launcher::new(find("lb-testbed")?),
            measure: find(MEASURE)?,
        })
    }

    /// Which kernel object the agent carries: `fresh`, of these sources, or `kept`.
    pub fn origin(&self) -> Result<String> {
        self.measure(&["origin".to_owned()])
    }

    /// Has the agent's crate measure something, and reads what it found.
    pub fn measure<T: DeserializeOwned>(&self, arguments: &[String]) -> Result<T> {
        let mut command = Command::new(&self.measure);
        let found = command::capture(command.args(arguments).stdin(Stdio::null()));
        if found.is_err() {
            // It may have been interrupted with its cluster standing.
            lb_testbed::sweep()?;
        }
        Ok(serde_json::from_str(&found?)?)
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
