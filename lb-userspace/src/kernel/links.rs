//! One way to keep a program at its hook, for every kind of hook: a pinned link that outlives the
//! agent, and whose program is replaced in place by the next agent.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use tracing::debug;

use super::{
    Error,
    hook::Hook,
    pins::{self, Pins},
    sys::{self, LinkInfo, LinkTarget},
};

/// An attachment that should be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The hook.
    pub hook: Hook,
    /// File name of the pin.
    pub pin: &'a str,
    /// What the kernel will say of the link.
    pub target: LinkTarget,
    /// What the kernel wants to be told: the cgroup's descriptor or the ifindex.
    pub handle: u32,
    /// Flags of the attachment.
    pub flags: u32,
    /// What people call the target.
    pub target_name: &'a str,
}

/// What [`hold`] found and did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// There was no link: a new one was made.
    Attached,
    /// The link of an earlier agent now holds the new program.
    Replaced,
}

/// Makes `program` the one that runs at the wanted hook.
///
/// # Errors
///
/// [`Error::Attach`], or the file system's.
pub fn hold(pins: &Pins, program: BorrowedFd<'_>, wanted: &Wanted<'_>) -> Result<Held, Error> {
    pins.take_over_link(wanted.pin)?;
    let path = pins.link(wanted.pin);
    let failed = |source| Error::Attach {
        program: wanted.hook.program,
        target: wanted.target_name.to_owned(),
        source,
    };
    if replace(&path, program, wanted).map_err(failed)? {
        return Ok(Held::Replaced);
    }
    release(&path)?;
    let link = sys::link_create(program, wanted.handle, wanted.hook.attach_type, wanted.flags)
        .map_err(failed)?;
    sys::object_pin(link.as_fd(), &path).map_err(failed)?;
    Ok(Held::Attached)
}

/// Makes sure that the link that [`hold`] made is still there and holds `program`, whose number is
/// `id`; makes it again if not. Returns whether it had to.
///
/// # Errors
///
/// As for [`hold`].
pub fn keep(
    pins: &Pins,
    program: BorrowedFd<'_>,
    id: u32,
    wanted: &Wanted<'_>,
) -> Result<bool, Error> {
    let found = sys::object_get(&pins.link(wanted.pin)).and_then(|l| sys::link_info(l.as_fd()));
    // Without its pin a link goes, as nobody else holds it.
    if found.is_ok_and(|info| info.target == wanted.target && info.program == id) {
        return Ok(false);
    }
    hold(pins, program, wanted).map(|_| true)
}

/// Whether the pinned link could take the program. A link that lost its target, or that has
/// another target than the wanted one, cannot.
fn replace(path: &Path, program: BorrowedFd<'_>, wanted: &Wanted<'_>) -> io::Result<bool> {
    let link = match sys::object_get(path) {
        Ok(link) => link,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if sys::link_info(link.as_fd())?.target != wanted.target {
        return Ok(false);
    }
    match sys::link_update(link.as_fd(), program) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes the program of a pinned link off its hook and removes the pin.
///
/// # Errors
///
/// The file system's.
pub fn release(path: &Path) -> Result<(), Error> {
    match sys::object_get(path) {
        Ok(link) => {
            // A link without its target is detached already.
            if let Err(error) = sys::link_detach(link.as_fd()) {
                debug!("detaching {}: {error}", path.display());
            }
            pins::remove(path)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::file("opening link", path, error)),
    }
}

/// A pinned link as found.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// Where.
    pub path: PathBuf,
    /// The program's name, by the pin's.
    pub program: String,
    /// The ifindex, by the pin's name; `None` for a hook of the cgroup.
    pub ifindex: Option<u32>,
    /// The mode of XDP, by the pin's name.
    pub mode: Option<String>,
    /// What the kernel says of it.
    pub info: LinkInfo,
}

/// All pinned links of this layout version.
///
/// # Errors
///
/// The file system's.
pub fn pinned(pins: &Pins) -> Result<Vec<Pinned>, Error> {
    pins::list(&pins.links())?
        .into_iter()
        .map(|path| {
            let info = sys::object_get(&path)
                .and_then(|link| sys::link_info(link.as_fd()))
                .map_err(|source| Error::file("reading link", &path, source))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut parts = name.split('-');
            let program = parts.next().unwrap_or_default().to_owned();
            let ifindex = parts.next().and_then(|part| part.parse().ok());
            let mode = parts.next().map(str::to_owned);
            Ok(Pinned { path, program, ifindex, mode, info })
        })
        .collect()
}

/// Removes the links on devices that hold one of these programs, but on devices that stay.
///
/// # Errors
///
/// The file system's.
pub fn release_except(
    pins: &Pins,
    of: impl Fn(&str) -> bool,
    stays: impl Fn(u32) -> bool,
) -> Result<(), Error> {
    for link in pinned(pins)?.iter().filter(|link| of(&link.program)) {
        if link.ifindex.is_some_and(|ifindex| !stays(ifindex)) {
            debug!("removing {}", link.path.display());
            release(&link.path)?;
        }
    }
    Ok(())
}

/// Removes the folders of other layout versions, links and all.
///
/// # Errors
///
/// The file system's.
pub fn remove_version(folder: &Path) -> Result<(), Error> {
    for link in pins::list(&folder.join("links"))? {
        release(&link)?;
    }
    for map in pins::list(&folder.join("maps"))? {
        pins::remove(&map)?;
    }
    for folder in [&folder.join("links"), &folder.join("maps"), folder] {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file("removing folder", folder, error));
            }
            _ => (),
        }
    }
    Ok(())
}
