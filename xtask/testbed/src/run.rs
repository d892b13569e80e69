//! The name of one cluster, and everything that outlives its process if that is killed: network
//! namespaces, cgroups, pins and a folder for files all carry the name, so that a later process
//! can tell whose they are. [`sweep`] removes what processes left that no longer live.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    cgroup,
    error::{During, Result},
    netns, pins,
};

const PREFIX: &str = "sluice-";

/// `sluice-<pid>` for a process's first cluster, `sluice-<pid>-<n>` for further ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunName(String);

impl RunName {
    /// A name that no other cluster has.
    pub fn next() -> Self {
        static CLUSTERS: AtomicU32 = AtomicU32::new(0);
        let pid = process::id();
        match CLUSTERS.fetch_add(1, Ordering::Relaxed) {
            0 => Self(format!("{PREFIX}{pid}")),
            earlier => Self(format!("{PREFIX}{pid}-{}", earlier + 1)),
        }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of something in this cluster.
    pub fn of(&self, what: &str) -> String {
        format!("{}-{what}", self.0)
    }
}

/// The process whose cluster a name belongs to.
fn owner(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(PREFIX)?;
    let end = digits.find('-').unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// A folder for a cluster's files (logs, manifests), removed with it.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    pub(crate) fn create(name: &RunName) -> Result<Self> {
        let path = std::env::temp_dir().join(name.as_str());
        fs::create_dir_all(&path).during("create", path.display())?;
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // What is left here the next sweep removes; there is nobody to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what processes left behind that no longer live: first the processes they started,
/// then namespaces, pins, cgroups and files. Returns what was removed.
pub fn sweep() -> Result<Vec<String>> {
    let mut removed = Vec::new();
    let mut note = |path: &Path| removed.push(path.display().to_string());
    for path in leftovers(&cgroup::root()?)? {
        cgroup::remove_tree(&path)?;
        note(&path);
    }
    for path in leftovers(Path::new(netns::FOLDER))? {
        netns::remove(&path)?;
        note(&path);
    }
    for folder in [Path::new(pins::ROOT), &std::env::temp_dir()] {
        for path in leftovers(folder)? {
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).during("remove", path.display());
                }
                _ => note(&path),
            }
        }
    }
    Ok(removed)
}

/// Entries of a folder that belong to a process that no longer lives.
fn leftovers(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).during("list", folder.display()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.during("list", folder.display())?;
        if entry.file_name().to_str().and_then(owner).is_some_and(|pid| !lives(pid)) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether a process is there and more than an exit status nobody has asked for.
fn lives(pid: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The program's name, in parentheses before the state, may hold anything.
    let state = status.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.starts_with(['Z', 'X'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_read_from_any_name_made_for_a_cluster() {
        for (name, expected) in [
            ("sluice-17", Some(17)),
            ("sluice-17-node1", Some(17)),
            ("sluice-17-2-node1", Some(17)),
            ("sluice-node1", None),
            ("sluice", None),
            ("sluice-", None),
            ("other-17", None),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }

    #[test]
    fn two_clusters_of_one_process_have_different_names_and_the_same_owner() {
        let (first, second) = (RunName::next(), RunName::next());
        assert_ne!(first, second);
        assert_eq!(owner(&first.of("node1")), Some(process::id()));
        assert_eq!(owner(second.as_str()), Some(process::id()));
    }
}
