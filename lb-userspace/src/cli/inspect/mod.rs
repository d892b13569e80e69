//! `sluice inspect`: what the pinned tables hold. Reads, and needs no agent.

mod affinity;
mod backends;
mod flows;
mod services;
mod show;
mod status;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};

use crate::{
    config::{PIN_PATH, PIN_PATH_VARIABLE},
    kernel::{Pins, rights},
    maps::Reader,
};

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
    /// Folder that tables are pinned in
    #[arg(
        long, value_name = "DIR", default_value = PIN_PATH, env = PIN_PATH_VARIABLE, global = true
    )]
    pin_path: PathBuf,
}

#[derive(clap::Subcommand, Clone, Copy, Debug)]
enum What {
    /// Service ports, where they answer and their endpoints
    Services,
    /// Endpoints
    Backends,
    /// Connections from outside that are being translated
    Flows,
    /// Clients that stay with an endpoint
    Affinity,
    /// Attachments, how full tables are, counters
    Status,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    rights::check()?;
    let pins = Pins::new(&arguments.pin_path);
    let folder = pins.maps();
    if !folder.is_dir() {
        bail!("no tables of this version are pinned below {}", pins.root().display());
    }
    let (reader, json) = (Reader::new(&folder), arguments.json);
    match arguments.what {
        What::Services => services::run(&reader, json)?,
        What::Backends => backends::run(&reader, json)?,
        What::Flows => flows::run(&reader, json)?,
        What::Affinity => affinity::run(&reader, json)?,
        What::Status => status::run(&pins, &reader, json)?,
    }
    Ok(ExitCode::SUCCESS)
}
