//! This process as the kernel accounts for it, read at each scrape.

use std::{fmt, fs};

use nix::sys::resource::{Resource, getrlimit};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

/// Parts of a second in which the kernel reports times to programs, on every machine there is.
const TICKS_A_SECOND: f64 = 100.0;

/// The collector of `process_*`.
#[derive(Debug)]
pub struct Process;

/// What is told of a process.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Account {
    cpu_s: f64,
    started_s: f64,
    resident_bytes: f64,
    virtual_bytes: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let account = read("/proc/self/stat")
            .zip(read("/proc/self/status"))
            .zip(read("/proc/stat"))
            .and_then(|((own, status), machine)| account(&own, &status, &machine));
        if let Some(account) = account {
            let (name, help) = ("process_cpu_seconds", "Processor time used");
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(account.cpu_s).encode(metric)?;
        }
        let descriptors = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
        let limit = getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft as f64);
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "When the process started, since 1970",
                account.map(|account| account.started_s),
            ),
            (
                "process_resident_memory_bytes",
                "Memory in use",
                account.map(|account| account.resident_bytes),
            ),
            (
                "process_virtual_memory_bytes",
                "Address space in use",
                account.map(|account| account.virtual_bytes),
            ),
            ("process_open_fds", "Open file descriptors", descriptors),
            ("process_max_fds", "File descriptors that may be open", limit),
        ] {
            let Some(value) = value else { continue };
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        Ok(())
    }
}

/// From the texts of `/proc/self/stat`, `/proc/self/status` and `/proc/stat`.
fn account(own: &str, status: &str, machine: &str) -> Option<Account> {
    // The program's name may hold anything, also spaces; it ends at the last parenthesis.
    let fields: Vec<&str> = own.rsplit_once(") ")?.1.split(' ').collect();
    // Fields are counted from 1 in proc_pid_stat(5), of which two are gone.
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let kibibytes = |key: &str| {
        let text = status.lines().find_map(|line| line.strip_prefix(key))?;
        text.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    };
    let booted = machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(Account {
        cpu_s: (ticks(14)? + ticks(15)?) / TICKS_A_SECOND,
        started_s: booted.trim().parse::<f64>().ok()? + ticks(22)? / TICKS_A_SECOND,
        resident_bytes: kibibytes("VmRSS:")? * 1024.0,
        virtual_bytes: kibibytes("VmSize:")? * 1024.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let own = "7 (a) b (c) S 1 7 7 0 -1 4194560 2 0 0 0 150 50 9 9 20 0 3 0 250 8192 5 99";
        let status = "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t      12 kB\n";
        let machine = "cpu 1 2 3\nbtime 1700000000\nprocesses 4\n";
        let expected = Account {
            cpu_s: 2.0,
            started_s: 1_700_000_002.5,
            resident_bytes: 12_288.0,
            virtual_bytes: 2_097_152.0,
        };
        assert_eq!(account(own, status, machine), Some(expected));
        assert_eq!(account("", status, machine), None);
    }
}
