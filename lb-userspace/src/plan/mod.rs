//! What to write: the difference between what should be and what the tables hold, as a list of
//! plain operations in a safe order.
//!
//! Pure: no clock, no file, no kernel. The agent feeds the [`Planner`] what
//! [`Model`](crate::model::Model) says, performs [`Plan::ops`] in their order, lets every program
//! that was running at that moment finish (the *grace period*), and hands [`Plan::retired`] back to
//! [`Planner::release`].
//!
//! # The order, and why it is safe
//!
//! A program reads a frontend, the service row it names, one run word of that row, one slot of that
//! run, and the backend that slot names. `order::Phase` orders the operations so that a
//! program which starts between any two of them finds the whole chain intact:
//!
//! * What is new is written from the far end: backends, slots, name, row, and the frontend last.
//! * What goes is taken away from the near end: the frontend first. A backend that leaves a
//!   service gets the flag `LEAVING` before the run without it is published, which ends affinity
//!   and UDP stickiness no later than the list; the row itself stays readable.
//! * A list changes with one store of one word, and an owner of a frontend with one map update.
//!
//! A program that *started before* an operation may still hold what it read: an old run, an old
//! row. So nothing it could hold is wiped or reused by the same plan. Rows, backends, slots and name
//! cells that went out of use are in [`Plan::retired`]; only after they were released does a later
//! plan clear the rows and give the places to somebody else, with a fresh generation.

mod adopt;
mod allot;
mod capacity;
mod claims;
mod drift;
mod members;
mod name;
mod node;
mod op;
mod order;
mod planner;
mod retired;
mod room;
mod row;
mod show;
mod slots;
mod tables;
#[cfg(test)]
mod tests;
mod vips;

use std::net::SocketAddr;

pub use adopt::Contents;
pub use capacity::{Capacities, Usage};
pub use drift::LiveRows;
pub use name::RowName;
pub use op::{FrontendAt, List, Op};
pub use planner::Planner;
pub use retired::Retired;

use crate::model::Rejection;

/// What to do, in this order.
#[must_use = "a plan that is not performed leaves the planner believing that it was"]
#[derive(Debug, Default)]
pub struct Plan {
    /// To be performed one after the other; none may be left out. If one fails, the planner no
    /// longer knows what the tables hold: start over with [`Planner::adopt`].
    pub ops: Vec<Op>,
    /// What could not be had and was not reported by an earlier plan;
    /// [`Planner::rejections`] has all that stand.
    pub rejections: Vec<Rejection>,
    /// Places out of use, to be given to [`Planner::release`] after the grace period.
    pub retired: Retired,
    /// UDP backends that no service has any more: sockets connected to them would wait for ever.
    pub severed: Vec<SocketAddr>,
}

impl Plan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}
