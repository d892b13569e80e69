//! `sluice inspect backends`.

use anyhow::Result;
use lb_common::backend::{Backend, flags};
use serde::Serialize;

use super::{
    super::table::{self, Row},
    show,
};
use crate::{maps::Reader, plan::Contents};

/// An endpoint of a service port.
#[derive(Serialize)]
struct BackendRow {
    backend: String,
    service: String,
    on_this_node: bool,
    state: &'static str,
    lists: Vec<&'static str>,
    weight: u16,
    index: u32,
    generation: u32,
}

impl Row for BackendRow {
    const TITLES: &'static [&'static str] =
        &["BACKEND", "SERVICE", "NODE", "STATE", "LISTS", "WEIGHT", "INDEX", "GENERATION"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.backend.clone(),
            self.service.clone(),
            if self.on_this_node { "this" } else { "other" }.to_owned(),
            self.state.to_owned(),
            self.lists.join(" "),
            self.weight.to_string(),
            self.index.to_string(),
            self.generation.to_string(),
        ]
    }
}

pub(super) fn run(reader: &Reader<'_>, json: bool) -> Result<()> {
    table::print(&rows(&reader.contents()?), json)
}

fn rows(contents: &Contents) -> Vec<BackendRow> {
    let used = contents.backends.iter().filter(|(_, backend)| backend.flags != 0);
    let mut rows: Vec<_> = used.map(|(index, backend)| row(contents, *index, backend)).collect();
    rows.sort_by(|a, b| (&a.service, a.index).cmp(&(&b.service, b.index)));
    rows
}

fn row(contents: &Contents, index: u32, backend: &Backend) -> BackendRow {
    let has = |flag| backend.flags & flag != 0;
    let lists = [(flags::IN_CLUSTER, "cluster"), (flags::IN_LOCAL, "local")];
    BackendRow {
        backend: show::socket(backend.address, backend.port),
        service: show::service(contents, backend.service),
        on_this_node: has(flags::LOCAL),
        state: match (has(flags::LEAVING), has(flags::SERVING)) {
            (true, _) => "leaving",
            (false, true) => "serving",
            (false, false) => "not serving",
        },
        lists: lists.into_iter().filter(|(flag, _)| has(*flag)).map(|(_, name)| name).collect(),
        weight: backend.weight,
        index,
        generation: backend.generation,
    }
}
