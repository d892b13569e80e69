//! The planner: what was applied, and the way from there to what is wanted.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    net::SocketAddr,
};

use lb_common::{Address, device::Device, names};

use super::{
    Capacities, Plan, Retired, Usage,
    capacity::Full,
    claims::Claims,
    node::NodeTables,
    order::{Phase, Steps},
    room::{Draft, Outcome, Room},
    row::Row,
};
use crate::model::{Rejection, ServiceName, ServicePort};

/// Holds what the tables hold, and plans changes to it.
///
/// Each plan takes for granted that the one before was performed.
#[derive(Debug)]
pub struct Planner {
    pub(super) capacities: Capacities,
    pub(super) room: Room,
    pub(super) claims: Claims,
    pub(super) node: NodeTables,
    /// Rows by Service; no Service without a row.
    pub(super) applied: HashMap<ServiceName, Vec<Row>>,
    /// How many rows have a UDP backend.
    pub(super) datagram_backends: HashMap<SocketAddr, u32>,
    /// Services for which a table had no room, or none for their hash tables, as they were wanted
    /// last; and which table.
    waiting: BTreeMap<ServiceName, (Full, Vec<ServicePort>)>,
    /// Why Services, or parts of them, were left out, conflicts over frontends aside.
    refused: BTreeMap<ServiceName, Vec<Rejection>>,
    refused_changed: bool,
    /// Everything that is rejected now.
    standing: BTreeSet<Rejection>,
    /// Rows to clear: nobody can be reading them any more.
    released: Retired,
    /// Tables in which something became free since `waiting` was last tried.
    room_made: BTreeSet<&'static str>,
}

impl Planner {
    /// A planner for empty tables of these sizes.
    pub fn new(capacities: Capacities) -> Self {
        Self {
            room: Room::new(&capacities),
            claims: Claims::new(capacities.frontends),
            node: NodeTables::default(),
            applied: HashMap::new(),
            datagram_backends: HashMap::new(),
            waiting: BTreeMap::new(),
            refused: BTreeMap::new(),
            refused_changed: false,
            standing: BTreeSet::new(),
            released: Retired::default(),
            room_made: BTreeSet::new(),
            capacities,
        }
    }

    /// Every Service that was applied or waits for room, in no particular order. Those a complete
    /// picture does not name have vanished.
    pub fn names(&self) -> impl Iterator<Item = &ServiceName> {
        let only_waiting = self.waiting.keys().filter(|name| !self.applied.contains_key(*name));
        self.applied.keys().chain(only_waiting)
    }

    /// Everything that is rejected now.
    pub fn rejections(&self) -> impl Iterator<Item = &Rejection> + Clone {
        self.standing.iter()
    }

    /// How full the tables are.
    pub fn usage(&self) -> Usage {
        let [v4, v6] = self.claims.used();
        self.room.usage(v4, v6)
    }

    /// Plans the change to what is wanted for the Services named; others stay as they are. Each
    /// Service's ports replace those applied for it; none means that it is gone.
    ///
    /// A Service for which a table has no room is left out whole, withdrawn if it was applied,
    /// and tried again by the first plan after something became free there.
    pub fn plan(
        &mut self,
        wanted: impl IntoIterator<Item = (ServiceName, Vec<ServicePort>)>,
    ) -> Plan {
        let mut work = Work::default();
        self.room
            .clear(&std::mem::take(&mut self.released), |op| work.steps.push(Phase::Clear, op));

        // What goes makes room for what changes, and that for what is new.
        let [mut gone, mut changed, mut new] = [const { Vec::new() }; 3];
        for (name, ports) in unique(wanted) {
            self.waiting.remove(&name);
            self.refused_changed |= self.refused.remove(&name).is_some();
            let round = match (ports.is_empty(), self.applied.contains_key(&name)) {
                (true, _) => &mut gone,
                (false, true) => &mut changed,
                (false, false) => &mut new,
            };
            round.push((name, ports));
        }
        for (name, ports) in gone.into_iter().chain(changed).chain(new) {
            self.replace(name, ports, &mut work);
        }
        let room_made = std::mem::take(&mut self.room_made);
        if !room_made.is_empty() {
            self.try_again(&room_made, &mut work);
        }
        // What was left out by this plan waits for the next.
        self.waiting.extend(std::mem::take(&mut work.waiting));

        self.claims.settle(&mut work.steps);
        self.room.uncount_ranges(work.ranges_freed);
        if work.ranges_freed > 0 {
            self.room_made.insert(names::SOURCE_RANGES);
        }
        Plan {
            ops: work.steps.into_ops(),
            rejections: self.report(),
            retired: work.retired,
            severed: self.severed(work.parted),
        }
    }

