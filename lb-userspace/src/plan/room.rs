//! What is free in the tables, and one Service's share of a plan as it is drafted.

use std::net::SocketAddr;

use lb_common::{
    Address, Be32, backend::Backend, names, service::Service, source_range::SourceRange,
};

use super::{
    Capacities, Op, Retired, Usage,
    allot::{Extent, Extents, Indices},
    capacity::Full,
    order::{Mark, Phase, Steps},
};

/// Free places of every table that a service row needs, frontends aside.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) services: Indices,
    pub(super) backends: Indices,
    pub(super) slots: Extents,
    pub(super) name_cells: Extents,
    /// Generation of each row of `BACKENDS` that was ever used.
    generations: Vec<u32>,
    ranges: u32,
    ranges_capacity: u32,
}

impl Room {
    pub(super) fn new(capacities: &Capacities) -> Self {
        Self {
            services: Indices::new(capacities.services),
            backends: Indices::new(capacities.backends),
            slots: Extents::new(capacities.slots),
            name_cells: Extents::new(capacities.name_cells),
            generations: Vec::new(),
            ranges: 0,
            ranges_capacity: capacities.source_ranges,
        }
    }

    pub(super) fn usage(&self, frontends_v4: u32, frontends_v6: u32) -> Usage {
        Usage {
            services: self.services.used(),
            backends: self.backends.used(),
            slots: self.slots.used(),
            name_cells: self.name_cells.used(),
            frontends_v4,
            frontends_v6,
            source_ranges: self.ranges,
        }
    }

    /// Whether a hash table of so many slots, in the place of one that had so many, leaves room for
    /// lists: a slot for each backend there may still be, and for one in eight of all another, as a
    /// new list stands beside the old one for a while. Of a table of slots that is small beside that
    /// of backends, half.
    fn leaves_lists_room(&self, length: u32, replaced: u32) -> bool {
        let backends = self.backends.capacity();
        let lists = backends - self.backends.used() + backends / 8;
        let left = self.slots.capacity() - self.slots.used() + replaced;
        left >= length + lists.min(self.slots.capacity() / 2)
    }

    /// Whether there may be room for what found none, as far as can be told without trying.
    pub(super) fn may_have(&self, full: &Full) -> bool {
        match full.table {
            names::SERVICES => self.services.used() < self.services.capacity(),
            names::BACKENDS => self.backends.capacity() - self.backends.used() >= full.length,
            names::SLOTS => {
                self.slots.longest() >= full.length
                    && (!full.hashed || self.leaves_lists_room(full.length, 0))
            }
            names::NAMES => self.name_cells.longest() >= full.length,
            _ => true,
        }
    }

    /// Takes note of the generation a row of `BACKENDS` has in the table.
    pub(super) fn set_generation(&mut self, index: u32, generation: u32) {
        let index = index as usize;
        if self.generations.len() <= index {
            self.generations.resize(index + 1, 0);
        }
        self.generations[index] = generation;
    }

    /// A generation that nobody remembers of this row.
    fn next_generation(&mut self, index: u32) -> u32 {
        let last = self.generations.get(index as usize).copied().unwrap_or(0);
        let next = last.wrapping_add(1);
        self.set_generation(index, next);
        next
    }

    /// Source ranges that were found in the table.
    pub(super) fn count_ranges(&mut self, count: u32) {
        self.ranges += count;
    }

    /// Source ranges whose removal is in a plan that is complete: before that, the plan's own
    /// additions, which come first, could find the table full.
    pub(super) fn uncount_ranges(&mut self, count: u32) {
        self.ranges -= count;
    }

    /// Makes places available again.
    pub(super) fn give_back(&mut self, places: &Retired) {
        places.services.iter().for_each(|index| self.services.free(*index));
        places.backends.iter().for_each(|index| self.backends.free(*index));
        places.slots.iter().for_each(|extent| self.slots.free(*extent));
        places.name_cells.iter().for_each(|extent| self.name_cells.free(*extent));
    }

    /// Wipes rows that nobody can be reading. Rows go before the backends they name.
    pub(super) fn clear(&mut self, places: &Retired, mut write: impl FnMut(Op)) {
        for &index in &places.services {
            write(Op::PutService { index, service: Service::default() });
        }
        for &index in &places.backends {
            let generation = self.next_generation(index);
            write(Op::PutBackend { index, backend: Backend { generation, ..Backend::default() } });
        }
    }
}

