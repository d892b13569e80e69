//! The programs that are measured and that measure: all of them release builds.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Result;
use lb_testbed::Launcher;
use serde::de::DeserializeOwned;

use crate::{artifacts::Artifacts, command, kernel_object};

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
        let built = Artifacts::build(&mut cargo)?;
        Ok(Self {
            sluice: built.find("sluice")?,
            workers: Launcher::new(built.find("lb-testbed")?),
            measure: built.find(MEASURE)?,
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