    /// Plans the change to the node's addresses, with the flags of
    /// [`node_address`](lb_common::frontend::node_address), and to the devices by ifindex. Both
    /// are complete.
    pub fn plan_node(
        &mut self,
        addresses: &BTreeMap<Address, u32>,
        devices: &BTreeMap<u32, Device>,
    ) -> Plan {
        let ops = self.node.replace(&self.capacities, addresses, devices);
        self.refused_changed = true;
        Plan { ops, rejections: self.report(), ..Plan::default() }
    }

    /// Takes places back whose grace period is over: every program that was running when the plan
    /// that retired them had been performed has finished. Answers whether there is something to
    /// plan now even if nothing new is wanted: rows to clear, or Services that wait for room.
    pub fn release(&mut self, mut retired: Retired) -> bool {
        for (table, is_free) in [
            (names::SERVICES, !retired.services.is_empty()),
            (names::BACKENDS, !retired.backends.is_empty()),
            (names::SLOTS, !retired.slots.is_empty()),
            (names::NAMES, !retired.name_cells.is_empty()),
        ] {
            if is_free {
                self.room_made.insert(table);
            }
        }
        self.room.give_back(&retired);
        // Slots and names need no clearing: nothing says that they are in use but a row.
        self.released.services.append(&mut retired.services);
        self.released.backends.append(&mut retired.backends);
        let mut waiting = self.waiting.values();
        !self.released.is_empty() || waiting.any(|(full, _)| self.may_fit(full, &self.room_made))
    }

    /// Tries those that wait for one of these tables. Very many may, and there is room for few: who
    /// would find as little as before is left waiting.
    fn try_again(&mut self, room_made: &BTreeSet<&'static str>, work: &mut Work) {
        let hopeful = self.waiting.iter().filter(|(_, (full, _))| self.may_fit(full, room_made));
        let names: Vec<_> = hopeful.map(|(name, _)| name.clone()).collect();
        for name in names {
            let Entry::Occupied(waits) = self.waiting.entry(name) else { continue };
            // Others may have taken it by now.
            if !self.room.may_have(&waits.get().0) {
                continue;
            }
            let (name, (_, ports)) = waits.remove_entry();
            self.refused_changed |= self.refused.remove(&name).is_some();
            self.replace(name, ports, work);
        }
    }

    fn may_fit(&self, full: &Full, room_made: &BTreeSet<&'static str>) -> bool {
        room_made.contains(full.table) && self.room.may_have(full)
    }

    fn replace(&mut self, name: ServiceName, ports: Vec<ServicePort>, work: &mut Work) {
        let old = self.applied.remove(&name).unwrap_or_default();
        let used = self.claims.used();
        match self.place(&name, &old, &ports, &mut work.steps) {
            Ok((rows, outcome)) => {
                if let Some(full) = outcome.unhashed {
                    self.refused.entry(name.clone()).or_default().push(full.unhashed(&name));
                    self.refused_changed = true;
                    work.waiting.insert(name.clone(), (full, ports));
                }
                work.absorb(outcome, &mut self.datagram_backends);
                if !rows.is_empty() {
                    self.applied.insert(name, rows);
                }
            }
            Err(full) => {
                let outcome = self.withdraw(&old, &mut work.steps);
                work.absorb(outcome, &mut self.datagram_backends);
                self.refused.insert(name.clone(), vec![full.rejection(&name)]);
                self.refused_changed = true;
                work.waiting.insert(name, (full, ports));
            }
        }
        let frontends = [names::FRONTENDS_V4, names::FRONTENDS_V6];
        for (table, (now, was)) in
            frontends.into_iter().zip(self.claims.used().into_iter().zip(used))
        {
            if now < was {
                self.room_made.insert(table);
            }
        }
    }

