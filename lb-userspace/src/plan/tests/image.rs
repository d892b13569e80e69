//! The tables in memory, with programs reading them: some that start between two operations,
//! some that started before and are slow.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use lb_common::{
    Be32,
    backend::{self, Backend},
    frontend::{self, kind},
    run::Run,
    service::{NameCell, Service, ServiceSettings, flags},
    source_range::SourceRange,
    vip,
};

use super::super::{
    Capacities, Contents, FrontendAt, List, LiveRows, Op, RowName, Usage,
    slots::{self, Share},
    tables,
};
use crate::model::{Frontend, ServiceName, ServicePort};

#[derive(Clone)]
pub(super) struct Image {
    services: Vec<Service>,
    backends: Vec<Backend>,
    slots: Vec<u32>,
    names: Vec<NameCell>,
    frontends: BTreeMap<FrontendAt, frontend::Frontend>,
    ranges: HashSet<(u32, SourceRange)>,
    rest: Contents,
    capacities: Capacities,
    /// What programs that still run have read: row, run, and the backend each slot led to.
    readers: HashMap<(u32, Run), Vec<Backend>>,
}

/// The arrays, to be spoiled.
pub(super) struct Rows<'a> {
    pub(super) services: &'a mut [Service],
    pub(super) backends: &'a mut [Backend],
    pub(super) slots: &'a mut [u32],
    pub(super) names: &'a mut [NameCell],
}

