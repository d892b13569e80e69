//! What can go wrong between the agent and the kernel's programs, hooks and pins.

use std::{io, path::PathBuf};

use aya::{EbpfError, maps::MapError, pin::PinError, programs::ProgramError};

/// See the variants.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Kernel version below the floor.
    #[error("kernel {release} is too old: {major}.{minor} is the oldest that is supported")]
    KernelTooOld {
        /// What `uname -r` says.
        release: String,
        /// The floor.
        major: u8,
        /// The floor.
        minor: u8,
    },
    /// An ability without a fall-back is missing.
    #[error("this kernel has no {name}, which every kernel since {since} can have")]
    Feature {
        /// Its name.
        name: &'static str,
        /// The first version with it.
        since: &'static str,
    },
    /// A right is missing.
    #[error("missing {}: run as root or give the container these capabilities", .0.join(", "))]
    Rights(Vec<&'static str>),
    /// The rights could not be read.
    #[error("reading own capabilities from /proc/self/status")]
    ReadRights(#[source] io::Error),
    /// The folder for pins is on another filesystem.
    #[error(
        "{} is not on a bpf filesystem: choose a --pin-path below one; `mount -t bpf bpf \
         /sys/fs/bpf` makes one if there is none", .0.display()
    )]
    NotBpffs(PathBuf),
    /// bpffs could not be mounted.
    #[error("mounting a bpf filesystem at {}", path.display())]
    MountBpffs {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No cgroup v2 hierarchy.
    #[error(
        "no cgroup2 filesystem is mounted; mount one with `mount -t cgroup2 none /sys/fs/cgroup` \
         or name a cgroup with --cgroup"
    )]
    NoCgroup2,
    /// A folder that is no cgroup.
    #[error("{} is not a cgroup of a cgroup2 filesystem", .0.display())]
    NotCgroup2(PathBuf),
    /// A file operation failed.
    #[error("{operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another agent has the lock.
    #[error(
        "{} is in use by another agent; give each agent of a machine its own --pin-path",
        .0.display()
    )]
    InUse(PathBuf),
    /// The object was not accepted.
    #[error("loading the kernel object")]
    Object(#[source] EbpfError),
    /// The kernel refused the object's type information.
    #[error("the kernel refused the type information (BTF) of the kernel object")]
    BtfRefused,
    /// The object has no such program or map, or one of another kind.
    #[error("the kernel object has no {0} as it should be")]
    NotInObject(String),
    /// The object's table has another shape than the agent's.
    #[error("table {name} of the kernel object is a {difference}")]
    Shape {
        /// The table.
        name: &'static str,
        /// What differs.
        difference: String,
    },
    /// The kernel's verifier refused a program.
    #[error("the kernel's verifier refused program {program}: {summary}")]
    Verifier {
        /// The program.
        program: &'static str,
        /// The last line of the log that says something.
        summary: String,
        /// The whole log.
        log: String,
        /// The error number.
        #[source]
        source: io::Error,
    },
    /// A program could not be loaded for another reason.
    #[error("loading program {program}")]
    Program {
        /// The program.
        program: &'static str,
        /// Why.
        #[source]
        source: ProgramError,
    },
    /// A table could not be asked about.
    #[error("reading about table {name}")]
    Map {
        /// The table.
        name: &'static str,
        /// Why.
        #[source]
        source: MapError,
    },
    /// A table that is in use could not be pinned again.
    #[error("pinning table {name}")]
    Pin {
        /// The table.
        name: &'static str,
        /// Why.
        #[source]
        source: PinError,
    },
    /// A program could not be attached.
    #[error("attaching {program} to {target}")]
    Attach {
        /// The program.
        program: &'static str,
        /// A cgroup or a device.
        target: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The same, through the older interface of traffic control.
    #[error("attaching {program} to {target} as a clsact filter")]
    Filter {
        /// The program.
        program: &'static str,
        /// The device.
        target: String,
        /// Why.
        #[source]
        source: ProgramError,
    },
}

impl Error {
    pub(super) fn file(
        operation: &'static str,
        path: &std::path::Path,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::File { operation, path: path.to_path_buf(), source: source.into() }
    }
}
