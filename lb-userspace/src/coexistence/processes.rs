//! Processes called kube-proxy that share this network namespace.

use std::{
    fs,
    path::{Path, PathBuf},
};

const NAME: &str = "kube-proxy";

/// Their numbers. Those whose namespace may not be looked at are passed over: on a machine with
/// several clusters they may be another one's, and their ports will tell.
pub(super) fn find() -> Vec<u32> {
    let Ok(own) = namespace("/proc/thread-self") else { return Vec::new() };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_one = |pid: &u32| {
        let process = format!("/proc/{pid}");
        let name = fs::read_to_string(format!("{process}/comm")).unwrap_or_default();
        name.trim_end() == NAME && namespace(process).is_ok_and(|other| other == own)
    };
    let mut found: Vec<_> = numbers.filter(is_one).collect();
    found.sort_unstable();
    found
}

fn namespace(process: impl AsRef<Path>) -> std::io::Result<PathBuf> {
    fs::read_link(process.as_ref().join("ns/net"))
}