    /// Everything for one Service, or nothing.
    fn place(
        &mut self,
        name: &ServiceName,
        old: &[Row],
        ports: &[ServicePort],
        steps: &mut Steps,
    ) -> Result<(Vec<Row>, Outcome), Full> {
        let mut draft = Draft::new(&mut self.room, steps);
        let mut doubled = Vec::new();
        let placed = rows(&mut draft, old, ports, &mut doubled)
            .and_then(|rows| self.claims.replace(old, &rows).map(|()| rows));
        match placed {
            Ok(rows) => {
                let outcome = draft.outcome;
                if !doubled.is_empty() {
                    self.refused.insert(name.clone(), doubled);
                    self.refused_changed = true;
                }
                Ok((rows, outcome))
            }
            Err(full) => {
                draft.abandon();
                Err(full)
            }
        }
    }

    fn withdraw(&mut self, rows: &[Row], steps: &mut Steps) -> Outcome {
        let mut draft = Draft::new(&mut self.room, steps);
        rows.iter().for_each(|row| row.retire(&mut draft));
        let outcome = draft.outcome;
        let removed = self.claims.replace(rows, &[]);
        debug_assert!(removed.is_ok(), "giving claims up needs no room");
        outcome
    }

    /// Those UDP backends that no service has.
    pub(super) fn severed(&self, mut parted: Vec<SocketAddr>) -> Vec<SocketAddr> {
        parted.sort_unstable();
        parted.dedup();
        parted.retain(|backend| !self.datagram_backends.contains_key(backend));
        parted
    }

    /// What is rejected now and was not when last asked.
    fn report(&mut self) -> Vec<Rejection> {
        if !(self.refused_changed | self.claims.losers_changed) {
            return Vec::new();
        }
        (self.refused_changed, self.claims.losers_changed) = (false, false);
        let standing: BTreeSet<_> = self
            .refused
            .values()
            .flatten()
            .cloned()
            .chain(self.node.rejected.iter().cloned())
            .chain(self.claims.losers())
            .collect();
        let new = standing.difference(&self.standing).cloned().collect();
        self.standing = standing;
        new
    }
}

/// In order of names; the last word counts where one is named twice.
fn unique(
    wanted: impl IntoIterator<Item = (ServiceName, Vec<ServicePort>)>,
) -> Vec<(ServiceName, Vec<ServicePort>)> {
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    wanted.sort_by(|(a, _), (b, _)| a.cmp(b));
    wanted.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    wanted
}

/// Rows for `ports`; old rows without a port are retired.
fn rows(
    draft: &mut Draft<'_>,
    old: &[Row],
    ports: &[ServicePort],
    doubled: &mut Vec<Rejection>,
) -> Result<Vec<Row>, Full> {
    let mut rows: Vec<Row> = Vec::with_capacity(ports.len());
    for port in ports {
        if rows.iter().any(|row| *row.id == port.id) {
            doubled.push(Rejection {
                object: format!("Service {}", port.id.service),
                field: "spec.ports".to_owned(),
                reason: format!("a second {} port is named `{}`", port.id.protocol, port.id.port),
            });
            continue;
        }
        let own = old.iter().find(|row| *row.id == port.id);
        rows.push(Row::place(draft, port, own)?);
    }
    for row in old.iter().filter(|row| rows.iter().all(|kept| kept.index != row.index)) {
        row.retire(draft);
    }
    Ok(rows)
}

/// A plan in the making.
#[derive(Debug, Default)]
struct Work {
    steps: Steps,
    retired: Retired,
    parted: Vec<SocketAddr>,
    ranges_freed: u32,
    /// What finds no room.
    waiting: BTreeMap<ServiceName, (Full, Vec<ServicePort>)>,
}

impl Work {
    fn absorb(&mut self, mut outcome: Outcome, backends: &mut HashMap<SocketAddr, u32>) {
        self.retired.append(&mut outcome.retired);
        self.ranges_freed += outcome.ranges_freed;
        for joined in outcome.joined {
            *backends.entry(joined).or_default() += 1;
        }
        for parted in &outcome.parted {
            if let Some(rows) = backends.get_mut(parted) {
                *rows -= 1;
                if *rows == 0 {
                    backends.remove(parted);
                }
            }
        }
        self.parted.append(&mut outcome.parted);
    }
}
