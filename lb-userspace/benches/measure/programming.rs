//! From objects in memory to tables in the kernel: all of them into empty tables, then one endpoint
//! at a time; and what it takes to compare the tables with what was written.
//!
//! Making the empty tables and loading the programs is timed by itself: an agent does it once, at
//! its very first start. Pictures are made outside of all times: they are the source's work.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lb_testbed::{Cluster, Families, Launcher};
use lb_userspace::{
    kernel::Pins,
    model::{IpFamily, Picture},
};
use serde_json::{Value, json};

use crate::{
    population::{self, Looks},
    sync::{self, Loop, Pass},
};

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
    /// How often the tables are compared with what was written
    #[arg(long, default_value_t = 5)]
    audits: u32,
}

/// The verb.
pub fn measure(args: &Args) -> Result<Value> {
    lb_testbed::require_rights()?;
    // Nothing but its folder of pins is used.
    let cluster =
        Cluster::builder(Launcher::beside_tests()?).families(Families::V4).nodes(1).build()?;
    let sizes = sync::sizes(args.services, args.endpoints);
    let looks = Looks::plain(args.endpoints);
    let picture = Arc::new(population::picture(args.services, &looks));
    let pins = Pins::new(&cluster.pins("node1")?);
    let (mut creations, mut loads) = (Vec::new(), Vec::new());
    let (mut empty, mut full) = Default::default();
    let mut last = None;
    for _ in 0..args.loads {
        // The tables of the round before go first.
        drop(last.take());
        pins.prepare()?;
        let (mut sync, created) = Loop::new(&pins, sizes)?;
        empty = sync::tables(&pins, &sizes)?;
        let pass = sync.take(Arc::clone(&picture))?;
        sync.expect(args.services)?;
        full = sync::tables(&pins, &sizes)?;
        creations.push(created);
        loads.push(pass);
        last = Some(sync);
        std::fs::remove_dir_all(pins.root()).context("removing the pins")?;
    }
    let mut sync = last.context("nothing was loaded")?;
    let changes = change(&mut sync, picture, &looks, args)?;
    let audits: Vec<_> = (0..args.audits).map(|_| sync.audit()).collect::<Result<_>>()?;
    let (rows, entries): (Vec<_>, Vec<_>) = audits.into_iter().unzip();
    Ok(json!({
        "services": args.services,
        "endpoints": args.endpoints,
        "creation": nanoseconds(&creations),
        "load": Pass::json(&loads),
        "change": Pass::json(&changes),
        "audit": {"rows": nanoseconds(&rows), "entries": nanoseconds(&entries)},
        "tables": {"empty": empty, "full": full},
    }))
}

/// Takes an endpoint from one service after another, in no order that memory likes, and gives it
/// back.
fn change(sync: &mut Loop, picture: Arc<Picture>, looks: &Looks, args: &Args) -> Result<Vec<Pass>> {
    /// Coprime to any round number of services.
    const STEP: u64 = 7_919;
    let mut passes = Vec::new();
    let mut now = picture;
    for number in 0..args.changes {
        let service = (u64::from(number / 2) * STEP % u64::from(args.services)) as u32;
        let all = looks.numbers(service);
        let back = number % 2;
        let slice = looks.slice(service, IpFamily::V4, all.start..all.end - (1 - back));
        let mut next = Picture::clone(&now);
        next.slices.insert(looks.name(service), [Arc::new(slice)].into());
        now = Arc::new(next);
        let pass = sync.take(Arc::clone(&now))?;
        ensure!(pass.ops > 0, "a change that changed nothing");
        passes.push(pass);
    }
    Ok(passes)
}

fn nanoseconds(times: &[Duration]) -> Vec<u128> {
    times.iter().map(Duration::as_nanos).collect()
}
