//! Where the first limit is, by trying: more and more is asked of tables until something is refused.
//! What fitted must then stand in the tables as if nobody had asked for more.
//!
//! Services are doubled, all in one picture, and what is refused is counted; the endpoints of one
//! service are doubled until it is refused, and the most that fits is found by halves.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Result, bail, ensure};
use lb_testbed::{Cluster, Families, Launcher};
use lb_userspace::{
    kernel::{Pins, Sizes},
    model::Picture,
};
use serde_json::{Value, json};

use crate::{
    population::{self, Looks},
    sync::{self, Loop},
};

/// How much is measured.
#[derive(clap::Args)]
pub struct Args {
    /// Tables of other than their default sizes, too
    #[arg(long)]
    larger: bool,
}

/// What there is more and more of.
#[derive(Clone, Copy)]
enum Growth {
    Services,
    /// Of one service.
    Endpoints,
}

/// One way to ask for more.
struct Way {
    what: &'static str,
    growth: Growth,
    looks: Looks,
    sizes: Sizes,
}

/// A reason that was given, and how many had fitted before.
type Limit = (String, u32);

/// Beyond it nobody has a cluster, and whatever had no limit until then is said to have none.
const MOST: u32 = 1 << 22;
const FIRST: u32 = 1 << 12;
const CHANGES: usize = 40;

/// The verb.
pub fn measure(args: &Args) -> Result<Value> {
    lb_testbed::require_rights()?;
    // Nothing but its folder of pins is used.
    let cluster =
        Cluster::builder(Launcher::beside_tests()?).families(Families::V4).nodes(1).build()?;
    let pins = Pins::new(&cluster.pins("node1")?);
    let larger = if args.larger { larger_tables() } else { Vec::new() };
    let mut found = Vec::new();
    for way in default_tables().into_iter().chain(larger) {
        pins.prepare()?;
        let (mut sync, _) = Loop::new(&pins, way.sizes)?;
        let (limits, changes) = match way.growth {
            Growth::Services => services(&mut sync, &way.looks)?,
            Growth::Endpoints => (endpoints(&mut sync, way.looks)?, Vec::new()),
        };
        sync.audit()?;
        std::fs::remove_dir_all(pins.root())?;
        let limit = |(reason, fitted)| json!({ "fitted": fitted, "reason": reason });
        found.push(json!({
            "what": way.what,
            "limits": limits.into_iter().map(limit).collect::<Vec<_>>(),
            "changes": changes,
        }));
    }
    Ok(json!({ "ways": found }))
}

fn default_tables() -> Vec<Way> {
    let four = Looks::plain(4);
    let one = Looks::plain(1);
    let way = |growth, what, looks| Way { what, growth, looks, sizes: Sizes::default() };
    vec![
        way(Growth::Services, "services of 4 endpoints", four),
        way(Growth::Services, "services of 10 endpoints", Looks::plain(10)),
        way(
            Growth::Services,
            "services of 4 endpoints in each family",
            Looks { dual: true, ..four },
        ),
        way(
            Growth::Services,
            "services of 4 endpoints with the longest names",
            Looks { long: true, ..four },
        ),
        way(
            Growth::Services,
            "services of 4 endpoints with a load balancer's VIP",
            Looks { vip: true, ..four },
        ),
        way(Growth::Endpoints, "endpoints of one service", one),
        way(
            Growth::Endpoints,
            "endpoints of one service with a load balancer's VIP",
            Looks { vip: true, ..one },
        ),
    ]
}

fn larger_tables() -> Vec<Way> {
    vec![
        Way {
            what: "services of 10 endpoints, tables for 100,000 and an eighth",
            growth: Growth::Services,
            looks: Looks::plain(10),
            sizes: sync::sizes(100_000, 10),
        },
        Way {
            what: "endpoints of one service, tables for two million",
            growth: Growth::Endpoints,
            looks: Looks::plain(1),
            sizes: Sizes { backends: 1 << 21, ..Sizes::default() },
        },
    ]
}

/// In the order in which they are met; the last leaves services out. And what changes of one
/// endpoint take then, while others wait for room, in nanoseconds.
fn services(sync: &mut Loop, looks: &Looks) -> Result<(Vec<Limit>, Vec<u128>)> {
    let mut limits: Vec<Limit> = Vec::new();
    let mut count = FIRST;
    while count <= MOST {
        let picture = population::picture(count, looks);
        sync.take(Arc::new(picture.clone()))?;
        let mut reasons: BTreeMap<String, u32> = BTreeMap::new();
        for refused in sync.refused() {
            *reasons.entry(refused.reason.clone()).or_default() += 1;
        }
        let mut new: Vec<Limit> = reasons
            .into_iter()
            .filter(|(reason, _)| limits.iter().all(|(known, _)| known != reason))
            .map(|(reason, refused)| (reason, count - refused))
            .collect();
        new.sort_by_key(|(_, fitted)| *fitted);
        limits.extend(new);
        if sync.rows() < count * looks.families().len() as u32 {
            return Ok((limits, change(sync, picture, looks)?));
        }
        count *= 2;
    }
    bail!("{MOST} services have met no limit")
}

/// Takes an endpoint from the first service and gives it back.
fn change(sync: &mut Loop, mut picture: Picture, looks: &Looks) -> Result<Vec<u128>> {
    let mut times = Vec::new();
    for back in [0, 1].repeat(CHANGES / 2) {
        let all = looks.numbers(0);
        let slices: Vec<_> = looks
            .families()
            .iter()
            .map(|family| Arc::new(looks.slice(0, *family, all.start..all.end - 1 + back)))
            .collect();
        picture.slices.insert(looks.name(0), slices.into());
        times.push(sync.take(Arc::new(picture.clone()))?.total().as_nanos());
    }
    Ok(times)
}

/// The most that one service may have.
fn endpoints(sync: &mut Loop, looks: Looks) -> Result<Vec<Limit>> {
    let mut fits = |endpoints| -> Result<Option<String>> {
        sync.take(Arc::new(population::picture(1, &Looks { endpoints, ..looks })))?;
        Ok(sync.refused().next().map(|refused| refused.reason.clone()))
    };
    let mut fitted = 0;
    let mut tried = FIRST;
    let mut reason = loop {
        ensure!(tried <= MOST, "{fitted} endpoints have met no limit");
        match fits(tried)? {
            Some(reason) => break reason,
            None => (fitted, tried) = (tried, 2 * tried),
        }
    };
    while tried - fitted > 1 {
        let middle = fitted.midpoint(tried);
        match fits(middle)? {
            Some(refused) => (reason, tried) = (refused, middle),
            None => fitted = middle,
        }
    }
    // With so many it is there, as it was before.
    ensure!(fits(fitted)?.is_none(), "{fitted} endpoints fitted once and then no more");
    Ok(vec![(reason, fitted)])
}
