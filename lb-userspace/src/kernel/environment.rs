//! What must be there before anything is loaded: a bpf filesystem, a cgroup2 hierarchy.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, CGROUP2_SUPER_MAGIC, statfs},
};
use tracing::info;

use super::Error;

/// Where every distribution has its bpf filesystem.
pub const BPFFS: &str = "/sys/fs/bpf";

/// Makes sure that pins can be made below `pin_path`, mounting a bpf filesystem at its usual place
/// if that is what is missing.
///
/// # Errors
///
/// The path is on another filesystem, or mounting failed.
pub fn ensure_bpffs(pin_path: &Path) -> Result<(), Error> {
    if is_on_bpffs(pin_path) {
        return Ok(());
    }
    let usual = Path::new(BPFFS);
    if !pin_path.starts_with(usual) || !usual.is_dir() {
        return Err(Error::NotBpffs(pin_path.to_path_buf()));
    }
    mount(Some("bpf"), usual, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
        .map_err(|error| Error::MountBpffs { path: usual.to_path_buf(), source: error.into() })?;
    info!("mounted a bpf filesystem at {BPFFS}");
    Ok(())
}

/// Whether the nearest existing ancestor of `path` is on a bpf filesystem.
pub fn is_on_bpffs(path: &Path) -> bool {
    path.ancestors()
        .find_map(|ancestor| statfs(ancestor).ok())
        .is_some_and(|filesystem| filesystem.filesystem_type() == BPF_FS_MAGIC)
}

/// Where the cgroup2 hierarchy is mounted: not always at the same place. In a container it may be
/// mounted twice, once beginning at the container; then it is the mount that begins further out.
///
/// # Errors
///
/// It is mounted nowhere.
pub fn find_cgroup2() -> Result<PathBuf, Error> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    cgroup2_mount(&mounts).ok_or(Error::NoCgroup2)
}

fn cgroup2_mount(mounts: &str) -> Option<PathBuf> {
    let places = mounts.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        filesystem.starts_with("cgroup2 ").then(|| (depth(root), PathBuf::from(place)))
    });
    places.min_by_key(|(depth, _)| *depth).map(|(_, place)| place)
}

/// How far below the root of our cgroup namespace a mount begins; less than 0: above it.
fn depth(root: &str) -> i32 {
    let steps = root.split('/').filter(|step| !step.is_empty());
    steps.map(|step| if step == ".." { -1 } else { 1 }).sum()
}

/// The number by which the kernel knows the cgroup at `path`.
///
/// # Errors
///
/// It is no cgroup of the second version.
pub fn cgroup_id(path: &Path) -> Result<u64, Error> {
    let is_cgroup2 =
        statfs(path).is_ok_and(|filesystem| filesystem.filesystem_type() == CGROUP2_SUPER_MAGIC);
    match fs::metadata(path) {
        Ok(folder) if is_cgroup2 && folder.is_dir() => Ok(folder.ino()),
        _ => Err(Error::NotCgroup2(path.to_path_buf())),
    }
}

/// The path of the cgroup that the kernel knows by a number, if it is still there.
pub fn cgroup_path(id: u64) -> Option<PathBuf> {
    let mut folders = vec![find_cgroup2().ok()?];
    while let Some(folder) = folders.pop() {
        if fs::metadata(&folder).is_ok_and(|metadata| metadata.ino() == id) {
            return Some(folder);
        }
        let children = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(children.map(|child| child.path()).filter(|path| path.is_dir()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cgroup2_mount_is_found_wherever_it_is() {
        #[track_caller]
        fn check(mounts: &str, expected: Option<&str>) {
            assert_eq!(cgroup2_mount(mounts), expected.map(PathBuf::from));
        }
        let v1 = "30 23 0:26 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu\n";
        let hybrid = "42 23 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        let container = "50 23 0:38 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        let host = "51 23 0:38 /../../.. /host/cgroup ro master:9 - cgroup2 cgroup2 rw\n";
        let pod = "50 23 0:38 /kubepods/pod1/c /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        check(v1, None);
        check(&[v1, hybrid].concat(), Some("/sys/fs/cgroup/unified"));
        check(container, Some("/sys/fs/cgroup"));
        check(&[container, host].concat(), Some("/host/cgroup"));
        check(&[pod, hybrid].concat(), Some("/sys/fs/cgroup/unified"));
    }
}
