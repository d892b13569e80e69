//! What the kernel has charged to a control group for memory of its own: rules, sets, tables. It stays
//! charged for as long as they are there, whoever made them.

use std::{fs, path::PathBuf, process};

use anyhow::{Context as _, Result};

/// A control group that this process stays in until the value goes.
pub struct Account {
    folder: PathBuf,
    /// Where this process was before.
    home: PathBuf,
    /// The file that says it.
    usage: &'static str,
}

impl Account {
    /// Opens one and enters it; `None` where the machine does not account.
    pub fn open() -> Result<Option<Self>> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let Some((mount, path)) = place(&mounts, &own) else { return Ok(None) };
        let home = mount.join(path.trim_start_matches('/'));
        let folder = mount.join(format!("sluice-bench-{}", process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let account = Self { folder, home, usage: "memory.kmem.usage_in_bytes" };
        if !account.folder.join(account.usage).exists() {
            return Ok(None);
        }
        fs::write(account.folder.join("cgroup.procs"), process::id().to_string())?;
        Ok(Some(account))
    }

    /// Bytes that are charged now.
    pub fn bytes(&self) -> Result<f64> {
        let text = fs::read_to_string(self.folder.join(self.usage))?;
        Ok(text.trim().parse()?)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // What stays charged goes with what it is for.
        let _ = fs::write(self.home.join("cgroup.procs"), process::id().to_string());
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The memory controller's mount and this process' place below it, where it has a hierarchy of its
/// own.
fn place(mounts: &str, own: &str) -> Option<(PathBuf, String)> {
    let mount = mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut words = right.split(' ');
        let is_memory = words.next() == Some("cgroup")
            && words.next_back()?.split(',').any(|option| option == "memory");
        is_memory.then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })?;
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|one| one == "memory").then(|| path.to_owned())
    })?;
    Some((mount, path))
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn the_hierarchy_of_the_memory_controller_is_found() {
        let mounts = "30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let own = "4:memory:/a/b\n2:cpu:/\n0::/\n";
        let expected = ("/sys/fs/cgroup/memory".into(), "/a/b".to_owned());
        assert_eq!(place(mounts, own), Some(expected));
        let unified = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(place(unified, "0::/a\n"), None);
    }
}
