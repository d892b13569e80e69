//! `sluice check`.

use std::{process::ExitCode, sync::Arc};

use anyhow::Result;

use super::table;
use crate::{
    config::{self, RawAgent, Source, Surroundings},
    model::{Model, Node},
    plan::{Capacities, Planner},
    watch::{Ranges, file},
};

/// Prints what is to be said about the settings, then the plan from empty tables to what the
/// manifests say. Fails if anything was rejected.
pub(super) fn run(raw: &RawAgent) -> Result<ExitCode> {
    let config = config::check(raw, &Surroundings::look())?;
    config.remarks.iter().for_each(|remark| eprintln!("{remark}"));
    let Source::Manifests(folder) = &config.source else {
        table::say("the settings can be; a plan is made of --manifests only")?;
        return Ok(ExitCode::SUCCESS);
    };
    let ranges = Ranges {
        service_cidrs: config.service_cidrs.clone(),
        node_ports: config.node_ports.0..=config.node_ports.1,
    };
    let news = file::load(folder, &ranges)?;
    let mut model = Model::new(Node { name: config.node_name.clone(), zone: None });
    let names = model.replace(Arc::clone(&news.picture));
    let mut planner = Planner::new(Capacities::default());
    let plan = planner.plan(names.iter().map(|name| (name.clone(), model.service_ports(name))));
    for op in &plan.ops {
        table::say(&op.to_string())?;
    }
    let rejected = news.rejections.iter().chain(planner.rejections());
    let count = rejected.map(|rejection| eprintln!("rejected: {rejection}")).count();
    let (services, ops) = (names.len(), plan.ops.len());
    table::say(&format!("{services} services, {ops} operations, {count} rejected"))?;
    Ok(if count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
