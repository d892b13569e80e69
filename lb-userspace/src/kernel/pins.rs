//! Every path under bpffs, with its mode, and the lock that keeps two agents apart.
//!
//! ```text
//! <pin-path>/            0700, locked by the agent that uses it
//!   v<LAYOUT_VERSION>/   0700, one version of the tables' layout
//!     maps/<NAME>
//!     links/<program>                      on the cgroup
//!     links/<program>-<ifindex>            on a device
//!     links/<program>-<ifindex>-<mode>     the same for XDP
//! ```

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use aya::maps::MapInfo;
use lb_common::layout::LAYOUT_VERSION;
use nix::fcntl::{Flock, FlockArg};

use super::Error;

/// Only root has any business there.
const MODE: u32 = 0o700;

/// The folder that an agent pins everything in.
#[derive(Clone, Debug)]
pub struct Pins {
    root: PathBuf,
    version: PathBuf,
}

/// Held while an agent, or a clean-up, is at work.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "its life is the lock")] Flock<fs::File>);

impl Pins {
    /// Paths below `root`, which is `--pin-path`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf(), version: root.join(format!("v{LAYOUT_VERSION}")) }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where this layout's maps are.
    pub fn maps(&self) -> PathBuf {
        self.version.join("maps")
    }

    /// Where a map is.
    pub fn map(&self, name: &str) -> PathBuf {
        self.maps().join(name)
    }

    /// How many entries a pinned map has room for.
    ///
    /// # Errors
    ///
    /// It is not pinned, or the kernel refused.
    pub fn map_size(&self, name: &'static str) -> Result<u32, Error> {
        MapInfo::from_pin(self.map(name))
            .map(|info| info.max_entries())
            .map_err(|source| Error::Map { name, source })
    }

    /// Where this layout's links are.
    pub fn links(&self) -> PathBuf {
        self.version.join("links")
    }

    /// Where a link is.
    pub fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// Makes the folders.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn prepare(&self) -> Result<(), Error> {
        for folder in [self.maps(), self.links()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(MODE)
                .create(&folder)
                .map_err(|source| Error::file("making folder", &folder, source))?;
        }
        Ok(())
    }

    /// Keeps other agents out until the lock is dropped or the process ends, however it ends.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`].
    pub fn lock(&self) -> Result<Lock, Error> {
        let folder = fs::File::open(&self.root)
            .map_err(|source| Error::file("opening folder", &self.root, source))?;
        Flock::lock(folder, FlockArg::LockExclusiveNonblock)
            .map(Lock)
            .map_err(|_| Error::InUse(self.root.clone()))
    }

    /// The folders of other layout versions.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn other_versions(&self) -> Result<Vec<PathBuf>, Error> {
        let mut folders = list(&self.root)?;
        folders.retain(|folder| *folder != self.version);
        Ok(folders)
    }

    /// If a link of this name is held by another layout version, takes it over from there: so
    /// that the switch to new programs is one update of one link, in every case.
    ///
    /// # Errors
    ///
    /// The file system's.
    pub fn take_over_link(&self, name: &str) -> Result<(), Error> {
        let ours = self.link(name);
        if ours.exists() {
            return Ok(());
        }
        for version in self.other_versions()? {
            let theirs = version.join("links").join(name);
            if theirs.exists() {
                return fs::rename(&theirs, &ours)
                    .map_err(|source| Error::file("taking over link", &theirs, source));
            }
        }
        Ok(())
    }
}

/// The paths in a folder, sorted; none if there is no folder.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = |source| Error::file("reading folder", folder, source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(read(error)),
    };
    let mut paths: Vec<_> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(read)?;
    paths.sort();
    Ok(paths)
}

/// Removes a pin; it being gone already is as good.
pub fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::file("removing pin", path, error))
        }
        _ => Ok(()),
    }
}
