//! Readiness: what a start still has to do before this node is served.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Something that must have happened once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Guard {
    /// The tables hold everything that a complete picture says.
    Picture,
    /// The socket programs are on the cgroup.
    Sockets,
    /// It was tried to put the packet programs on every external device.
    Devices,
}

impl Guard {
    const ALL: [Self; 3] = [Self::Picture, Self::Sockets, Self::Devices];

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Picture => "picture",
            Self::Sockets => "socket-programs",
            Self::Devices => "devices",
        }
    }
}

/// The guards that are left. Shared between the tasks that pass them and who is asked; a guard that
/// was passed does not come back, as programs and tables stay in the kernel whatever happens later.
#[derive(Debug)]
pub struct Ready(Mutex<BTreeSet<Guard>>);

impl Default for Ready {
    fn default() -> Self {
        Self(Mutex::new(Guard::ALL.into()))
    }
}

impl Ready {
    /// It has happened.
    pub fn pass(&self, guard: Guard) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&guard);
    }

    /// What has not; nothing: ready.
    pub fn left(&self) -> BTreeSet<Guard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_every_guard_was_passed_once() {
        let ready = Ready::default();
        for (passed, left) in [
            (Guard::Sockets, &["picture", "devices"][..]),
            (Guard::Sockets, &["picture", "devices"]),
            (Guard::Picture, &["devices"]),
            (Guard::Devices, &[]),
        ] {
            ready.pass(passed);
            assert_eq!(ready.left().into_iter().map(Guard::name).collect::<Vec<_>>(), left);
        }
    }
}