impl Image {
    pub(super) fn new(capacities: Capacities) -> Self {
        Self {
            services: vec![Service::default(); capacities.services as usize],
            backends: vec![Backend::default(); capacities.backends as usize],
            slots: vec![u32::MAX; capacities.slots as usize],
            names: vec![[0; 16]; capacities.name_cells as usize],
            frontends: BTreeMap::new(),
            ranges: HashSet::new(),
            rest: Contents::default(),
            capacities,
            readers: HashMap::new(),
        }
    }

    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::PutBackend { index, backend } => {
                let row = &mut self.backends[*index as usize];
                assert_ne!(row.generation, backend.generation, "{op}");
                *row = *backend;
            }
            Op::WriteSlots { offset, backends } => {
                let offset = *offset as usize;
                self.slots[offset..offset + backends.len()].copy_from_slice(backends);
            }
            Op::WriteName { offset, cells } => {
                let offset = *offset as usize;
                self.names[offset..offset + cells.len()].copy_from_slice(cells);
            }
            Op::PutService { index, service } => {
                let named = self.frontends.values().any(|frontend| frontend.service == *index);
                assert!(!named, "{op}: a frontend leads here");
                self.services[*index as usize] = *service;
            }
            Op::PublishRun { service, list, run } => {
                let row = &mut self.services[*service as usize];
                let word = match list {
                    List::Cluster => &mut row.cluster,
                    List::Local => &mut row.local,
                    List::ClusterHashed => &mut row.cluster_hashed,
                    List::LocalHashed => &mut row.local_hashed,
                };
                assert_eq!(word.generation().wrapping_add(1), run.generation(), "{op}");
                *word = *run;
            }
            Op::SetSettings { service, settings } => {
                self.services[*service as usize].settings = *settings;
            }
            Op::SetBackendFlags { index, flags } => {
                let row = &mut self.backends[*index as usize];
                assert!(row.flags != 0 && row.flags != *flags, "{op}");
                row.flags = *flags;
            }
            Op::SetBackendMembership { index, membership } => {
                let row = &mut self.backends[*index as usize];
                assert!(row.flags != 0 && row.membership != *membership, "{op}");
                row.membership = *membership;
            }
            Op::SetBackendWeight { index, weight } => {
                let row = &mut self.backends[*index as usize];
                assert!(row.flags != 0 && row.weight != *weight, "{op}");
                row.weight = *weight;
            }
            Op::PutFrontend { at, frontend } => {
                assert_ne!(self.frontends.insert(*at, *frontend), Some(*frontend), "{op}");
                let family = |other: &&FrontendAt| other.family() == at.family();
                let count = self.frontends.keys().filter(family).count();
                assert!(count <= self.capacities.frontends as usize, "{op}: E2BIG");
            }
            Op::RemoveFrontend { at } => assert!(self.frontends.remove(at).is_some(), "{op}"),
            Op::PutVip { address, flags } => {
                assert_ne!(self.rest.vips.insert(*address, *flags), Some(*flags), "{op}");
            }
            Op::RemoveVip { address } => {
                assert!(self.rest.vips.remove(address).is_some(), "{op}");
            }
            Op::PutSourceRange { prefix_length, range } => {
                assert!(self.ranges.insert((*prefix_length, *range)), "{op}");
                let count = self.ranges.len();
                assert!(count <= self.capacities.source_ranges as usize, "{op}: ENOSPC");
            }
            Op::RemoveSourceRange { prefix_length, range } => {
                assert!(self.ranges.remove(&(*prefix_length, *range)), "{op}");
            }
            Op::PutNodeAddress { address, flags } => {
                self.rest.node_addresses.insert(*address, *flags);
            }
            Op::RemoveNodeAddress { address } => {
                assert!(self.rest.node_addresses.remove(address).is_some(), "{op}");
            }
            Op::PutDevice { ifindex, device } => {
                self.rest.devices.insert(*ifindex, *device);
            }
            Op::RemoveDevice { ifindex } => {
                assert!(self.rest.devices.remove(ifindex).is_some(), "{op}");
            }
        }
    }

    /// Starts a program at every frontend, and lets those that started earlier go on: none may
    /// meet anything but what was there when it read the run.
    pub(super) fn check_readers(&mut self) {
        for (at, frontend) in &self.frontends {
            let row = self.services[frontend.service as usize];
            assert_ne!(row.settings.flags & flags::LIVE, 0, "{at} leads to a dead row");
            let kind = tables::kind_of_row(row.settings).unwrap();
            assert_eq!((kind.0.number(), kind.1), (at.protocol(), at.family()), "{at}");
            for run in row.runs() {
                let backends = self.list(run);
                for backend in &backends {
                    assert_eq!(backend.service, frontend.service, "{at}: foreign backend");
                }
                self.readers.entry((frontend.service, run)).or_insert(backends);
            }
        }
        for ((service, run), met) in &self.readers {
            let row = self.services[*service as usize];
            assert_ne!(row.settings.flags & flags::LIVE, 0, "row {service} died under a reader");
            for (backend, met) in self.list(*run).iter().zip(met) {
                assert_ne!(backend.flags, 0, "a slow reader meets a free backend");
                let identity = |b: &Backend| (b.address, b.port, b.service, b.generation);
                assert_eq!(identity(backend), identity(met), "a slow reader meets another backend");
            }
        }
    }

    /// Every program that is running has finished.
    pub(super) fn end_grace_period(&mut self) {
        self.readers.clear();
    }

    pub(super) fn contents(&self) -> Contents {
        let rows = |index: usize| index as u32;
        Contents {
            services: (self.services.iter().enumerate())
                .filter(|(_, row)| **row != Service::default())
                .map(|(index, row)| (rows(index), *row))
                .collect(),
            backends: (self.backends.iter().enumerate())
                .filter(|(_, row)| **row != Backend::default())
                .map(|(index, row)| (rows(index), *row))
                .collect(),
            slots: self.slots.clone(),
            names: self.names.clone(),
            frontends: self.frontends.iter().map(|(at, frontend)| (*at, *frontend)).collect(),
            source_ranges: self.ranges.iter().copied().collect(),
            vips: self.rest.vips.clone(),
            node_addresses: self.rest.node_addresses.clone(),
            devices: self.rest.devices.clone(),
        }
    }

    /// What the tables say to somebody who starts at the frontends.
    pub(super) fn view(&self) -> BTreeMap<String, String> {
        let mut view = BTreeMap::new();
        for (at, frontend) in &self.frontends {
            let row = &self.services[frontend.service as usize];
            let cells = &self.names[row.name.offset() as usize..];
            let name = RowName::decode(&cells[..row.name.length() as usize]).unwrap();
            let list = |run| {
                let one = |backend: &Backend| {
                    let at = (IpAddr::from(backend.address), backend.port.get()).into();
                    text_of_backend(at, backend.flags, backend.weight)
                };
                distinct(self.list(run).iter().map(one))
            };
            let of_row = |(_, range): &&(u32, SourceRange)| range.service.get() == frontend.service;
            let ranges = self.ranges.iter().filter(of_row);
            let text = text_of_row(
                &name,
                frontend.kind,
                row.settings,
                list(row.cluster),
                list(row.local),
                ranges.map(|(bits, range)| (*bits, range.client.into())).collect(),
            );
            view.insert(at.to_string(), text);
        }
        view
    }

    /// Where the hash tables behind each frontend lead, slot by slot.
    pub(super) fn tables(&self) -> BTreeMap<String, String> {
        let mut tables = BTreeMap::new();
        for (at, frontend) in &self.frontends {
            let row = &self.services[frontend.service as usize];
            let [cluster, local] = [row.cluster_hashed, row.local_hashed].map(|run| {
                let address = |backend: &Backend| -> SocketAddr {
                    (IpAddr::from(backend.address), backend.port.get()).into()
                };
                self.list(run).iter().map(address).collect::<Vec<_>>()
            });
            tables.insert(at.to_string(), format!("{cluster:?} {local:?}"));
        }
        tables
    }

    /// Insists that the VIPs are the addresses of the frontends, and how they are reached.
    #[track_caller]
    pub(super) fn check_vips(&self) {
        let mut expected = BTreeMap::new();
        for (at, frontend) in &self.frontends {
            let Some(address) = at.address() else { continue };
            *expected.entry(address.into()).or_default() |= match frontend.kind {
                kind::CLUSTER_IP => vip::flags::CLUSTER_IP,
                _ => vip::flags::EXTERNAL,
            };
        }
        assert_eq!(self.rest.vips, expected);
    }

    /// What is not blank, whether or not anything leads there.
    pub(super) fn usage(&self) -> Usage {
        let rows = self.services.iter().filter(|row| **row != Service::default());
        let sum = |part: fn(&Service) -> u32| rows.clone().map(part).sum();
        let ipv6 = |at: &&FrontendAt| at.family() == crate::model::IpFamily::V6;
        let frontends_v6 = self.frontends.keys().filter(ipv6).count() as u32;
        Usage {
            services: rows.clone().count() as u32,
            backends: self.backends.iter().filter(|row| row.flags != 0).count() as u32,
            slots: sum(|row| row.runs().iter().map(|run| run.length()).sum()),
            name_cells: sum(|row| row.name.length()),
            frontends_v4: self.frontends.len() as u32 - frontends_v6,
            frontends_v6,
            source_ranges: self.ranges.len() as u32,
        }
    }

    /// Spoils the tables as no interrupted agent would.
    pub(super) fn spoil(&mut self, spoil: impl FnOnce(&mut Rows<'_>)) {
        spoil(&mut Rows {
            services: &mut self.services,
            backends: &mut self.backends,
            slots: &mut self.slots,
            names: &mut self.names,
        });
    }

    pub(super) fn admit(&mut self, service: u32, client: IpAddr) {
        let range = SourceRange { service: Be32::new(service), client: client.into() };
        self.ranges.insert((128, range));
    }

    fn list(&self, run: Run) -> Vec<Backend> {
        let slots = &self.slots[run.offset() as usize..][..run.length() as usize];
        slots.iter().map(|index| self.backends[*index as usize]).collect()
    }
}