/// One Service's operations and places, which become part of the plan together or not at all.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    room: &'a mut Room,
    steps: &'a mut Steps,
    before: Mark,
    taken: Retired,
    ranges_taken: u32,
    pub(super) outcome: Outcome,
}

/// What a draft adds to the plan besides operations.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) retired: Retired,
    /// UDP backends that services have from now on, once for each.
    pub(super) joined: Vec<SocketAddr>,
    /// UDP backends that services no longer have, once for each.
    pub(super) parted: Vec<SocketAddr>,
    /// Source ranges removed.
    pub(super) ranges_freed: u32,
    /// There was no room for a hash table, so that its list is used instead.
    pub(super) unhashed: Option<Full>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(room: &'a mut Room, steps: &'a mut Steps) -> Self {
        Self {
            before: steps.mark(),
            room,
            steps,
            taken: Retired::default(),
            ranges_taken: 0,
            outcome: Outcome::default(),
        }
    }

    /// A stretch of `SLOTS` for a hash table, which a service can do without, in the place of one
    /// that had so many. It must leave room for lists, without which a service is not there at all.
    pub(super) fn table_slots(&mut self, length: u32, replaced: u32) -> Option<Extent> {
        let size = self.room.slots.capacity();
        let found = match self.room.leaves_lists_room(length, replaced) {
            true => self.slots(length),
            false => Err(Full::new(names::SLOTS, size, length)),
        };
        let unhashed = |full| self.outcome.unhashed = Some(Full { hashed: true, ..full });
        found.map_err(unhashed).ok()
    }

    pub(super) fn push(&mut self, phase: Phase, op: Op) {
        self.steps.push(phase, op);
    }

    /// A row of `SERVICES`.
    pub(super) fn service(&mut self) -> Result<u32, Full> {
        let table = &mut self.room.services;
        let full = Full::new(names::SERVICES, table.capacity(), 1);
        let index = table.allocate().ok_or(full)?;
        self.taken.services.push(index);
        Ok(index)
    }

    /// A row of `BACKENDS` and its new generation.
    pub(super) fn backend(&mut self) -> Result<(u32, u32), Full> {
        let table = &mut self.room.backends;
        let full = Full::new(names::BACKENDS, table.capacity(), 1);
        let index = table.allocate().ok_or(full)?;
        self.taken.backends.push(index);
        Ok((index, self.room.next_generation(index)))
    }

    /// A stretch of `SLOTS`.
    pub(super) fn slots(&mut self, length: u32) -> Result<Extent, Full> {
        let table = &mut self.room.slots;
        let full = Full::new(names::SLOTS, table.capacity(), length);
        let extent = table.allocate(length).ok_or(full)?;
        self.taken.slots.push(extent);
        Ok(extent)
    }

    /// A stretch of `NAMES`.
    pub(super) fn name_cells(&mut self, length: u32) -> Result<Extent, Full> {
        let table = &mut self.room.name_cells;
        let full = Full::new(names::NAMES, table.capacity(), length);
        let extent = table.allocate(length).ok_or(full)?;
        self.taken.name_cells.push(extent);
        Ok(extent)
    }

    /// Admits a client network to a service.
    pub(super) fn admit(
        &mut self,
        service: u32,
        (prefix_length, client): (u32, Address),
    ) -> Result<(), Full> {
        let size = self.room.ranges_capacity;
        if self.room.ranges >= size {
            return Err(Full::new(names::SOURCE_RANGES, size, 1));
        }
        self.room.ranges += 1;
        self.ranges_taken += 1;
        let range = SourceRange { service: Be32::new(service), client };
        self.push(Phase::AdmitRanges, Op::PutSourceRange { prefix_length, range });
        Ok(())
    }

    /// Takes an admission back.
    pub(super) fn revoke(&mut self, service: u32, (prefix_length, client): (u32, Address)) {
        self.outcome.ranges_freed += 1;
        let range = SourceRange { service: Be32::new(service), client };
        self.push(Phase::RevokeRanges, Op::RemoveSourceRange { prefix_length, range });
    }

    /// Nothing of it comes about: no operation was performed, so the places are free at once.
    pub(super) fn abandon(self) {
        self.steps.undo(self.before);
        self.room.give_back(&self.taken);
        self.room.uncount_ranges(self.ranges_taken);
    }
}
