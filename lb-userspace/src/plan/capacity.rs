//! How large the tables are, and how full.

use lb_common::{limits, names};

use crate::model::{Rejection, ServiceName};

/// Sizes of the tables, in entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacities {
    /// Rows of `SERVICES`.
    pub services: u32,
    /// Rows of `BACKENDS`.
    pub backends: u32,
    /// Positions in `SLOTS`.
    pub slots: u32,
    /// Cells of `NAMES`.
    pub name_cells: u32,
    /// Entries of each of the two frontend tables.
    pub frontends: u32,
    /// Entries of `SOURCE_RANGES`.
    pub source_ranges: u32,
    /// Entries of `NODE_ADDRESSES`.
    pub node_addresses: u32,
    /// Entries of `DEVICES`.
    pub devices: u32,
}

impl Default for Capacities {
    fn default() -> Self {
        Self {
            services: limits::SERVICES,
            backends: limits::BACKENDS,
            slots: limits::SLOTS,
            name_cells: limits::NAME_CELLS,
            frontends: limits::FRONTENDS,
            source_ranges: limits::SOURCE_RANGES,
            node_addresses: limits::NODE_ADDRESSES,
            devices: limits::DEVICES,
        }
    }
}

/// What is in use or waits for its grace period, table by table in the units of [`Capacities`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Rows of `SERVICES`.
    pub services: u32,
    /// Rows of `BACKENDS`.
    pub backends: u32,
    /// Positions in `SLOTS`.
    pub slots: u32,
    /// Cells of `NAMES`.
    pub name_cells: u32,
    /// Entries of `FRONTENDS_V4`.
    pub frontends_v4: u32,
    /// Entries of `FRONTENDS_V6`.
    pub frontends_v6: u32,
    /// Entries of `SOURCE_RANGES`.
    pub source_ranges: u32,
}

/// A table has no room for what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Full {
    /// Its name.
    pub(super) table: &'static str,
    /// Its size.
    pub(super) size: u32,
    /// Places it takes at least, in one piece where rows are not taken one by one.
    pub(super) length: u32,
    /// For a hash table, which leaves room for lists.
    pub(super) hashed: bool,
}

impl Full {
    /// Of a table that has no stretch of so many places, or no place at all.
    pub(super) fn new(table: &'static str, size: u32, length: u32) -> Self {
        Self { table, size, length, hashed: false }
    }

    /// The table with its size, and the flag that sets it.
    fn table(self) -> String {
        let flag = match self.table {
            names::SERVICES | names::NAMES => ", see --max-services",
            names::BACKENDS => ", see --max-backends",
            names::SLOTS => ", see --max-slots",
            names::FRONTENDS_V4 | names::FRONTENDS_V6 => ", see --max-frontends",
            names::SOURCE_RANGES => ", see --max-source-ranges",
            _ => "",
        };
        format!("table {} ({} entries{flag})", self.table, self.size)
    }

    /// As the reason for leaving a Service's hash tables out.
    pub(super) fn unhashed(self, service: &ServiceName) -> Rejection {
        Rejection {
            object: format!("Service {service}"),
            field: String::new(),
            reason: format!(
                "flows are spread at random: {} has no room to spread them by hash",
                self.table()
            ),
        }
    }

    /// As the reason for leaving a Service out.
    pub(super) fn rejection(self, service: &ServiceName) -> Rejection {
        Rejection {
            object: format!("Service {service}"),
            field: String::new(),
            reason: format!("does not fit: {} has no room for it", self.table()),
        }
    }
}
