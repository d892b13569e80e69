//! Where the figures were taken: without it they mean nothing.

use std::{
    fs,
    process::Command,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::command;

/// The machine, as far as it bears on figures.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// Processors at our disposal.
    pub processors: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The load average over one minute when measuring began: who else was at work.
    pub load: String,
    /// Seconds of the Unix epoch when measuring began.
    pub began_s: u64,
    /// The sources' commit.
    pub commit: String,
}

impl Machine {
    /// This one, now.
    pub fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let kib =
            field(&read("/proc/meminfo"), "MemTotal").split(' ').next().map(str::parse::<u64>);
        let git = ["rev-parse", "--short", "HEAD"];
        let mut git_command = Command::new("git");
        let commit = command::capture(git_command.args(git).current_dir(crate::workspace::root()));
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            processors: thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kib.and_then(Result::ok).unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            began_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
            commit: commit.unwrap_or_else(|_| "unknown".to_owned()),
        }
    }
}

/// The value behind the first `name:` of a file of /proc.
pub fn field(text: &str, name: &str) -> String {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.into_iter().find(|(key, _)| key.trim() == name);
    found.map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_of_proc_are_found_by_their_whole_name() {
        let status = "VmRSS:\t  123 kB\nRssAnon:\t 45 kB\nmodel name\t: A: B\n";
        for (name, expected) in
            [("VmRSS", "123 kB"), ("RssAnon", "45 kB"), ("model name", "A: B"), ("Rss", "")]
        {
            assert_eq!(field(status, name), expected);
        }
    }
}