/// The view of tables that hold what is wanted, worked out without a planner.
pub(super) fn expected_view(
    wanted: &BTreeMap<ServiceName, Vec<ServicePort>>,
) -> BTreeMap<String, String> {
    winners(wanted, |port, frontend| {
        let name = RowName::from(&port.id);
        let list = |in_list: fn(&crate::model::Backend) -> bool| {
            let one = |backend: &crate::model::Backend| {
                let at = (backend.address, backend.port).into();
                text_of_backend(at, tables::backend_flags(backend), backend.weight)
            };
            distinct(port.backends.iter().filter(|backend| in_list(backend)).map(one))
        };
        let ranges: BTreeSet<(u32, IpAddr)> =
            port.source_ranges.iter().map(tables::range).map(|(b, a)| (b, a.into())).collect();
        text_of_row(
            &name,
            tables::frontend(&port.id, frontend).1,
            tables::settings(port),
            list(|backend| backend.in_cluster),
            list(|backend| backend.in_local),
            ranges,
        )
    })
}

/// The hash tables as [`Image::tables`] has them, of planned ports that all find room.
pub(super) fn expected_tables(
    wanted: &BTreeMap<ServiceName, Vec<ServicePort>>,
) -> BTreeMap<String, String> {
    winners(wanted, |port, _| {
        let table = |hashed: bool, in_list: fn(&crate::model::Backend) -> bool| {
            let mut members: Vec<_> =
                port.backends.iter().filter(|backend| in_list(backend)).collect();
            members.sort_by_key(|backend| (backend.address, backend.port));
            let share = |(index, backend): (usize, &&crate::model::Backend)| Share {
                index: index as u32,
                weight: backend.weight,
                address: (backend.address, backend.port).into(),
            };
            let shares: Vec<_> = members.iter().enumerate().map(share).collect();
            let slots = if hashed && shares.len() > 1 { slots::table(&shares) } else { Vec::new() };
            slots.into_iter().map(|index| shares[index as usize].address).collect::<Vec<_>>()
        };
        let cluster = table(port.hash_cluster, |backend| backend.in_cluster);
        let local = table(port.hash_local, |backend| backend.in_local);
        format!("{cluster:?} {local:?}")
    })
}

