//! What an agent takes: its own memory, and the kernel's for its tables.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::machine::field;

/// What one agent takes, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Resident, all of it; rows of tables that it has written are part of it.
    pub resident: u64,
    /// Resident, its own alone.
    pub own: u64,
    /// The most that was ever resident.
    pub peak: u64,
    /// All tables it has open, as the kernel accounts for them.
    pub tables: u64,
}

impl Memory {
    /// Of a process.
    pub fn of(pid: u32) -> Result<Self> {
        let process = Path::new("/proc").join(pid.to_string());
        let status = fs::read_to_string(process.join("status")).context("the agent is gone")?;
        let kib = |name: &str| -> Result<u64> {
            let value = field(&status, name);
            let number = value.split(' ').next().unwrap_or_default().parse::<u64>();
            Ok(1024 * number.with_context(|| format!("no {name} in its status"))?)
        };
        Ok(Self {
            resident: kib("VmRSS")?,
            own: kib("RssAnon")?,
            peak: kib("VmHWM")?,
            tables: tables(&process)?,
        })
    }
}

/// The sum over all maps that a process has open, each counted once.
fn tables(process: &Path) -> Result<u64> {
    let mut maps = BTreeMap::new();
    for entry in fs::read_dir(process.join("fdinfo"))? {
        let path: PathBuf = entry?.path();
        // A descriptor may have been closed meanwhile.
        let Ok(info) = fs::read_to_string(path) else { continue };
        if let (Ok(id), Ok(bytes)) =
            (field(&info, "map_id").parse::<u64>(), field(&info, "memlock").parse::<u64>())
        {
            maps.insert(id, bytes);
        }
    }
    Ok(maps.values().sum())
}
