//! `sluice cleanup`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;

use crate::{
    config::PIN_PATH,
    kernel::{Pins, environment, remove_everything},
};

#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    /// Folder that programs and tables are pinned in
    #[arg(long, value_name = "DIR", default_value = PIN_PATH)]
    pin_path: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    environment::check_rights()?;
    let removed = remove_everything(&Pins::new(&arguments.pin_path))?;
    if removed.is_empty() {
        println!("nothing to remove below {}", arguments.pin_path.display());
    }
    removed.iter().for_each(|what| println!("removed {what}"));
    Ok(ExitCode::SUCCESS)
}
