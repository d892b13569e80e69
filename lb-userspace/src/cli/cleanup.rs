//! `sluice cleanup`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

use crate::{
    config::{PIN_PATH, PIN_PATH_VARIABLE},
    kernel::{Pins, remove_everything, rights},
};

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Folder that programs and tables are pinned in
    #[arg(long, value_name = "DIR", default_value = PIN_PATH, env = PIN_PATH_VARIABLE)]
    pin_path: PathBuf,
    /// Stay afterwards until a signal comes, as a container has to that would else be run again
    #[arg(long)]
    stay: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    rights::check()?;
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    if arguments.stay {
        // From the first moment: one that comes during the work must not be lost.
        signals.thread_block().context("waiting for signals")?;
    }
    let removed = remove_everything(&Pins::new(&arguments.pin_path))?;
    if removed.is_empty() {
        println!("nothing to remove below {}", arguments.pin_path.display());
    }
    removed.iter().for_each(|what| println!("removed {what}"));
    if arguments.stay {
        signals.wait().context("waiting for signals")?;
    }
    Ok(ExitCode::SUCCESS)
}
