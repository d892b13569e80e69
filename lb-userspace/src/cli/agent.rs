//! `sluice agent`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::runtime::Builder;

use crate::{
    agent,
    config::{self, RawAgent, Surroundings},
    telemetry,
};

pub(super) fn run(raw: &RawAgent) -> Result<ExitCode> {
    let config = config::check(raw, &Surroundings::look())?;
    telemetry::start(config.log_format, config.verbose);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(agent::run(config))?;
    Ok(ExitCode::SUCCESS)
}
