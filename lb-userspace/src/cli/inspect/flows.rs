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
    state: &'static str,
}

impl Row for FlowRow {
    const TITLES: &'static [&'static str] =
        &["PROTOCOL", "HOOK", "PACKET", "BECOMES", "KIND", "SERVICE", "AGE", "STATE"];

    fn cells(&self) -> Vec<String> {
        let state = if self.backend.is_none() { "backend gone" } else { self.state };
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
        state: match flow.state {
            seen if seen & state::RST != 0 => "reset",
            seen if seen & state::FIN != 0 => "closing",
            seen if seen & (state::CONFIRMED | state::ANSWERED) != 0 => "open",
            _ => "opening",
        },
    }
}

#[cfg(test)]
mod tests {
    use lb_common::{
        Be16, Be32,
        backend::{self, Backend, BackendRef},
        flow::{Flow, FlowKey},
    };

    use super::*;

    #[test]
    fn a_flow_tells_whether_its_backend_is_still_the_same() {
        #[track_caller]
        fn check(generation: u32, flow_state: u8, expected: &str) {
            let row_of_backend =
                Backend { generation: 4, flags: backend::flags::SERVING, ..Backend::default() };
            let contents = Contents { backends: vec![(2, row_of_backend)], ..Contents::default() };
            let key = FlowKey {
                source: Be32::new(0xc000_0263),
                destination: Be32::new(0xc000_0201),
                source_port: Be16::new(40_000),
                destination_port: Be16::new(30_080),
                protocol: 6,
                hook: hook::INGRESS,
                pad: 0,
            };
            let flow = Flow {
                destination: Be32::new(0x0a01_0001),
                destination_port: Be16::new(8080),
                backend: BackendRef { index: 2, generation },
                kind: kind::TO_LOCAL,
                state: flow_state,
                ..Flow::default()
            };
            let row = row::<V4>(&contents, &key, &flow);
            let cells = row.cells();
            assert_eq!(cells[2], "192.0.2.99:40000 > 192.0.2.1:30080");
            assert_eq!(cells.last().unwrap(), expected);
        }
        check(4, 0, "opening");
        check(4, state::CONFIRMED, "open");
        check(4, state::CONFIRMED | state::FIN, "closing");
        check(4, state::CONFIRMED | state::FIN | state::RST, "reset");
        check(5, 0, "backend gone");
    }
}
