//! Whether what was attached and pinned is still there, and putting it back if it is not. Somebody
//! else with rights on the node can take it away at any time, by mistake or in a clean-up.
//!
//! What is in the tables is not looked at here.

use std::path::Path;

use super::{Dataplane, Error, cgroup};

/// What can have been taken away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A program on the cgroup.
    SocketHook,
    /// A program on a device.
    DeviceHook,
    /// The pin of a table, which the next agent finds it by.
    TablePin,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SocketHook, Self::DeviceHook, Self::TablePin];

    /// What it is called in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::SocketHook => "socket_hook",
            Self::DeviceHook => "device_hook",
            Self::TablePin => "table_pin",
        }
    }
}

/// What an audit found.
#[derive(Debug, Default)]
pub struct Audit {
    /// What was missing and is there again, each with its name.
    pub repaired: Vec<(Part, String)>,
    /// What could not be looked at or put back.
    pub errors: Vec<Error>,
}

impl Audit {
    fn add<N: Into<String>>(&mut self, part: Part, found: Result<Vec<N>, Error>) {
        match found {
            Ok(names) => {
                self.repaired.extend(names.into_iter().map(|name| (part, name.into())));
            }
            Err(error) => self.errors.push(error),
        }
    }
}

impl Dataplane {
    /// Puts back what is missing of what [`Self::attach_cgroup`] put on this cgroup, and
    /// [`Self::follow_devices`] and [`Self::follow_pods`] on devices, and of the tables' pins. Whatever failed is tried again
    /// with the next call.
    pub fn audit(&mut self, cgroup: &Path) -> Audit {
        let mut audit = Audit::default();
        // The folders may be gone with what was in them.
        audit.errors.extend(self.pins.prepare().err());
        audit.add(Part::TablePin, self.programs.keep_pinned(&self.pins));
        audit.add(Part::SocketHook, cgroup::keep(&self.programs, &self.pins, cgroup));
        let mut repaired = Vec::new();
        let (programs, pins) = (&mut self.programs, &self.pins);
        audit.errors.extend(self.devices.keep(programs, pins, &mut repaired));
        audit.errors.extend(self.replies.keep(programs, pins, &mut repaired));
        audit.add(Part::DeviceHook, Ok(repaired));
        audit
    }
}
