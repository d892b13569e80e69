//! What this process may do, asked before anything is tried: capabilities, and the limit on locked
//! memory. Called first of all by the agent and by the verbs that open tables.

use std::{fs, io, process};

use aya::util::KernelVersion;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::Error;

/// Capabilities, with the bits that give them.
type Rights = [(&'static str, u64)];

const SYS_ADMIN: u64 = 1 << 21;

/// What loading and attaching takes. The old all-embracing right includes what was split from it.
const NEEDED: &Rights = &[
    ("CAP_NET_ADMIN", 1 << 12),
    ("CAP_BPF (or CAP_SYS_ADMIN)", 1 << 39 | SYS_ADMIN),
    ("CAP_PERFMON (or CAP_SYS_ADMIN)", 1 << 38 | SYS_ADMIN),
];

/// What reaching sockets in pods takes: entering their network namespaces, and opening these by way
/// of other users' processes.
const FOR_PODS: &Rights = &[("CAP_SYS_ADMIN", SYS_ADMIN), ("CAP_SYS_PTRACE", 1 << 19)];

/// Later kernels count tables against memory as all else.
const TABLES_ARE_LOCKED_MEMORY_BEFORE: KernelVersion = KernelVersion::new(5, 11, 0);

/// Checks that this process may load and attach programs.
///
/// # Errors
///
/// Names every missing capability.
pub fn check() -> Result<(), Error> {
    match missing(NEEDED, effective()?) {
        rights if rights.is_empty() => Ok(()),
        rights => Err(Error::Rights(rights)),
    }
}

/// What this process lacks to close sockets in pods; nothing if it may. Nothing else needs it.
///
/// # Errors
///
/// The rights could not be read.
pub fn missing_for_pods() -> Result<Vec<&'static str>, Error> {
    let mut rights = missing(FOR_PODS, effective()?);
    if process::id() == 1 {
        // In a container whose processes are counted by themselves nobody else's can be seen.
        rights.push("the host's process IDs (hostPID)");
    }
    Ok(rights)
}

/// Lifts the limit on locked memory where tables count against it.
///
/// # Errors
///
/// [`Error::Rights`].
pub fn lift_memory_limit() -> Result<(), Error> {
    let lifted = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok();
    let version = KernelVersion::current().unwrap_or(TABLES_ARE_LOCKED_MEMORY_BEFORE);
    if lifted || version >= TABLES_ARE_LOCKED_MEMORY_BEFORE {
        return Ok(());
    }
    Err(Error::Rights(vec!["CAP_SYS_RESOURCE (on kernels before 5.11)"]))
}

fn effective() -> Result<u64, Error> {
    let status = fs::read_to_string("/proc/self/status").map_err(Error::ReadRights)?;
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .ok_or_else(|| Error::ReadRights(io::Error::other("no line CapEff")))
}

fn missing(rights: &Rights, mask: u64) -> Vec<&'static str> {
    rights.iter().filter(|(_, any_of)| mask & any_of == 0).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_right_is_named() {
        #[track_caller]
        fn check(rights: &Rights, mask: u64, expected: &[&str]) {
            assert_eq!(missing(rights, mask), expected);
        }
        check(NEEDED, u64::MAX, &[]);
        check(NEEDED, 1 << 12 | 1 << 38 | 1 << 39, &[]);
        check(NEEDED, SYS_ADMIN | 1 << 12, &[]);
        check(NEEDED, SYS_ADMIN, &["CAP_NET_ADMIN"]);
        check(NEEDED, 1 << 12 | 1 << 39, &["CAP_PERFMON (or CAP_SYS_ADMIN)"]);
        check(NEEDED, 0, &NEEDED.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        check(FOR_PODS, SYS_ADMIN | 1 << 19, &[]);
        check(FOR_PODS, 1 << 12 | 1 << 38 | 1 << 39, &["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"]);
    }
}
