//! The socket hooks on a cgroup.

use std::{fs, os::fd::AsRawFd, path::Path};

use super::{
    Error, environment,
    hook::Hook,
    links::{self, Held, Wanted},
    load::Programs,
    pins::Pins,
    sys::LinkTarget,
};

/// Puts all socket programs on the cgroup at `path`. Returns how many took the place of an earlier
/// agent's.
///
/// # Errors
///
/// The path is no cgroup, or the kernel refused one.
pub fn attach(programs: &Programs, pins: &Pins, path: &Path) -> Result<usize, Error> {
    let mut replaced = 0;
    at_each(path, |wanted| {
        let held = links::hold(pins, programs.descriptor(wanted.hook)?, wanted)?;
        replaced += usize::from(held == Held::Replaced);
        Ok(())
    })?;
    Ok(replaced)
}

/// Puts back those socket programs that are no longer on the cgroup at `path`. Returns their names.
///
/// # Errors
///
/// As for [`attach`].
pub fn keep(programs: &Programs, pins: &Pins, path: &Path) -> Result<Vec<&'static str>, Error> {
    let mut repaired = Vec::new();
    at_each(path, |wanted| {
        let (program, id) = (programs.descriptor(wanted.hook)?, programs.id(wanted.hook)?);
        if links::keep(pins, program, id, wanted)? {
            repaired.push(wanted.hook.program);
        }
        Ok(())
    })?;
    Ok(repaired)
}

/// Goes through the attachments that a cgroup should have.
fn at_each(
    path: &Path,
    mut act: impl FnMut(&Wanted<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let target = LinkTarget::Cgroup(environment::cgroup_id(path)?);
    let folder =
        fs::File::open(path).map_err(|source| Error::file("opening cgroup", path, source))?;
    let name = path.display().to_string();
    for hook in Hook::sockets() {
        let wanted = Wanted {
            hook,
            pin: hook.program,
            target,
            handle: folder.as_raw_fd() as u32,
            // Links share a hook with whatever else is there, without any flag.
            flags: 0,
            target_name: &name,
        };
        act(&wanted)?;
    }
    Ok(())
}