/// What `text` says of each frontend's port, where several claim it the winner's.
fn winners(
    wanted: &BTreeMap<ServiceName, Vec<ServicePort>>,
    text: impl Fn(&ServicePort, &Frontend) -> String,
) -> BTreeMap<String, String> {
    let mut claims: BTreeMap<String, Vec<(i64, String, String)>> = BTreeMap::new();
    for port in wanted.values().flatten() {
        let name = RowName::from(&port.id).to_string();
        for frontend in &port.frontends {
            let (at, _) = tables::frontend(&port.id, frontend);
            let created = port.created_s.unwrap_or(i64::MAX);
            let claim = (created, name.clone(), text(port, frontend));
            claims.entry(at.to_string()).or_default().push(claim);
        }
    }
    claims.into_iter().map(|(at, claims)| (at, claims.into_iter().min().unwrap().2)).collect()
}

/// Each once: how often a backend stands in a run is told elsewhere.
fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    texts.collect::<BTreeSet<_>>().into_iter().collect()
}

fn text_of_backend(at: SocketAddr, flags: u16, weight: u16) -> String {
    assert_eq!(flags & backend::flags::LEAVING, 0, "{at} leaves");
    format!("{at} {flags:#b} weight {weight}")
}

fn text_of_row(
    name: &RowName,
    kind: u8,
    settings: ServiceSettings,
    cluster: Vec<String>,
    local: Vec<String>,
    ranges: BTreeSet<(u32, IpAddr)>,
) -> String {
    let ServiceSettings { flags, affinity_timeout_s } = settings;
    let mut text = format!("{name} kind {kind} flags {flags:#x} timeout {affinity_timeout_s}");
    write!(text, " cluster {cluster:?} local {local:?} ranges {ranges:?}").unwrap();
    text
}

impl LiveRows for Image {
    fn service(&self, index: u32) -> Option<Service> {
        self.services.get(index as usize).copied()
    }

    fn backend(&self, index: u32) -> Option<Backend> {
        self.backends.get(index as usize).copied()
    }

    fn slots(&self, run: Run) -> Option<Vec<u32>> {
        let start = run.offset() as usize;
        self.slots.get(start..start + run.length() as usize).map(<[u32]>::to_vec)
    }
}
