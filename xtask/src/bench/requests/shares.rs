//! Who took the processors' time while something was measured: clients and servers share them with the
//! kernel's work that is to be compared, and what they take themselves hides differences in it. Where
//! other programs took much, spreads tell little but that.

use std::fs;

use anyhow::{Context as _, Result, bail};

/// Processor time in ticks: of clients and servers, and of the machine.
#[derive(Clone, Copy, Default)]
pub struct Ticks {
    user: u64,
    system: u64,
    machine_user: u64,
    machine: u64,
}

impl Ticks {
    /// Of these servers so far, and of all clients that have ended.
    pub fn of(servers: impl Iterator<Item = u32>) -> Result<Self> {
        // In /proc/PID/stat, counted from behind the name: user, system, and both of children.
        let (mut user, mut system) = of_process("self", 13)?;
        for server in servers {
            let (more_user, more_system) = of_process(&server.to_string(), 11)?;
            (user, system) = (user + more_user, system + more_system);
        }
        // The first line of /proc/stat: user, nice and further kinds of time of all processors.
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let machine: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let machine_user = machine.iter().take(2).sum();
        Ok(Self { user, system, machine_user, machine: machine.iter().sum() })
    }

    /// With what was taken between two looks.
    pub fn plus(self, before: Self, after: Self) -> Self {
        Self {
            user: self.user + after.user.saturating_sub(before.user),
            system: self.system + after.system.saturating_sub(before.system),
            machine_user: self.machine_user + after.machine_user - before.machine_user,
            machine: self.machine + after.machine - before.machine,
        }
    }

    /// What part of the clients' and servers' time was not the kernel's.
    pub fn own_percent(self) -> f64 {
        percent(self.user, self.user + self.system)
    }

    /// What part of the machine's time went to the code of other programs.
    pub fn others_percent(self) -> f64 {
        percent(self.machine_user.saturating_sub(self.user), self.machine)
    }
}

fn of_process(process: &str, field: usize) -> Result<(u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a process without state")?;
    let mut fields = fields.split(' ').skip(field).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok((user, system)),
        _ => bail!("a process without times"),
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
