//! What `reconcile` does with a picture from a source, step by step, so that each step can be
//! timed; logging and channels are left out.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lb_common::{limits, settings::flags};
use lb_userspace::{
    kernel::{MapSpec, OBJECT, Pins, Programs, Settings, Sizes, sys::Access},
    maps::{self, KernelTables, Tables as _},
    model::{Model, Node, Picture, Rejection, ServiceName},
    plan::{Capacities, Plan, Planner},
};
use serde_json::{Value, json};

/// Model, planner and tables, as the loop has them.
pub struct Loop {
    model: Model,
    planner: Planner,
    tables: KernelTables,
}

/// What became of one picture.
#[derive(Default)]
pub struct Pass {
    model: Duration,
    plan: Duration,
    write: Duration,
    pub ops: usize,
    /// Operations that take a system call; the others are stores to memory.
    calls: usize,
}

impl Pass {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.model + self.plan + self.write
    }

    /// Many of them, field by field.
    pub fn json(all: &[Self]) -> Value {
        let times = |of: fn(&Self) -> Duration| -> Vec<u128> {
            all.iter().map(|pass| of(pass).as_nanos()).collect()
        };
        json!({
            "model": times(|pass| pass.model),
            "plan": times(|pass| pass.plan),
            "write": times(|pass| pass.write),
            "total": times(Self::total),
            "ops": all.iter().map(|pass| pass.ops).collect::<Vec<_>>(),
            "calls": all.iter().map(|pass| pass.calls).collect::<Vec<_>>(),
        })
    }
}

/// Tables of their default sizes, larger only where these services would not fit.
pub fn sizes(services: u32, endpoints: u32) -> Sizes {
    let default = Sizes::default();
    // A change needs the new list beside the old one until the old one's readers are gone.
    let backends = services * endpoints + services * endpoints / 8;
    let services = services + services / 8;
    Sizes {
        services: services.max(default.services),
        backends: backends.max(default.backends),
        slots: backends.max(default.slots),
        name_cells: (4 * services).max(default.name_cells),
        frontends: (2 * services).max(default.frontends),
        ..default
    }
}

impl Loop {
    /// On new, empty tables; and how long it took to make them.
    pub fn new(pins: &Pins, sizes: Sizes) -> Result<(Self, Duration)> {
        let started = Instant::now();
        let settings = Settings {
            sizes,
            flags: flags::SET_RETVAL,
            node_ports: (limits::NODE_PORT_FIRST, limits::NODE_PORT_LAST),
            snat_ports: (limits::SNAT_PORT_FIRST, limits::SNAT_PORT_LAST),
        };
        // The pins keep the tables; nothing is attached, so the programs may go.
        Programs::load(OBJECT, &settings, pins)?;
        let tables = KernelTables::open(&pins.maps(), Access::Write, true)?;
        let created = started.elapsed();
        let model = Model::new(Node { name: "node-0".into(), zone: None });
        let capacities = Capacities {
            services: sizes.services,
            backends: sizes.backends,
            slots: sizes.slots,
            name_cells: sizes.name_cells,
            frontends: sizes.frontends,
            ..Capacities::default()
        };
        Ok((Self { model, planner: Planner::new(capacities), tables }, created))
    }

    /// Brings a picture into the tables.
    pub fn take(&mut self, picture: Arc<Picture>) -> Result<Pass> {
        let mut pass = Pass::default();
        let outdated = Arc::clone(self.model.picture());
        let started = Instant::now();
        let dirty: BTreeSet<ServiceName> = self.model.replace(picture);
        let wanted: Vec<_> = dirty
            .into_iter()
            .map(|name| {
                let ports = self.model.service_ports(&name);
                (name, ports)
            })
            .collect();
        pass.model = started.elapsed();
        let started = Instant::now();
        let Plan { ops, retired, .. } = self.planner.plan(wanted);
        pass.plan = started.elapsed();
        let started = Instant::now();
        self.tables.apply(&ops)?;
        pass.write = started.elapsed();
        drop(outdated);
        (pass.ops, pass.calls) = (ops.len(), ops.iter().filter(|op| maps::is_call(op)).count());
        // No program runs here, so every grace period is over.
        self.planner.release(retired);
        Ok(pass)
    }

    /// That all of so many services are in the tables.
    pub fn expect(&self, services: u32) -> Result<()> {
        ensure!(self.rows() == services, "only {} services fitted", self.rows());
        Ok(())
    }

    /// How many rows of services are in the tables.
    pub fn rows(&self) -> u32 {
        self.planner.usage().services
    }

    /// What could not be had.
    pub fn refused(&self) -> impl Iterator<Item = &Rejection> {
        self.planner.rejections()
    }

    /// Compares the tables with what was applied. Answers how long the rows took, and then the
    /// entries of hash tables, which is one portion of work.
    pub fn audit(&self) -> Result<(Duration, Duration)> {
        let started = Instant::now();
        let names = self.model.names();
        let drift: usize = names.map(|name| self.planner.drift_of_rows(name, &self.tables)).sum();
        let rows = started.elapsed();
        let started = Instant::now();
        let drift = drift + self.planner.drift_of_entries(&self.tables.entries()?);
        let entries = started.elapsed();
        ensure!(drift == 0, "{drift} entries are not what they were written as");
        Ok((rows, entries))
    }
}

/// What the kernel accounts for each table, in bytes.
pub fn tables(pins: &Pins, sizes: &Sizes) -> Result<Value> {
    let mut tables = Vec::new();
    for spec in MapSpec::all(sizes) {
        let map = aya::maps::MapData::from_pin(pins.map(spec.name))?;
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(map.fd()));
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
        let memlock = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let bytes: u64 = memlock.unwrap_or_default().trim().parse()?;
        tables.push(json!({
            "name": spec.name,
            "planned": spec.is_planned(),
            "entries": spec.max_entries,
            "bytes": bytes,
        }));
    }
    Ok(tables.into())
}
