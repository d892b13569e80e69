//! A row's name in `NAMES`: what lets people read the tables, and the next agent adopt them.

use std::sync::Arc;

use lb_common::service::NameCell;

use crate::model::{PortId, ServiceName};

const CELL: usize = size_of::<NameCell>();

/// A service row's name: `namespace/name`, and `:port` for a port with a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RowName {
    /// The Service.
    pub service: ServiceName,
    /// The port's name, possibly empty.
    pub port: Arc<str>,
}

impl RowName {
    /// Reads the cells of one name; `None` if they hold none.
    pub fn decode(cells: &[NameCell]) -> Option<Self> {
        let text = std::str::from_utf8(cells.as_flattened()).ok()?.trim_end_matches('\0');
        let (namespace, rest) = text.split_once('/')?;
        let (name, port) = rest.split_once(':').unwrap_or((rest, ""));
        Some(Self { service: ServiceName::new(namespace, name), port: port.into() })
    }

    /// As whole cells.
    pub fn encode(&self) -> Vec<NameCell> {
        let mut cells = Vec::new();
        for chunk in self.to_string().as_bytes().chunks(CELL) {
            let mut cell = [0; CELL];
            cell[..chunk.len()].copy_from_slice(chunk);
            cells.push(cell);
        }
        cells
    }
}

impl From<&PortId> for RowName {
    fn from(id: &PortId) -> Self {
        Self { service: id.service.clone(), port: id.port.clone() }
    }
}

impl std::fmt::Display for RowName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.service)?;
        if self.port.is_empty() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn round_trip(namespace: &str, name: &str, port: &str, cells: usize) {
        let given = RowName { service: ServiceName::new(namespace, name), port: port.into() };
        let encoded = given.encode();
        assert_eq!(encoded.len(), cells);
        assert_eq!(RowName::decode(&encoded), Some(given));
    }

    #[test]
    fn names_survive_the_table() {
        round_trip("default", "web", "", 1);
        round_trip("default", "web", "http", 1);
        round_trip("default", "web1", "http", 2);
        round_trip("a", "0123456789abcd", "", 1);
        round_trip(&"n".repeat(63), &"s".repeat(63), &"p".repeat(15), 9);
    }

    #[test]
    fn what_is_no_name_reads_as_none() {
        for cells in [&[][..], &[[0; CELL]], &[[0xff; CELL]], &[*b"no slash in here"]] {
            assert_eq!(RowName::decode(cells), None);
        }
    }
}
