//! Taking everything away again.

use std::{fs, io, path::PathBuf};

use super::{Error, environment, hook::Hook, links, pins, pins::Pins, tc};

/// Detaches every program and removes every pin below the pin path, of all layout versions.
/// Returns what was removed, as sentences; nothing if there was nothing.
///
/// # Errors
///
/// [`Error::InUse`] while an agent runs and [`Error::NotBpffs`], with nothing done; else the file
/// system's, with part of the work done: the call can be repeated.
pub fn remove_everything(pins: &Pins) -> Result<Vec<String>, Error> {
    let exists = pins.root().exists();
    // It may be a folder of somebody's that only looks like ours.
    if exists && !environment::is_on_bpffs(pins.root()) {
        return Err(Error::NotBpffs(pins.root().to_path_buf()));
    }
    let lock = exists.then(|| pins.lock()).transpose()?;
    let mut removed = Vec::new();
    for device in nix::net::if_::if_nameindex().iter().flatten() {
        let name = device.name().to_string_lossy();
        let count = tc::remove_filters(&Hook::ALL_TC, &name);
        if count > 0 {
            removed.push(format!("{count} clsact filters of {name}"));
        }
    }
    if lock.is_none() {
        return Ok(removed);
    }
    for folder in pins::list(pins.root())? {
        let count = |name: &str| pins::list(&folder.join(name)).map(|paths| paths.len());
        let (programs, tables) = (count("links")?, count("maps")?);
        links::remove_version(&folder)?;
        removed.push(format!("{programs} programs and {tables} tables of {}", folder.display()));
    }
    remove_folder(pins.root().to_path_buf())?;
    removed.push(format!("folder {}", pins.root().display()));
    drop(lock);
    Ok(removed)
}

fn remove_folder(folder: PathBuf) -> Result<(), Error> {
    match fs::remove_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::file("removing folder", &folder, error))
        }
        _ => Ok(()),
    }
}
