//! Performs operations on the kernel's tables: plain stores to memory for the arrays, system calls
//! for the hash tables, many entries a call when there are many.

use std::{mem::offset_of, path::Path};

use aya::maps::{
    Map, MapData,
    lpm_trie::{Key, LpmTrie},
};
use lb_common::{
    Address, Ipv4, Ipv6,
    backend::Backend,
    device::Device,
    frontend::{Frontend, FrontendKey},
    names,
    service::{NameCell, Service, ServiceSettings},
    source_range::SourceRange,
};

use super::{
    Error, Tables, adopt,
    array::Array,
    hash::{Hash, io_error},
};
use crate::{
    kernel::sys::Access,
    plan::{Contents, FrontendAt, List, Op},
};

/// The tables whose content is planned, opened for writing.
pub struct KernelTables {
    pub(super) services: Array<Service>,
    pub(super) slots: Array<u32>,
    pub(super) backends: Array<Backend>,
    pub(super) names: Array<NameCell>,
    pub(super) frontends_v4: Hash<FrontendKey<Ipv4>, Frontend>,
    pub(super) frontends_v6: Hash<FrontendKey<Ipv6>, Frontend>,
    pub(super) vips: Hash<Address, u32>,
    pub(super) node_addresses: Hash<Address, u32>,
    pub(super) devices: Hash<u32, Device>,
    pub(super) source_ranges: LpmTrie<MapData, SourceRange, u32>,
}

/// The value of `SOURCE_RANGES`; being found is all that counts.
const ADMITTED: u32 = 1;

impl KernelTables {
    /// Opens the tables pinned in a folder. `batch`: the kernel takes many entries a call.
    ///
    /// # Errors
    ///
    /// One is missing or of another shape.
    pub fn open(folder: &Path, access: Access, batch: bool) -> Result<Self, Error> {
        Ok(Self {
            services: Array::open(folder, names::SERVICES, access)?,
            slots: Array::open(folder, names::SLOTS, access)?,
            backends: Array::open(folder, names::BACKENDS, access)?,
            names: Array::open(folder, names::NAMES, access)?,
            frontends_v4: Hash::open(folder, names::FRONTENDS_V4, batch)?,
            frontends_v6: Hash::open(folder, names::FRONTENDS_V6, batch)?,
            vips: Hash::open(folder, names::VIPS, batch)?,
            node_addresses: Hash::open(folder, names::NODE_ADDRESSES, batch)?,
            devices: Hash::open(folder, names::DEVICES, batch)?,
            source_ranges: open_trie(folder)?,
        })
    }

    /// Performs a stretch of operations that all go the same way.
    fn apply_stretch(&mut self, way: Way, ops: &[Op]) -> Result<(), Error> {
        match way {
            Way::Memory => ops.iter().try_for_each(|op| self.store(op)),
            Way::PutFrontends => {
                let (v4, v6) = split(ops.iter().filter_map(|op| match op {
                    Op::PutFrontend { at, frontend } => Some((*at, *frontend)),
                    _ => None,
                }));
                self.frontends_v4.put(&v4)?;
                self.frontends_v6.put(&v6)
            }
            Way::RemoveFrontends => {
                let (v4, v6) = split(ops.iter().filter_map(|op| match op {
                    Op::RemoveFrontend { at } => Some((*at, ())),
                    _ => None,
                }));
                let (v4, v6) = (keys(v4), keys(v6));
                self.frontends_v4.remove(&v4)?;
                self.frontends_v6.remove(&v6)
            }
            Way::PutVips => {
                let entries = ops.iter().filter_map(|op| match op {
                    Op::PutVip { address, flags } => Some((*address, *flags)),
                    _ => None,
                });
                self.vips.put(&entries.collect::<Vec<_>>())
            }
            Way::RemoveVips => {
                let keys = ops.iter().filter_map(|op| match op {
                    Op::RemoveVip { address } => Some(*address),
                    _ => None,
                });
                self.vips.remove(&keys.collect::<Vec<_>>())
            }
            Way::Single => ops.iter().try_for_each(|op| self.call(op)),
        }
    }

