//! The applied state, rebuilt from tables that an earlier agent left behind.
//!
//! It may have been interrupted between any two operations. What the order of operations
//! guarantees to programs, it guarantees to the next agent too: a row that a frontend leads to is
//! whole. Everything else is a beginning or an end that nobody needs, and is wiped.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use lb_common::{
    Address, Be16, Protocol,
    backend::{self, Backend},
    device::Device,
    frontend::Frontend,
    run::Run,
    service::{NameCell, Service, flags},
    source_range::SourceRange,
};

use super::{
    Capacities, FrontendAt, List, Op, Plan, Planner, Retired, RowName,
    claims::Claim,
    members::{self, Member},
    order::Steps,
    room::Room,
    row::Row,
    slots, tables,
};
use crate::model::{IpFamily, PortId};

/// What the tables hold, as it was read.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// Rows of `SERVICES` that are not all zero.
    pub services: Vec<(u32, Service)>,
    /// Rows of `BACKENDS` that are not all zero; free ones too, for their generation.
    pub backends: Vec<(u32, Backend)>,
    /// `SLOTS` from the first on, at least as far as runs reach.
    pub slots: Vec<u32>,
    /// `NAMES`, likewise.
    pub names: Vec<NameCell>,
    /// Both frontend tables.
    pub frontends: Vec<(FrontendAt, Frontend)>,
    /// `SOURCE_RANGES` with the prefix length of each key.
    pub source_ranges: Vec<(u32, SourceRange)>,
    /// `VIPS`.
    pub vips: BTreeMap<Address, u32>,
    /// `NODE_ADDRESSES`.
    pub node_addresses: BTreeMap<Address, u32>,
    /// `DEVICES`.
    pub devices: BTreeMap<u32, Device>,
}

impl Planner {
    /// A planner for tables that hold `contents`, and the plan that removes what does not hang
    /// together. That plan is to be performed before any other.
    ///
    /// Stretches that the earlier agent had retired are free at once: at least one grace period
    /// must pass between its end and the first plan that is performed.
    pub fn adopt(capacities: Capacities, mut contents: Contents) -> (Self, Plan) {
        contents.services.sort_unstable_by_key(|(index, _)| *index);
        let mut planner = Self::new(capacities);
        let mut survey = Survey::new(&contents);
        for (index, backend) in &contents.backends {
            planner.room.set_generation(*index, backend.generation);
        }
        for (index, service) in &contents.services {
            if let Some(row) = survey.row(*index, service, &mut planner.room) {
                planner.take(row);
            }
        }
        planner.node.addresses = contents.node_addresses.clone();
        planner.node.devices = contents.devices.clone();
        let plan = planner.repair(&contents);
        (planner, plan)
    }

    fn take(&mut self, row: Row) {
        for (at, claim) in &row.claims {
            self.claims.adopt(*at, claim.clone());
        }
        if row.id.protocol == Protocol::Udp {
            for member in &row.members {
                *self.datagram_backends.entry(member.socket_address()).or_default() += 1;
            }
        }
        self.room.count_ranges(row.ranges.len() as u32);
        self.applied.entry(row.id.service.clone()).or_default().push(row);
    }

    /// Removes what no adopted row accounts for: from the near end, as ever.
    fn repair(&mut self, contents: &Contents) -> Plan {
        let rows = || self.applied.values().flatten();
        let live: HashSet<_> = rows().map(|row| row.index).collect();
        let members: HashSet<_> = rows().flat_map(|row| &row.members).map(|m| m.index).collect();
        let frontends: HashSet<_> =
            rows().flat_map(|row| row.claims.iter().map(|(at, _)| *at)).collect();

        let mut ops = Vec::new();
        for (at, _) in &contents.frontends {
            if !frontends.contains(at) {
                ops.push(Op::RemoveFrontend { at: *at });
            }
        }
        for (prefix_length, range) in &contents.source_ranges {
            if !live.contains(&range.service.get()) {
                ops.push(Op::RemoveSourceRange { prefix_length: *prefix_length, range: *range });
            }
        }
        let mut parted = Vec::new();
        let mut wiped = Retired::default();
        for (index, _) in contents.services.iter().filter(|(index, _)| !live.contains(index)) {
            wiped.services.push(*index);
        }
        for (index, backend) in &contents.backends {
            if backend.flags != 0 && !members.contains(index) {
                wiped.backends.push(*index);
                parted.extend(datagram_backend(backend, contents));
            }
        }
        self.room.clear(&wiped, |op| ops.push(op));
        self.claims.vips.adopt(&contents.vips);
        let mut steps = Steps::default();
        self.claims.vips.settle(&mut steps);
        ops.append(&mut steps.into_ops());
        Plan { ops, severed: self.severed(parted), ..Plan::default() }
    }
}

/// The address of a backend whose service, as far as its row still tells, is for UDP.
fn datagram_backend(backend: &Backend, contents: &Contents) -> Option<SocketAddr> {
    let place = contents.services.binary_search_by_key(&backend.service, |(index, _)| *index);
    let (_, service) = contents.services.get(place.ok()?)?;
    let (protocol, _) = tables::kind_of_row(service.settings)?;
    let address = SocketAddr::new(backend.address.into(), backend.port.get());
    (protocol == Protocol::Udp).then_some(address)
}

/// The contents, sorted by the row they belong to.
struct Survey<'a> {
    contents: &'a Contents,
    frontends: HashMap<u32, Vec<(FrontendAt, Frontend)>>,
    backends: HashMap<u32, &'a Backend>,
    /// Backends by the row of `SERVICES` they say they belong to.
    of_service: HashMap<u32, Vec<u32>>,
    ranges: HashMap<u32, BTreeSet<(u32, Address)>>,
    /// Whose row has been found.
    found: HashSet<Arc<PortId>>,
}

