//! What is said of the connection: one line when everything is in step with the server, one when
//! it no longer is, and nothing in between, however often it is tried again.

use std::{collections::BTreeSet, time::Duration};

use super::object::Kind;

/// Which feeds are in step.
#[derive(Debug, Default)]
pub(super) struct Link {
    lost: BTreeSet<Kind>,
}

impl Link {
    /// A feed is out of step. `true`: the first one, so it is to be said.
    pub(super) fn lost(&mut self, kind: Kind) -> bool {
        let is_first = self.lost.is_empty();
        self.lost.insert(kind);
        is_first
    }

    /// A feed is in step. `true`: the last one that was not.
    pub(super) fn in_step(&mut self, kind: Kind) -> bool {
        self.lost.remove(&kind) && self.lost.is_empty()
    }
}

/// A time for people: with seconds for as long as they matter.
pub(super) fn rounded(time: Duration) -> Duration {
    if time < Duration::from_secs(10) {
        Duration::from_millis(time.as_millis() as u64)
    } else {
        Duration::from_secs(time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_said_once_and_so_is_its_end() {
        let mut link = Link::default();
        assert!(!link.in_step(Kind::Services));
        assert!(link.lost(Kind::Services));
        assert!(!link.lost(Kind::Slices) && !link.lost(Kind::Services));
        assert!(!link.in_step(Kind::Services));
        assert!(!link.lost(Kind::Services), "the slices are still lost");
        assert!(!link.in_step(Kind::Slices));
        assert!(link.in_step(Kind::Services));
        assert!(link.lost(Kind::Node));
    }
}
