//! `sluice inspect affinity`.

use std::net::IpAddr;

use anyhow::Result;
use lb_common::{
    affinity::{Affinity, AffinityKey, client_kind},
    backend::flags,
};
use serde::Serialize;

use super::{
    super::table::{self, Row},
    show,
};
use crate::{maps::Reader, plan::Contents};

/// A client that stays with an endpoint.
#[derive(Serialize)]
struct AffinityRow {
    client: String,
    service: String,
    backend: Option<String>,
    age_s: u64,
}

impl Row for AffinityRow {
    const TITLES: &'static [&'static str] = &["CLIENT", "SERVICE", "BACKEND", "LAST NEW FLOW"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.client.clone(),
            self.service.clone(),
            self.backend.clone().unwrap_or_else(|| "gone".to_owned()),
            format!("{} s ago", self.age_s),
        ]
    }
}

pub(super) fn run(reader: &Reader<'_>, json: bool) -> Result<()> {
    let contents = reader.contents()?;
    let entries = reader.affinity()?;
    let mut rows: Vec<_> =
        entries.iter().map(|(key, affinity)| row(&contents, key, affinity)).collect();
    rows.sort_by(|a, b| (&a.service, &a.client).cmp(&(&b.service, &b.client)));
    table::print(&rows, json)
}

/// Whether the memory would be followed, its age aside: the backend has not left the lists since.
fn counts(contents: &Contents, affinity: &Affinity) -> bool {
    const IN_A_LIST: u16 = flags::IN_CLUSTER | flags::IN_LOCAL;
    let backend = contents.backend(affinity.backend.index);
    backend.is_some_and(|backend| {
        u32::from(backend.membership) == affinity.membership && backend.flags & IN_A_LIST != 0
    })
}

fn row(contents: &Contents, key: &AffinityKey, affinity: &Affinity) -> AffinityRow {
    const NANOSECONDS: u64 = 1_000_000_000;
    let client = if key.client_kind == client_kind::NETWORK_NAMESPACE {
        let [first, second, ..] = key.client.0;
        let cookie = u64::from(second.wire()) << 32 | u64::from(first.wire());
        format!("network namespace {cookie}")
    } else {
        IpAddr::from(key.client).to_string()
    };
    AffinityRow {
        client,
        service: show::service(contents, key.service),
        backend: show::backend(contents, affinity.backend).filter(|_| counts(contents, affinity)),
        age_s: show::age(affinity.seen_ns / NANOSECONDS),
    }
}