impl<'a> Survey<'a> {
    fn new(contents: &'a Contents) -> Self {
        let mut survey = Self {
            contents,
            frontends: HashMap::new(),
            backends: HashMap::new(),
            of_service: HashMap::new(),
            ranges: HashMap::new(),
            found: HashSet::new(),
        };
        for (at, frontend) in &contents.frontends {
            survey.frontends.entry(frontend.service).or_default().push((*at, *frontend));
        }
        for (index, backend) in contents.backends.iter().filter(|(_, b)| b.flags != 0) {
            survey.backends.insert(*index, backend);
            survey.of_service.entry(backend.service).or_default().push(*index);
        }
        for (prefix_length, range) in &contents.source_ranges {
            let ranges = survey.ranges.entry(range.service.get()).or_default();
            ranges.insert((*prefix_length, range.client));
        }
        survey
    }

    /// The row, if frontends lead to it and all of it is sound; its places are then taken.
    fn row(&mut self, index: u32, service: &Service, room: &mut Room) -> Option<Row> {
        if service.settings.flags & flags::LIVE == 0 {
            return None;
        }
        let (protocol, family) = tables::kind_of_row(service.settings)?;
        let mut frontends = self.frontends.remove(&index)?;
        frontends.retain(|(at, _)| at.family() == family && at.protocol() == protocol.number());
        if frontends.is_empty() {
            return None;
        }
        let cells = stretch(&self.contents.names, service.name)?;
        let RowName { service: name, port } = RowName::decode(cells)?;
        let id = Arc::new(PortId { service: name, port, protocol, family });
        if self.found.contains(&id) {
            return None;
        }
        let members = self.members(index, service, family)?;
        take_places(index, service, &members, room)?;
        self.found.insert(id.clone());

        let claim = |frontend: &Frontend| Claim::new(None, id.clone(), index, frontend.kind);
        let claims = frontends.iter().map(|(at, frontend)| (*at, claim(frontend))).collect();
        let ranges = self.ranges.remove(&index).unwrap_or_default();
        Some(Row { id, index, service: *service, members, ranges, claims })
    }

    /// What the lists name, and whatever else serves. `None` if a list names a backend that is
    /// not the row's own.
    fn members(&self, service: u32, row: &Service, family: IpFamily) -> Option<Vec<Member>> {
        let mut members: BTreeMap<u32, Member> = BTreeMap::new();
        for (list, run) in List::ALL.into_iter().zip(row.runs()) {
            for index in stretch(&self.contents.slots, run)? {
                let backend = self.backends.get(index)?;
                let address = IpAddr::from(backend.address);
                if backend.service != service || IpFamily::of(address) != family {
                    return None;
                }
                let member = members.entry(*index).or_insert_with(|| member(*index, backend, 0));
                if list.is_hashed() {
                    member.hashed |= list.flag();
                } else {
                    member.lists |= list.flag();
                }
            }
        }
        let mut keys: BTreeSet<_> = members.values().map(Member::socket_address).collect();
        if keys.len() < members.len() {
            return None;
        }
        for index in self.of_service.get(&service).into_iter().flatten() {
            let backend = self.backends.get(index)?;
            let member = member(*index, backend, 0);
            let serves = backend.flags & backend::flags::SERVING != 0
                && IpFamily::of(member.address) == family;
            if serves && !members.contains_key(index) && keys.insert(member.socket_address()) {
                members.insert(*index, member);
            }
        }
        let mut members: Vec<_> = members.into_values().collect();
        members.sort_by_key(|member| (member.address, member.port));
        for (list, run) in
            [(List::ClusterHashed, row.cluster_hashed), (List::LocalHashed, row.local_hashed)]
        {
            let found = stretch(&self.contents.slots, run)?;
            let shares = members::shares(list, &members);
            // A weight may be one that an interrupted agent had not noted yet.
            let sound = found.is_empty()
                || (found.len() == slots::table_size(shares.len()) as usize
                    && shares.iter().all(|share| share.weight > 0)
                    && found == slots::table(&shares));
            if !sound {
                // Not the table that would be made today: as if nobody stood in it.
                members.iter_mut().for_each(|member| member.hashed &= !list.flag());
            }
        }
        Some(members)
    }
}

fn member(index: u32, backend: &Backend, lists: u16) -> Member {
    let (address, port): (_, Be16) = (backend.address.into(), backend.port);
    let Backend { flags, weight, membership, .. } = *backend;
    Member { address, port: port.get(), index, flags, lists, hashed: 0, weight, membership }
}

fn stretch<T>(table: &[T], run: Run) -> Option<&[T]> {
    let offset = run.offset() as usize;
    if run.is_empty() { Some(&[]) } else { table.get(offset..offset + run.length() as usize) }
}

/// All of the row's places, or none of them if one is taken.
fn take_places(index: u32, service: &Service, members: &[Member], room: &mut Room) -> Option<()> {
    let mut taken = Retired::default();
    let mut take = || {
        room.services.reserve(index).then(|| taken.services.push(index))?;
        for run in service.runs() {
            if let Some(extent) = members::extent(run) {
                room.slots.reserve(extent).then(|| taken.slots.push(extent))?;
            }
        }
        if let Some(extent) = members::extent(service.name) {
            room.name_cells.reserve(extent).then(|| taken.name_cells.push(extent))?;
        }
        for member in members {
            room.backends.reserve(member.index).then(|| taken.backends.push(member.index))?;
        }
        Some(())
    };
    let all = take();
    if all.is_none() {
        room.give_back(&taken);
    }
    all
}
