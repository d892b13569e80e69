//! What could not be used: said once when it appears and once when it is gone. What a source
//! refuses it says itself when it appears.

use std::collections::BTreeSet;

use tracing::{info, warn};

use crate::model::Rejection;

/// The rejections that stand.
#[derive(Debug, Default)]
pub(super) struct Standing {
    source: BTreeSet<Rejection>,
    planner: BTreeSet<Rejection>,
    said: BTreeSet<Rejection>,
}

impl Standing {
    /// Takes all that the source has now.
    pub(super) fn of_source(&mut self, rejections: impl IntoIterator<Item = Rejection>) {
        self.source = rejections.into_iter().collect();
    }

    /// Takes all that the planner has now.
    pub(super) fn of_planner(&mut self, rejections: impl IntoIterator<Item = Rejection>) {
        self.planner = rejections.into_iter().collect();
    }

    /// Logs what appeared and what is gone since the last call. Returns how many of each.
    pub(super) fn log_changes(&mut self) -> (usize, usize) {
        let now: BTreeSet<_> = self.source.union(&self.planner).cloned().collect();
        let appeared: Vec<_> = now.difference(&self.said).collect();
        let gone: Vec<_> = self.said.difference(&now).collect();
        appeared
            .iter()
            .filter(|rejection| self.planner.contains(**rejection))
            .for_each(|rejection| warn!("rejected: {rejection}"));
        gone.iter().for_each(|rejection| info!("no longer rejected: {rejection}"));
        let counts = (appeared.len(), gone.len());
        if counts != (0, 0) {
            info!(standing = now.len(), "rejections");
        }
        self.said = now;
        counts
    }

    /// Those that stood when changes were last logged.
    pub(super) fn standing(&self) -> impl Iterator<Item = &Rejection> {
        self.said.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(object: &str) -> Rejection {
        Rejection { object: object.into(), field: String::new(), reason: "is odd".into() }
    }

    #[test]
    fn each_is_said_once_when_it_comes_and_once_when_it_goes() {
        let mut standing = Standing::default();
        standing.of_source([rejection("a"), rejection("b")]);
        standing.of_planner([rejection("c")]);
        assert_eq!(standing.log_changes(), (3, 0));
        assert_eq!(standing.log_changes(), (0, 0));
        standing.of_source([rejection("b"), rejection("d")]);
        assert_eq!(standing.log_changes(), (1, 1));
        standing.of_planner([]);
        assert_eq!(standing.log_changes(), (0, 1));
    }
}
