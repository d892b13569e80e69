//! `sluice inspect status`.

use anyhow::Result;
use lb_common::{backend, layout::LAYOUT_VERSION, names, service};
use serde::Serialize;

use super::super::table::{self, Row};
use crate::{
    kernel::{MapSpec, ORIGIN, Pinned, Pins, Sizes, environment, pinned, sys::LinkTarget},
    maps::Reader,
    model::IpFamily,
};

#[derive(Serialize)]
struct Status {
    version: &'static str,
    layout_version: u32,
    /// Of the object that this binary carries.
    object: &'static str,
    pin_path: String,
    programs: Vec<ProgramRow>,
    tables: Vec<TableRow>,
    counters: Vec<CounterRow>,
}

#[derive(Serialize)]
struct ProgramRow {
    program: String,
    target: String,
    mode: Option<String>,
    attached: bool,
    program_id: u32,
    link_id: u32,
}

impl Row for ProgramRow {
    const TITLES: &'static [&'static str] =
        &["PROGRAM", "ATTACHED TO", "MODE", "PROGRAM ID", "LINK ID"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.program.clone(),
            self.target.clone(),
            self.mode.clone().unwrap_or_default(),
            self.program_id.to_string(),
            self.link_id.to_string(),
        ]
    }
}

#[derive(Serialize)]
struct TableRow {
    table: &'static str,
    used: usize,
    size: u32,
}

impl Row for TableRow {
    const TITLES: &'static [&'static str] = &["TABLE", "USED", "SIZE", "FULL"];

    fn cells(&self) -> Vec<String> {
        let percent = self.used as f64 * 100.0 / f64::from(self.size.max(1));
        vec![
            self.table.to_owned(),
            self.used.to_string(),
            self.size.to_string(),
            format!("{percent:.1} %"),
        ]
    }
}

#[derive(Serialize)]
struct CounterRow {
    counter: &'static str,
    value: u64,
}

impl Row for CounterRow {
    const TITLES: &'static [&'static str] = &["COUNTER", "VALUE"];

    fn cells(&self) -> Vec<String> {
        vec![self.counter.to_owned(), self.value.to_string()]
    }
}

pub(super) fn run(pins: &Pins, reader: &Reader<'_>, json: bool) -> Result<()> {
    let counters = reader.counters()?.into_iter();
    let status = Status {
        version: env!("CARGO_PKG_VERSION"),
        layout_version: LAYOUT_VERSION,
        object: ORIGIN,
        pin_path: pins.root().display().to_string(),
        programs: pinned(pins)?.into_iter().map(program).collect(),
        tables: tables(pins, reader)?,
        counters: counters
            .map(|(counter, value)| CounterRow { counter: counter.label(), value })
            .collect(),
    };
    if json {
        return table::say(&serde_json::to_string_pretty(&status)?);
    }
    let text = [
        format!("sluice {}, {} object", status.version, status.object),
        format!("pinned below {}, layout {}\n", status.pin_path, status.layout_version),
        format!("{}\n", table::text(&status.programs)),
        format!("{}\n", table::text(&status.tables)),
        table::text(&status.counters),
    ];
    table::say(&text.join("\n"))
}

fn program(link: Pinned) -> ProgramRow {
    let target = match link.info.target {
        target if target.is_severed() => "nothing: its target is gone".to_owned(),
        LinkTarget::Cgroup(id) => environment::cgroup_path(id)
            .map_or_else(|| format!("cgroup {id}"), |path| path.display().to_string()),
        LinkTarget::Device(ifindex) => {
            let name = nix::net::if_::if_indextoname(ifindex).ok();
            // What nix gives for a device that is not in this network namespace is an empty name.
            let name = name.and_then(|name| name.into_string().ok());
            let name = name.filter(|name| !name.is_empty());
            name.map_or_else(|| format!("device {ifindex}"), |name| format!("{name} ({ifindex})"))
        }
        LinkTarget::Other => "unknown".to_owned(),
    };
    ProgramRow {
        program: link.program,
        target,
        mode: link.mode,
        attached: !link.info.target.is_severed(),
        program_id: link.info.program,
        link_id: link.info.id,
    }
}

fn tables(pins: &Pins, reader: &Reader<'_>) -> Result<Vec<TableRow>> {
    let contents = reader.contents()?;
    let live =
        contents.services.iter().filter(|(_, row)| row.settings.flags & service::flags::LIVE != 0);
    let runs = |run: lb_common::run::Run| run.length() as usize;
    let slots = live.clone().map(|(_, row)| runs(row.cluster) + runs(row.local)).sum();
    let cells = live.clone().map(|(_, row)| runs(row.name)).sum();
    let ipv6 = contents.frontends.iter().filter(|(at, _)| at.family() == IpFamily::V6).count();
    let serving = |row: &backend::Backend| row.flags != 0;
    let used = |name| -> Result<Option<usize>> {
        Ok(Some(match name {
            names::SERVICES => live.clone().count(),
            names::BACKENDS => contents.backends.iter().filter(|(_, row)| serving(row)).count(),
            names::SLOTS => slots,
            names::NAMES => cells,
            names::FRONTENDS_V4 => contents.frontends.len() - ipv6,
            names::FRONTENDS_V6 => ipv6,
            names::SOURCE_RANGES => contents.source_ranges.len(),
            names::NODE_ADDRESSES => contents.node_addresses.len(),
            names::DEVICES => contents.devices.len(),
            names::FLOWS_V4 => reader.flows_v4()?.len(),
            names::FLOWS_V6 => reader.flows_v6()?.len(),
            names::AFFINITY => reader.affinity()?.len(),
            names::UDP_PEERS => reader.udp_peers()?,
            _ => return Ok(None),
        }))
    };
    let mut rows = Vec::new();
    for spec in MapSpec::all(&Sizes::default()) {
        if let Some(used) = used(spec.name)? {
            let size = pins.map_size(spec.name)?;
            rows.push(TableRow { table: spec.name, used, size });
        }
    }
    Ok(rows)
}
