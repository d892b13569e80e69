//! From objects in memory to tables in the kernel: all of them into empty tables, then one endpoint
//! at a time. What is done is what `reconcile` does with a picture from a source, step by step, so
//! that each step can be timed; logging and channels are left out.
//!
//! Making the empty tables and loading the programs is timed by itself: an agent does it once, at
//! its very first start. Pictures are made outside of all times: they are the source's work.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lb_common::{limits, settings::flags};
use lb_testbed::{Cluster, Families, Launcher};
use lb_userspace::{
    kernel::{OBJECT, Pins, Programs, Settings, Sizes, sys::Access},
    maps::{self, KernelTables, Tables as _},
    model::{Model, Node, Picture, ServiceName},
    plan::{Capacities, Plan, Planner},
};
use serde_json::{Value, json};

use crate::population;

/// How much is measured.
#[derive(clap::Args)]
pub struct Args {
    /// Services
    #[arg(long, default_value_t = 10_000)]
    services: u32,
    /// Endpoints of each
    #[arg(long, default_value_t = 4)]
    endpoints: u32,
    /// How often everything is loaded, each time into new tables
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    loads: u32,
    /// Changes of one endpoint
    #[arg(long, default_value_t = 2_000)]
    changes: u32,
}

/// Model, planner and tables, as the loop has them.
struct Loop {
    model: Model,
    planner: Planner,
    tables: KernelTables,
}

/// What became of one picture.
#[derive(Default)]
struct Pass {
    model: Duration,
    plan: Duration,
    write: Duration,
    ops: usize,
    /// Operations that take a system call; the others are stores to memory.
    calls: usize,
}

impl Pass {
    fn total(&self) -> Duration {
        self.model + self.plan + self.write
    }
}

/// The verb.
pub fn measure(args: &Args) -> Result<Value> {
    lb_testbed::require_rights()?;
    // Nothing but its folder of pins is used.
    let cluster =
        Cluster::builder(Launcher::beside_tests()?).families(Families::V4).nodes(1).build()?;
    let picture = Arc::new(population::picture(args.services, args.endpoints));
    let (mut creations, mut loads) = (Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..args.loads {
        // The tables of the round before go first.
        drop(last.take());
        let pins = Pins::new(&cluster.pins("node1")?);
        pins.prepare()?;
        let (mut sync, created) = Loop::new(&pins)?;
        let pass = sync.take(Arc::clone(&picture))?;
        let usage = sync.planner.usage();
        ensure!(usage.services == args.services, "only {} services fitted", usage.services);
        creations.push(created);
        loads.push(pass);
        last = Some(sync);
        std::fs::remove_dir_all(pins.root()).context("removing the pins")?;
    }
    let mut sync = last.context("nothing was loaded")?;
    let changes = change(&mut sync, picture, args)?;
    Ok(json!({
        "services": args.services,
        "endpoints": args.endpoints,
        "creation": creations.iter().map(Duration::as_nanos).collect::<Vec<_>>(),
        "load": passes(&loads),
        "change": passes(&changes),
    }))
}

impl Loop {
    /// On new, empty tables; and how long it took to make them.
    fn new(pins: &Pins) -> Result<(Self, Duration)> {
        let started = Instant::now();
        let settings = Settings {
            sizes: Sizes::default(),
            flags: flags::SET_RETVAL,
            node_ports: (limits::NODE_PORT_FIRST, limits::NODE_PORT_LAST),
            snat_ports: (limits::SNAT_PORT_FIRST, limits::SNAT_PORT_LAST),
        };
        // The pins keep the tables; nothing is attached, so the programs may go.
        Programs::load(OBJECT, &settings, pins)?;
        let tables = KernelTables::open(&pins.maps(), Access::Write, true)?;
        let created = started.elapsed();
        let model = Model::new(Node { name: "node-0".into(), zone: None });
        Ok((Self { model, planner: Planner::new(Capacities::default()), tables }, created))
    }

    /// Brings a picture into the tables.
    fn take(&mut self, picture: Arc<Picture>) -> Result<Pass> {
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
}

/// Takes an endpoint from one service after another, in no order that memory likes, and gives it
/// back.
fn change(sync: &mut Loop, picture: Arc<Picture>, args: &Args) -> Result<Vec<Pass>> {
    /// Coprime to any round number of services.
    const STEP: u32 = 7_919;
    let mut passes = Vec::new();
    let mut now = picture;
    for number in 0..args.changes {
        let service = (number / 2 * STEP) % args.services;
        let (first, end) = (service * args.endpoints, (service + 1) * args.endpoints);
        let back = number % 2;
        let slice = population::slice(service, first..end - (1 - back));
        let mut next = Picture::clone(&now);
        next.slices.insert(population::name(service), [Arc::new(slice)].into());
        now = Arc::new(next);
        let pass = sync.take(Arc::clone(&now))?;
        ensure!(pass.ops > 0, "a change that changed nothing");
        passes.push(pass);
    }
    Ok(passes)
}

fn passes(all: &[Pass]) -> Value {
    let times = |of: fn(&Pass) -> Duration| -> Vec<u128> {
        all.iter().map(|pass| of(pass).as_nanos()).collect()
    };
    json!({
        "model": times(|pass| pass.model),
        "plan": times(|pass| pass.plan),
        "write": times(|pass| pass.write),
        "total": times(Pass::total),
        "ops": all.iter().map(|pass| pass.ops).collect::<Vec<_>>(),
        "calls": all.iter().map(|pass| pass.calls).collect::<Vec<_>>(),
    })
}
