//! `sluice inspect flows`.

use anyhow::Result;
use lb_common::{
    Family, V4, V6,
    flow::{FlowKeyOf, FlowOf, hook, kind, state},
};
use serde::Serialize;

use super::{
    super::table::{self, Row},
    show,
};
use crate::{maps::Reader, plan::Contents};

/// One direction of a translated connection.
#[derive(Serialize)]
struct FlowRow {
    protocol: String,
    hook: &'static str,
    from: String,
    to: String,
    becomes_from: String,
    becomes_to: String,
    kind: &'static str,
    service: String,
    backend: Option<String>,
    age_s: u64,
    closing: bool,
}

impl Row for FlowRow {
    const TITLES: &'static [&'static str] =
        &["PROTOCOL", "HOOK", "PACKET", "BECOMES", "KIND", "SERVICE", "AGE", "STATE"];

    fn cells(&self) -> Vec<String> {
        let state = match (&self.backend, self.closing) {
            (None, _) => "backend gone",
            (Some(_), true) => "closing",
            (Some(_), false) => "open",
        };
        vec![
            self.protocol.clone(),
            self.hook.to_owned(),
            format!("{} > {}", self.from, self.to),
            format!("{} > {}", self.becomes_from, self.becomes_to),
            self.kind.to_owned(),
            self.service.clone(),
            format!("{} s", self.age_s),
            state.to_owned(),
        ]
    }
}

pub(super) fn run(reader: &Reader<'_>, json: bool) -> Result<()> {
    let contents = reader.contents()?;
    let v4 = reader.flows_v4()?.into_iter().map(|(key, flow)| row::<V4>(&contents, &key, &flow));
    let v6 = reader.flows_v6()?.into_iter().map(|(key, flow)| row::<V6>(&contents, &key, &flow));
    let mut rows: Vec<_> = v4.chain(v6).collect();
    rows.sort_by(|a, b| (&a.service, &a.from, &a.to).cmp(&(&b.service, &b.from, &b.to)));
    table::print(&rows, json)
}

fn row<F: Family>(contents: &Contents, key: &FlowKeyOf<F>, flow: &FlowOf<F>) -> FlowRow {
    let socket = |address, port| show::socket(F::widen(address), port);
    FlowRow {
        protocol: show::protocol(key.protocol),
        hook: if key.hook == hook::EGRESS { "egress" } else { "ingress" },
        from: socket(key.source, key.source_port),
        to: socket(key.destination, key.destination_port),
        becomes_from: socket(flow.source, flow.source_port),
        becomes_to: socket(flow.destination, flow.destination_port),
        kind: match flow.kind {
            kind::TO_LOCAL => "to-local",
            kind::TO_REMOTE => "to-remote",
            kind::FROM_LOCAL => "from-local",
            kind::FROM_REMOTE => "from-remote",
            _ => "unknown",
        },
        service: show::service(contents, flow.service),
        backend: show::backend(contents, flow.backend),
        age_s: show::age(flow.seen_s.into()),
        closing: flow.state & state::CLOSING != 0,
    }
}
