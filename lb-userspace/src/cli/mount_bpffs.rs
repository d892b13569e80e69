//! `sluice mount-bpffs`.

use std::{path::Path, process::ExitCode};

use anyhow::Result;

use crate::kernel::environment::{BPFFS, ensure_bpffs, is_on_bpffs};

pub(super) fn run() -> Result<ExitCode> {
    let place = Path::new(BPFFS);
    if is_on_bpffs(place) {
        println!("there is a bpf filesystem at {BPFFS}");
    } else {
        ensure_bpffs(place)?;
        println!("mounted a bpf filesystem at {BPFFS}");
    }
    Ok(ExitCode::SUCCESS)
}
