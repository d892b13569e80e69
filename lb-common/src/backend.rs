//! The row of `BACKENDS`: one endpoint of one service.
//!
//! A backend belongs to exactly one service, even where two services name the same pod: whether a
//! remembered backend is still an endpoint *of this service* is then one array read, for UDP
//! flows, for session affinity and for sockets alike.

use crate::{Address, Be16};

/// A row of `BACKENDS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Backend {
    /// The endpoint's address.
    pub address: Address,
    /// The endpoint's port.
    pub port: Be16,
    /// A set of [`flags`].
    pub flags: u16,
    /// Changes whenever the row is given to another endpoint; whoever remembers a backend
    /// remembers this too.
    pub generation: u32,
    /// Row of `SERVICES` it belongs to.
    pub service: u32,
    /// Its share of new flows beside the others of its service; 0: none. The lists already say so:
    /// only people and the next agent read it.
    pub weight: u16,
    /// Counts its returns to the lists: a client's memory of it ends with this.
    pub membership: u16,
}

/// Flags of a [`Backend`]. None set: the row is free.
pub mod flags {
    /// A member of the service, serving: remembered UDP flows may go on using it.
    pub const SERVING: u16 = 1 << 0;
    /// In the service's cluster run.
    pub const IN_CLUSTER: u16 = 1 << 1;
    /// In the service's local run.
    pub const IN_LOCAL: u16 = 1 << 2;
    /// On this node, by the endpoint's `nodeName`.
    pub const LOCAL: u16 = 1 << 3;
    /// No longer a member, and therefore without any other flag: whoever remembers it must let go.
    /// The row stays readable for programs that met it in a run before the run was replaced; they
    /// use it as they would have a moment earlier.
    pub const LEAVING: u16 = 1 << 4;
}

/// A remembered backend: valid while the row still has this generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct BackendRef {
    /// Row of `BACKENDS`.
    pub index: u32,
    /// Generation of the row when it was remembered.
    pub generation: u32,
}
