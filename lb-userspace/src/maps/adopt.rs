//! What the tables hold, read back for the planner of the next agent, and for who looks whether it is
//! still what was written.

use lb_common::{backend::Backend, run::Run, service::Service};

use super::{Error, KernelTables, hash::io_error, writer::trie_error};
use crate::plan::{Contents, FrontendAt, LiveRows};

/// Reads everything that is planned.
///
/// # Errors
///
/// The kernel refused to let a table be read.
pub(super) fn contents(tables: &KernelTables) -> Result<Contents, Error> {
    let services = tables.services.used()?;
    // Slots and names are read as far as any row says that they are used: the rest is free, and
    // need not be mapped.
    let slots = end_of(&services, Service::runs).min(tables.slots.rows());
    let names = end_of(&services, |service| [service.name]).min(tables.names.rows());
    Ok(Contents {
        backends: tables.backends.used()?,
        slots: (0..slots).map(|at| tables.slots.get(at)).collect::<Result<_, _>>()?,
        names: (0..names).map(|at| tables.names.get(at)).collect::<Result<_, _>>()?,
        services,
        ..entries(tables)?
    })
}

/// Reads what of it stands in hash tables and tries.
///
/// # Errors
///
/// As for [`contents`].
pub(super) fn entries(tables: &KernelTables) -> Result<Contents, Error> {
    let frontends_v4 = tables.frontends_v4.read()?.into_iter();
    let frontends_v6 = tables.frontends_v6.read()?.into_iter();
    let source_ranges = tables
        .source_ranges
        .keys()
        .map(|key| key.map(|key| (key.prefix_len(), key.data())))
        .collect::<Result<_, _>>()
        .map_err(|error| trie_error("reading", io_error(error)))?;
    Ok(Contents {
        frontends: frontends_v4
            .map(|(key, frontend)| (FrontendAt::V4(key), frontend))
            .chain(frontends_v6.map(|(key, frontend)| (FrontendAt::V6(key), frontend)))
            .collect(),
        source_ranges,
        vips: tables.vips.read()?.into_iter().collect(),
        node_addresses: tables.node_addresses.read()?.into_iter().collect(),
        devices: tables.devices.read()?.into_iter().collect(),
        ..Contents::default()
    })
}

impl LiveRows for KernelTables {
    fn service(&self, index: u32) -> Option<Service> {
        self.services.get(index).ok()
    }

    fn backend(&self, index: u32) -> Option<Backend> {
        self.backends.get(index).ok()
    }

    fn slots(&self, run: Run) -> Option<Vec<u32>> {
        let end = run.offset().checked_add(run.length())?;
        (run.offset()..end).map(|at| self.slots.get(at).ok()).collect()
    }
}

/// The first position after all runs.
fn end_of<const N: usize>(services: &[(u32, Service)], runs: impl Fn(&Service) -> [Run; N]) -> u32 {
    let ends = services.iter().flat_map(|(_, service)| runs(service));
    ends.map(|run| run.offset().saturating_add(run.length())).max().unwrap_or(0)
}
