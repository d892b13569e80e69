//! What must be there before anything is loaded: rights, a bpf filesystem, a cgroup2 hierarchy.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::resource::{RLIM_INFINITY, Resource, setrlimit},
    sys::statfs::{BPF_FS_MAGIC, CGROUP2_SUPER_MAGIC, statfs},
};
use tracing::{debug, info};

use super::Error;

/// Where every distribution has its bpf filesystem.
const BPFFS: &str = "/sys/fs/bpf";

/// Capabilities by their bit, with those that include them.
const RIGHTS: [(&str, u64); 3] = [
    ("CAP_NET_ADMIN", 1 << 12),
    ("CAP_BPF (or CAP_SYS_ADMIN)", 1 << 39 | SYS_ADMIN),
    ("CAP_PERFMON (or CAP_SYS_ADMIN)", 1 << 38 | SYS_ADMIN),
];
const SYS_ADMIN: u64 = 1 << 21;

/// Checks that this process may load and attach programs.
///
/// # Errors
///
/// Names every missing capability.
pub fn check_rights() -> Result<(), Error> {
    let status = fs::read_to_string("/proc/self/status").map_err(Error::ReadRights)?;
    let mask = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .ok_or_else(|| Error::ReadRights(io::Error::other("no line CapEff")))?;
    match missing(mask) {
        rights if rights.is_empty() => Ok(()),
        rights => Err(Error::Rights(rights)),
    }
}

fn missing(mask: u64) -> Vec<&'static str> {
    RIGHTS.iter().filter(|(_, any_of)| mask & any_of == 0).map(|(name, _)| *name).collect()
}

/// Lifts the limit on locked memory, which kernels before 5.11 count tables against.
pub fn lift_memory_limit() {
    // Newer kernels do not ask; on an older one the first table that is refused says so.
    if let Err(error) = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY) {
        debug!("lifting the limit on locked memory: {error}");
    }
}

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

/// Where the cgroup2 hierarchy is mounted: not always at the same place.
///
/// # Errors
///
/// It is mounted nowhere.
pub fn find_cgroup2() -> Result<PathBuf, Error> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    cgroup2_mount(&mounts).ok_or(Error::NoCgroup2)
}

fn cgroup2_mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (place, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
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
    fn each_missing_right_is_named() {
        #[track_caller]
        fn check(mask: u64, expected: &[&str]) {
            assert_eq!(missing(mask), expected);
        }
        check(u64::MAX, &[]);
        check(SYS_ADMIN | 1 << 12, &[]);
        check(SYS_ADMIN, &["CAP_NET_ADMIN"]);
        check(1 << 12 | 1 << 39, &["CAP_PERFMON (or CAP_SYS_ADMIN)"]);
        check(0, &RIGHTS.map(|(name, _)| name));
    }

    #[test]
    fn the_cgroup2_mount_is_found_wherever_it_is() {
        #[track_caller]
        fn check(mounts: &str, expected: Option<&str>) {
            assert_eq!(cgroup2_mount(mounts), expected.map(PathBuf::from));
        }
        check("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n", None);
        check(
            "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\nx /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
            Some("/sys/fs/cgroup/unified"),
        );
        check("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0", Some("/sys/fs/cgroup"));
    }
}
