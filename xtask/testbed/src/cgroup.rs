//! Control groups under the machine's cgroup2 mount: one a node, with children for its pods and
//! its own processes, as on a real node. Nothing but membership is used of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::error::{During, Error, Result};

const MOUNTS: &str = "/proc/self/mountinfo";
/// How long killed processes may take to leave their cgroup.
const LEAVING: Duration = Duration::from_secs(20);

/// A cgroup made by this process. Dropping it kills what is still in it and its children.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a cgroup below the root of the hierarchy.
    pub(crate) fn create(name: &str) -> Result<Self> {
        Self::at(root()?.join(name))
    }

    /// Makes a cgroup below this one.
    pub(crate) fn child(&self, name: &str) -> Result<Self> {
        Self::at(self.path.join(name))
    }

    fn at(path: PathBuf) -> Result<Self> {
        fs::create_dir(&path).during("create", path.display())?;
        Ok(Self { path })
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A cgroup that stays is found by the next sweep; there is nobody to tell.
        let _ = remove_tree(&self.path);
    }
}

/// Moves the calling process into a cgroup.
pub(crate) fn join(path: &Path) -> Result<()> {
    let file = path.join("cgroup.procs");
    // Zero stands for the process that writes it.
    fs::write(&file, "0").during("write", file.display())
}

/// Where the cgroup2 hierarchy is mounted: its place differs between distributions, and where
/// version 1 is in use beside it.
pub fn root() -> Result<PathBuf> {
    let mounts = fs::read_to_string(MOUNTS).during("read", MOUNTS)?;
    mount_point(&mounts).map(PathBuf::from).ok_or(Error::NoCgroup2)
}

/// The first mount point of a cgroup2 file system that is a hierarchy's root.
fn mount_point(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        if kind.split(' ').next() != Some("cgroup2") {
            return None;
        }
        place.split(' ').nth(4)
    })
}

/// Kills everything in a cgroup and below, then removes it with its children.
pub(crate) fn remove_tree(path: &Path) -> Result<()> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).during("list", path.display()),
    };
    for entry in entries {
        let entry = entry.during("list", path.display())?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    let give_up = Instant::now() + LEAVING;
    loop {
        kill_members(path)?;
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error)
                if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < give_up =>
            {
                thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error).during("remove", path.display()),
        }
    }
}

/// One by one, as `cgroup.kill` is younger than the oldest kernel this runs on.
fn kill_members(path: &Path) -> Result<()> {
    let file = path.join("cgroup.procs");
    let members = match fs::read_to_string(&file) {
        Ok(members) => members,
        // Somebody else's sweep was faster. Reading tells so in two ways.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => return Ok(()),
        Err(error) => return Err(error).during("read", file.display()),
    };
    for pid in members.lines().filter_map(|line| line.parse().ok()) {
        match kill(Pid::from_raw(pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(errno).during("kill process", pid),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_cgroup2_mount_among_others() {
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
             34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:3 - cgroup2 cgroup2 rw\n";
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        for (mounts, expected) in [
            (hybrid, Some("/sys/fs/cgroup/unified")),
            (unified, Some("/sys/fs/cgroup")),
            ("34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n", None),
            ("", None),
        ] {
            assert_eq!(mount_point(mounts), expected);
        }
    }
}
