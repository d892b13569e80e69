//! What a container runtime does for a process, as far as rights and files go: a root that cannot
//! be written, with volumes of the machine's folders, and no capabilities but those that are listed.
//! Namespaces of processes and users are not made, and system calls are not filtered.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::OpenOptionsExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    fcntl::OFlag,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::chroot,
};
use serde::{Deserialize, Serialize};

use crate::error::{During, Error, Result};

/// A container that one program is to run in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Container {
    /// What it may do, as manifests have it: without `CAP_`.
    pub capabilities: Vec<String>,
    /// What it sees of the machine.
    pub volumes: Vec<Volume>,
}

/// A folder of the machine in a container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// Where the machine has it.
    pub host: PathBuf,
    /// Where the container has it.
    pub inside: PathBuf,
    /// The container cannot write it.
    pub read_only: bool,
}

/// Where the root is put together: on a mount that every machine has and that can be cut off from
/// the machine's own, wherever our root may be.
const MOUNT: &str = "/sys";
const ROOT: &str = "/sys/fs";
/// Where the program is in the container.
const PROGRAM: &str = "/program";
/// What a program that is not static needs, and where the kernel tells of itself.
const OF_THE_MACHINE: [&str; 4] = ["/usr", "/lib", "/lib64", "/proc"];
const SETPRIV: &str = "/usr/bin/setpriv";

impl Container {
    /// Where the container has a path of the machine; nowhere: the path itself.
    pub(crate) fn inside(&self, path: &Path) -> PathBuf {
        let seen =
            |volume: &Volume| Some(volume.inside.join(path.strip_prefix(&volume.host).ok()?));
        self.volumes.iter().find_map(seen).unwrap_or_else(|| path.to_path_buf())
    }

    /// Becomes a program in the container; returns only if that fails.
    pub(super) fn run(&self, program: &OsString, arguments: &[OsString]) -> Error {
        if let Err(error) = self.enter(Path::new(program)) {
            return error;
        }
        let named = self.capabilities.iter().map(|name| format!(",+{}", name.to_lowercase()));
        let source = Command::new(SETPRIV)
            .arg(format!("--bounding-set=-all{}", named.collect::<String>()))
            .args(["--inh-caps=-all", "--no-new-privs", PROGRAM])
            .args(arguments)
            .exec();
        Error::System { operation: "run", object: SETPRIV.into(), source }
    }

    fn enter(&self, program: &Path) -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNS).during("unshare", "mounts")?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, MOUNT, None::<&str>, private, None::<&str>).during("cut off", MOUNT)?;
        // Opened first, as the new root covers some of them.
        let volumes = self.volumes.iter().map(|volume| Ok((open(&volume.host)?, volume)));
        let volumes = volumes.collect::<Result<Vec<_>>>()?;
        let kernel = open(Path::new(MOUNT))?;
        let program = open(program)?;

        let root = Path::new(ROOT);
        mount(Some("tmpfs"), root, Some("tmpfs"), MsFlags::empty(), None::<&str>)
            .during("mount a root on", ROOT)?;
        for path in OF_THE_MACHINE.map(Path::new).into_iter().filter(|path| path.is_dir()) {
            bind(&open(path)?, &place(root, path)?, MsFlags::MS_REC, true)?;
        }
        // Without what is mounted in it.
        bind(&kernel, &place(root, Path::new(MOUNT))?, MsFlags::empty(), true)?;
        for (folder, volume) in volumes {
            bind(&folder, &place(root, &volume.inside)?, MsFlags::MS_REC, volume.read_only)?;
        }
        let to = below(root, Path::new(PROGRAM));
        File::create(&to).during("create", to.display())?;
        bind(&program, &to, MsFlags::empty(), true)?;
        read_only(root)?;
        chroot(root).during("enter", ROOT)?;
        std::env::set_current_dir("/").during("enter", ROOT)
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    let mut options = File::options();
    options.read(true).custom_flags(OFlag::O_PATH.bits());
    options.open(path).map(OwnedFd::from).during("open", path.display())
}

/// A path of the container, seen from outside.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// A folder to mount on.
fn place(root: &Path, path: &Path) -> Result<PathBuf> {
    let place = below(root, path);
    fs::create_dir_all(&place).during("create", place.display())?;
    Ok(place)
}

fn bind(what: &OwnedFd, to: &Path, depth: MsFlags, is_read_only: bool) -> Result<()> {
    let from = format!("/proc/self/fd/{}", what.as_raw_fd());
    mount(Some(from.as_str()), to, None::<&str>, MsFlags::MS_BIND | depth, None::<&str>)
        .during("mount a folder on", to.display())?;
    if is_read_only { read_only(to) } else { Ok(()) }
}

fn read_only(mounted: &Path) -> Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, mounted, None::<&str>, flags, None::<&str>)
        .map_err(io::Error::from)
        .during("make read-only", mounted.display())
}
