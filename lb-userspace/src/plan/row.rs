//! One service row and everything that hangs on it: the difference between a [`ServicePort`] and
//! what was applied for it.

use std::{collections::BTreeSet, sync::Arc};

use lb_common::{Address, run::Run, service::Service};

use super::{
    FrontendAt, List, Op, RowName,
    capacity::Full,
    claims::Claim,
    members::{self, Member},
    order::Phase,
    room::Draft,
    tables,
};
use crate::model::{PortId, ServicePort};

/// A row of `SERVICES` as it stands in the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: Arc<PortId>,
    pub(super) index: u32,
    pub(super) service: Service,
    /// Sorted by address and port.
    pub(super) members: Vec<Member>,
    /// Prefix length and network of each client network admitted.
    pub(super) ranges: BTreeSet<(u32, Address)>,
    /// Where it wants to answer, whether or not another Service has it.
    pub(super) claims: Vec<(FrontendAt, Claim)>,
}

impl Row {
    /// The row for `port`: its old one brought up to date, or a new one.
    pub(super) fn place(
        draft: &mut Draft<'_>,
        port: &ServicePort,
        old: Option<&Self>,
    ) -> Result<Self, Full> {
        let index = match old {
            Some(old) => old.index,
            None => draft.service()?,
        };
        let was = old.map(|old| old.service).unwrap_or_default();
        let old_members = old.map_or(&[][..], |old| &old.members);
        let settings = tables::settings(port);
        let begins = tables::affinity(settings) && !tables::affinity(was.settings);
        let mut members = members::place(draft, index, port, old_members, begins)?;
        let mut runs = was.runs();
        for (run, list) in runs.iter_mut().zip(List::ALL) {
            *run = members::run(draft, list, *run, old_members, &mut members)?;
        }
        let [cluster, local, cluster_hashed, local_hashed] = runs;
        let service = Service {
            cluster,
            local,
            cluster_hashed,
            local_hashed,
            settings,
            name: match old {
                Some(_) => was.name,
                None => write_name(draft, &port.id)?,
            },
            reserved: was.reserved,
        };
        match old {
            Some(_) => update(draft, index, &was, &service),
            None => draft.push(Phase::Rows, Op::PutService { index, service }),
        }
        let ranges = change_ranges(draft, index, port, old)?;
        let id = match old {
            Some(old) => old.id.clone(),
            None => Arc::new(port.id.clone()),
        };
        let claims = claims(port, &id, index);
        Ok(Self { id, index, service, members, ranges, claims })
    }

    /// Takes the row out of use, once no frontend leads to it.
    pub(super) fn retire(&self, draft: &mut Draft<'_>) {
        for member in &self.members {
            members::part(draft, Phase::Farewell, self.id.protocol, member);
        }
        self.ranges.iter().for_each(|range| draft.revoke(self.index, *range));
        let retired = &mut draft.outcome.retired;
        retired.services.push(self.index);
        retired.slots.extend(self.service.runs().into_iter().filter_map(members::extent));
        retired.name_cells.extend(members::extent(self.service.name));
    }
}

fn write_name(draft: &mut Draft<'_>, id: &PortId) -> Result<Run, Full> {
    let cells = RowName::from(id).encode();
    let extent = draft.name_cells(cells.len() as u32)?;
    draft.push(Phase::Names, Op::WriteName { offset: extent.offset, cells });
    Ok(Run::new(extent.offset, extent.length, 0))
}

fn update(draft: &mut Draft<'_>, index: u32, was: &Service, is: &Service) {
    for (list, (was, is)) in List::ALL.into_iter().zip(was.runs().into_iter().zip(is.runs())) {
        if was != is {
            draft.push(Phase::Publish, Op::PublishRun { service: index, list, run: is });
        }
    }
    if was.settings != is.settings {
        let had_local = tables::uses_local(was.settings);
        let phase = if had_local { Phase::Settings } else { Phase::LateSettings };
        draft.push(phase, Op::SetSettings { service: index, settings: is.settings });
    }
}

fn change_ranges(
    draft: &mut Draft<'_>,
    index: u32,
    port: &ServicePort,
    old: Option<&Row>,
) -> Result<BTreeSet<(u32, Address)>, Full> {
    let none = BTreeSet::new();
    let was = old.map_or(&none, |old| &old.ranges);
    let ranges: BTreeSet<_> = port.source_ranges.iter().map(tables::range).collect();
    ranges.difference(was).try_for_each(|range| draft.admit(index, *range))?;
    was.difference(&ranges).for_each(|range| draft.revoke(index, *range));
    Ok(ranges)
}

fn claims(port: &ServicePort, id: &Arc<PortId>, row: u32) -> Vec<(FrontendAt, Claim)> {
    port.frontends
        .iter()
        .map(|frontend| tables::frontend(id, frontend))
        .map(|(at, kind)| (at, Claim::new(port.created_s, id.clone(), row, kind)))
        .collect()
}
