//! The tables as ordinary collections, for tests without a kernel.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use lb_common::{
    Address,
    backend::Backend,
    device::Device,
    frontend::Frontend,
    run::Run,
    service::{NameCell, Service},
    source_range::SourceRange,
};

use super::{Error, Tables};
use crate::plan::{Contents, FrontendAt, List, LiveRows, Op};

/// What the tables hold.
#[derive(Clone, Default, Debug, PartialEq)]
pub(crate) struct Content {
    pub services: BTreeMap<u32, Service>,
    pub backends: BTreeMap<u32, Backend>,
    pub slots: BTreeMap<u32, u32>,
    pub names: BTreeMap<u32, NameCell>,
    pub frontends: BTreeMap<FrontendAt, Frontend>,
    pub vips: BTreeMap<Address, u32>,
    pub source_ranges: Vec<(u32, SourceRange)>,
    pub node_addresses: BTreeMap<Address, u32>,
    pub devices: BTreeMap<u32, Device>,
    /// How many operations were performed.
    pub performed: usize,
    /// Error numbers that the next changes meet.
    pub failures: Vec<i32>,
}

/// Shared with the test that looks at it.
#[derive(Clone, Default)]
pub(crate) struct FakeTables(pub Arc<Mutex<Content>>);

impl Content {
    fn perform(&mut self, op: &Op) {
        match op {
            Op::PutBackend { index, backend } => _ = self.backends.insert(*index, *backend),
            Op::WriteSlots { offset, backends } => {
                self.slots.extend((*offset..).zip(backends.iter().copied()));
            }
            Op::WriteName { offset, cells } => {
                self.names.extend((*offset..).zip(cells.iter().copied()));
            }
            Op::PutService { index, service } => _ = self.services.insert(*index, *service),
            Op::PublishRun { service, list, run } => {
                let row = self.services.entry(*service).or_default();
                match list {
                    List::Cluster => row.cluster = *run,
                    List::Local => row.local = *run,
                    List::ClusterHashed => row.cluster_hashed = *run,
                    List::LocalHashed => row.local_hashed = *run,
                }
            }
            Op::SetSettings { service, settings } => {
                self.services.entry(*service).or_default().settings = *settings;
            }
            Op::SetBackendFlags { index, flags } => {
                self.backends.entry(*index).or_default().flags = *flags;
            }
            Op::SetBackendMembership { index, membership } => {
                self.backends.entry(*index).or_default().membership = *membership;
            }
            Op::SetBackendWeight { index, weight } => {
                self.backends.entry(*index).or_default().weight = *weight;
            }
            Op::PutFrontend { at, frontend } => _ = self.frontends.insert(*at, *frontend),
            Op::RemoveFrontend { at } => _ = self.frontends.remove(at),
            Op::PutVip { address, flags } => _ = self.vips.insert(*address, *flags),
            Op::RemoveVip { address } => _ = self.vips.remove(address),
            Op::PutSourceRange { prefix_length, range } => {
                self.source_ranges.push((*prefix_length, *range));
            }
            Op::RemoveSourceRange { prefix_length, range } => {
                self.source_ranges.retain(|entry| *entry != (*prefix_length, *range));
            }
            Op::PutNodeAddress { address, flags } => {
                _ = self.node_addresses.insert(*address, *flags);
            }
            Op::RemoveNodeAddress { address } => _ = self.node_addresses.remove(address),
            Op::PutDevice { ifindex, device } => _ = self.devices.insert(*ifindex, *device),
            Op::RemoveDevice { ifindex } => _ = self.devices.remove(ifindex),
        }
        self.performed += 1;
    }
}

impl Tables for FakeTables {
    fn apply(&mut self, ops: &[Op]) -> Result<(), Error> {
        let mut content = self.0.lock().unwrap();
        if !ops.is_empty()
            && let Some(number) = content.failures.pop()
        {
            let source = io::Error::from_raw_os_error(number);
            return Err(Error::Entries { operation: "adding", entries: 1, table: "FAKE", source });
        }
        ops.iter().for_each(|op| content.perform(op));
        Ok(())
    }

    fn contents(&self) -> Result<Contents, Error> {
        let content = self.0.lock().unwrap();
        Ok(Contents {
            services: content.services.clone().into_iter().collect(),
            backends: content.backends.clone().into_iter().collect(),
            slots: dense(&content.slots),
            names: dense(&content.names),
            frontends: content.frontends.clone().into_iter().collect(),
            source_ranges: content.source_ranges.clone(),
            vips: content.vips.clone(),
            node_addresses: content.node_addresses.clone(),
            devices: content.devices.clone(),
        })
    }

    fn entries(&self) -> Result<Contents, Error> {
        let (services, backends, slots, names) = Default::default();
        Ok(Contents { services, backends, slots, names, ..self.contents()? })
    }
}

impl LiveRows for FakeTables {
    fn service(&self, index: u32) -> Option<Service> {
        self.0.lock().unwrap().services.get(&index).copied()
    }

    fn backend(&self, index: u32) -> Option<Backend> {
        self.0.lock().unwrap().backends.get(&index).copied()
    }

    fn slots(&self, run: Run) -> Option<Vec<u32>> {
        let content = self.0.lock().unwrap();
        let range = run.offset()..run.offset() + run.length();
        range.map(|at| content.slots.get(&at).copied()).collect()
    }
}

fn dense<T: Copy + Default>(rows: &BTreeMap<u32, T>) -> Vec<T> {
    let end = rows.last_key_value().map_or(0, |(last, _)| last + 1);
    (0..end).map(|at| rows.get(&at).copied().unwrap_or_default()).collect()
}