    /// Performs an operation on an array.
    fn store(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::PutBackend { index, backend } => self.backends.set(*index, backend),
            Op::WriteSlots { offset, backends } => {
                (*offset..).zip(backends).try_for_each(|(at, slot)| self.slots.set(at, slot))
            }
            Op::WriteName { offset, cells } => {
                (*offset..).zip(cells).try_for_each(|(at, cell)| self.names.set(at, cell))
            }
            Op::PutService { index, service } => self.services.set(*index, service),
            Op::PublishRun { service, list, run } => self.publish(*service, *list, run.word()),
            Op::SetSettings { service, settings } => {
                const OFFSET: usize = offset_of!(Service, settings);
                self.services.publish_u64::<OFFSET>(*service, settings_word(*settings))
            }
            Op::SetBackendFlags { index, flags } => {
                const OFFSET: usize = offset_of!(Backend, flags);
                self.backends.publish_u16::<OFFSET>(*index, *flags)
            }
            Op::SetBackendMembership { index, membership } => {
                const OFFSET: usize = offset_of!(Backend, membership);
                self.backends.publish_u16::<OFFSET>(*index, *membership)
            }
            Op::SetBackendWeight { index, weight } => {
                const OFFSET: usize = offset_of!(Backend, weight);
                self.backends.publish_u16::<OFFSET>(*index, *weight)
            }
            _ => Ok(()),
        }
    }

    fn publish(&mut self, service: u32, list: List, run: u64) -> Result<(), Error> {
        const CLUSTER: usize = offset_of!(Service, cluster);
        const LOCAL: usize = offset_of!(Service, local);
        const CLUSTER_HASHED: usize = offset_of!(Service, cluster_hashed);
        const LOCAL_HASHED: usize = offset_of!(Service, local_hashed);
        let services = &mut self.services;
        match list {
            List::Cluster => services.publish_u64::<CLUSTER>(service, run),
            List::Local => services.publish_u64::<LOCAL>(service, run),
            List::ClusterHashed => services.publish_u64::<CLUSTER_HASHED>(service, run),
            List::LocalHashed => services.publish_u64::<LOCAL_HASHED>(service, run),
        }
    }

    /// Performs an operation on one of the small tables.
    fn call(&mut self, op: &Op) -> Result<(), Error> {
        match op {
            Op::PutNodeAddress { address, flags } => self.node_addresses.put(&[(*address, *flags)]),
            Op::RemoveNodeAddress { address } => self.node_addresses.remove(&[*address]),
            Op::PutDevice { ifindex, device } => self.devices.put(&[(*ifindex, *device)]),
            Op::RemoveDevice { ifindex } => self.devices.remove(&[*ifindex]),
            Op::PutSourceRange { prefix_length, range } => {
                let key = Key::new(*prefix_length, *range);
                self.source_ranges
                    .insert(&key, ADMITTED, 0)
                    .map_err(|error| trie_error("adding", io_error(error)))
            }
            Op::RemoveSourceRange { prefix_length, range } => {
                let key = Key::new(*prefix_length, *range);
                match self.source_ranges.remove(&key).map_err(io_error) {
                    Err(error) if error.raw_os_error() != Some(libc::ENOENT) => {
                        Err(trie_error("removing", error))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Tables for KernelTables {
    fn apply(&mut self, ops: &[Op]) -> Result<(), Error> {
        ops.chunk_by(|a, b| way(a) == way(b)).try_for_each(|stretch| match stretch.first() {
            Some(op) => self.apply_stretch(way(op), stretch),
            None => Ok(()),
        })
    }

    fn contents(&self) -> Result<Contents, Error> {
        adopt::contents(self)
    }

    fn entries(&self) -> Result<Contents, Error> {
        adopt::entries(self)
    }
}

/// How an operation reaches the kernel. Neighbours that go the same way are performed together;
/// nothing is moved past an operation of another way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Memory,
    PutFrontends,
    RemoveFrontends,
    PutVips,
    RemoveVips,
    Single,
}

/// Whether an operation takes a system call, and not stores to mapped memory alone.
pub fn is_call(op: &Op) -> bool {
    way(op) != Way::Memory
}

fn way(op: &Op) -> Way {
    match op {
        Op::PutBackend { .. }
        | Op::WriteSlots { .. }
        | Op::WriteName { .. }
        | Op::PutService { .. }
        | Op::PublishRun { .. }
        | Op::SetSettings { .. }
        | Op::SetBackendFlags { .. }
        | Op::SetBackendMembership { .. }
        | Op::SetBackendWeight { .. } => Way::Memory,
        Op::PutFrontend { .. } => Way::PutFrontends,
        Op::RemoveFrontend { .. } => Way::RemoveFrontends,
        Op::PutVip { .. } => Way::PutVips,
        Op::RemoveVip { .. } => Way::RemoveVips,
        Op::PutSourceRange { .. }
        | Op::RemoveSourceRange { .. }
        | Op::PutNodeAddress { .. }
        | Op::RemoveNodeAddress { .. }
        | Op::PutDevice { .. }
        | Op::RemoveDevice { .. } => Way::Single,
    }
}

type Entries<A, T> = Vec<(FrontendKey<A>, T)>;

/// Frontends by family, each in the order given.
fn split<T>(
    entries: impl Iterator<Item = (FrontendAt, T)>,
) -> (Entries<Ipv4, T>, Entries<Ipv6, T>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (at, value) in entries {
        match at {
            FrontendAt::V4(key) => v4.push((key, value)),
            FrontendAt::V6(key) => v6.push((key, value)),
        }
    }
    (v4, v6)
}

fn keys<K, V>(entries: Vec<(K, V)>) -> Vec<K> {
    entries.into_iter().map(|(key, _)| key).collect()
}

/// Both fields as the one word that a store writes.
fn settings_word(settings: ServiceSettings) -> u64 {
    let [a, b, c, d] = settings.flags.to_ne_bytes();
    let [e, f, g, h] = settings.affinity_timeout_s.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, e, f, g, h])
}

fn open_trie(folder: &Path) -> Result<LpmTrie<MapData, SourceRange, u32>, Error> {
    let table = names::SOURCE_RANGES;
    MapData::from_pin(folder.join(table))
        .and_then(Map::from_map_data)
        .and_then(TryInto::try_into)
        .map_err(|source| Error::Open { table, source })
}

pub(super) fn trie_error(operation: &'static str, source: std::io::Error) -> Error {
    Error::Entries { operation, entries: 1, table: names::SOURCE_RANGES, source }
}
