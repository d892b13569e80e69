//! What a privileged test needs of the machine: capabilities of this process, and bpffs.

use anyhow::{Context as _, Result, bail};
use nix::mount::{MsFlags, mount};
use std::fs;

const BPFFS: &str = "/sys/fs/bpf";

/// A capability, by the number the kernel knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    bit: u32,
    name: &'static str,
}

const SYS_ADMIN: Capability = Capability { bit: 21, name: "CAP_SYS_ADMIN" };

/// What loading and attaching programs takes, among namespaces and cgroups of our own.
pub const NAMESPACES: &[Capability] = &[
    Capability { bit: 12, name: "CAP_NET_ADMIN" },
    SYS_ADMIN,
    Capability { bit: 38, name: "CAP_PERFMON" },
    Capability { bit: 39, name: "CAP_BPF" },
];

/// Fails naming every capability of `wanted` that this process lacks.
pub fn demand(wanted: &[Capability]) -> Result<()> {
    let status = fs::read_to_string("/proc/self/status").context("cannot read our own rights")?;
    let missing = missing(&status, wanted)?;
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|capability| capability.name).collect();
        bail!("{} missing: run it as root", names.join(", "));
    }
    Ok(())
}

/// Mounts bpffs where everybody expects it, unless it is there.
pub fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read the mounts")?;
    if has_bpffs(&mounts) {
        return Ok(());
    }
    println!("mounting bpffs at {BPFFS}");
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount bpffs at {BPFFS}"))
}

fn missing(status: &str, wanted: &[Capability]) -> Result<Vec<Capability>> {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .context("the kernel does not tell our capabilities")?;
    let mask = u64::from_str_radix(mask.trim(), 16)?;
    let has = |capability: Capability| mask >> capability.bit & 1 == 1;
    // The old all-embracing right stands for the two that were split from it.
    let implied = |capability: Capability| capability.bit >= 38 && has(SYS_ADMIN);
    Ok(wanted.iter().copied().filter(|one| !has(*one) && !implied(*one)).collect())
}

fn has_bpffs(mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(BPFFS) && fields.next() == Some("bpf")
    })
}

#[cfg(test)]
mod tests {
    use super::{NAMESPACES, has_bpffs, missing};

    #[track_caller]
    fn check(mask: u64, expected: &[&str]) {
        let status = format!("Name:\tx\nCapEff:\t{mask:016x}\nCapBnd:\t0\n");
        let names: Vec<_> = missing(&status, NAMESPACES)
            .unwrap()
            .iter()
            .map(|capability| capability.name)
            .collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn the_missing_rights_are_named() {
        check(0, &["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF"]);
        check(1 << 12 | 1 << 38 | 1 << 39, &["CAP_SYS_ADMIN"]);
        check(1 << 12 | 1 << 21, &[]);
    }

    #[test]
    fn bpffs_counts_only_at_its_usual_place() {
        assert!(has_bpffs("none /sys/fs/bpf bpf rw 0 0\n"));
        assert!(!has_bpffs("none /mnt/bpf bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\n"));
    }
}
