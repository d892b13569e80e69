//! Network namespaces with a name under /run/netns, so that people can look into them with
//! `nsenter --net=/run/netns/NAME`. Code enters one on a thread of its own and cannot take the
//! namespace back out with it.

use std::{
    fs::{self, File},
    io,
    os::fd::AsFd,
    panic,
    path::{Path, PathBuf},
    thread,
};

use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
};

use crate::{
    error::{During, Error, Result},
    run::RunName,
};

/// Where named namespaces are.
pub const FOLDER: &str = "/run/netns";

/// The namespace of the calling thread, which need not be that of its process.
const OWN: &str = "/proc/thread-self/ns/net";

/// A namespace made by this process; removed with the value.
#[derive(Debug)]
pub struct Netns {
    path: PathBuf,
}

impl Netns {
    /// Makes `/run/netns/<run>-<place>`, with nothing in it but a loopback device that is down.
    pub(crate) fn create(run: &RunName, place: &str) -> Result<Self> {
        fs::create_dir_all(FOLDER).during("create", FOLDER)?;
        let path = Path::new(FOLDER).join(run.of(place));
        File::create_new(&path).during("create", path.display())?;
        // From here on the guard removes the file, whatever happens.
        let namespace = Self { path };
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).during("unshare", "the network namespace")?;
            mount(Some(OWN), &namespace.path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .during("mount a namespace on", namespace.path.display())
        })?;
        Ok(namespace)
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` inside.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        enter(&self.path, work)
    }

    /// How often TCP has repeated a connection's first packet in here.
    pub fn repeated_first_packets(&self) -> Result<u64> {
        const COUNTERS: &str = "/proc/thread-self/net/netstat";
        let read = || fs::read_to_string(COUNTERS).during("read", COUNTERS);
        let unknown = || Error::Unknown { what: format!("TCPSynRetrans in {COUNTERS}") };
        counter(&self.enter(read)?, "TcpExt: ", "TCPSynRetrans").ok_or_else(unknown)
    }

    /// Sets a value under /proc/sys/net; `key` is written with slashes.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        self.enter(|| {
            let path = Path::new("/proc/sys/net").join(key);
            fs::write(&path, value).during("write", path.display())
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        // A namespace that stays is found by the next sweep; there is nobody to tell.
        let _ = remove(&self.path);
    }
}

/// A counter of a table of the kernel's in which two lines begin alike: names, and numbers.
fn counter(table: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix(group));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let (_, number) = names.split(' ').zip(numbers.split(' ')).find(|(one, _)| *one == name)?;
    number.parse().ok()
}

/// Runs `work` in the namespace that a file stands for.
pub fn enter<T: Send>(path: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_own_thread(|| {
        join(path)?;
        work()
    })
}

/// Moves the calling thread into a namespace, for good.
pub(crate) fn join(path: &Path) -> Result<()> {
    let file = File::open(path).during("open", path.display())?;
    setns(file.as_fd(), CloneFlags::CLONE_NEWNET).during("enter", path.display())
}

/// Takes the name away; the namespace goes when its last process and device reference does.
pub(crate) fn remove(path: &Path) -> Result<()> {
    // EINVAL: made by somebody who died between making the file and mounting on it. ENOENT: two
    // sweeps at a time.
    match umount2(path, MntFlags::MNT_DETACH) {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => return Err(errno).during("unmount", path.display()),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).during("remove", path.display())
        }
        _ => Ok(()),
    }
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panicked) => panic::resume_unwind(panicked),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_below_their_names() {
        let table = "Other: A B\nOther: 1 2\nTcpExt: A B C\nTcpExt: 3 4 5\n";
        for (group, name, expected) in [
            ("TcpExt: ", "A", Some(3)),
            ("TcpExt: ", "C", Some(5)),
            ("Other: ", "B", Some(2)),
            ("Other: ", "C", None),
            ("None: ", "A", None),
        ] {
            assert_eq!(counter(table, group, name), expected, "{group}{name}");
        }
    }
}
