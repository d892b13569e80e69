//! Places that went out of use but may still be read.

use super::allot::Extent;

/// Places in the tables that no program can find any more, except one that was already running.
///
/// The agent keeps it until the grace period is over. Several may be [merged](Self::merge) to wait
/// together; one that is dropped costs its places until the next start.
#[must_use = "the places are lost unless given to Planner::release"]
#[derive(Debug, Default)]
pub struct Retired {
    pub(super) services: Vec<u32>,
    pub(super) backends: Vec<u32>,
    pub(super) slots: Vec<Extent>,
    pub(super) name_cells: Vec<Extent>,
}

impl Retired {
    /// Whether there is nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.backends.is_empty()
            && self.slots.is_empty()
            && self.name_cells.is_empty()
    }

    /// Takes another's places too.
    pub fn merge(&mut self, mut other: Self) {
        self.append(&mut other);
    }

    pub(super) fn append(&mut self, other: &mut Self) {
        self.services.append(&mut other.services);
        self.backends.append(&mut other.backends);
        self.slots.append(&mut other.slots);
        self.name_cells.append(&mut other.name_cells);
    }
}
