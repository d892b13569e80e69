//! What could not be used: said once when it appears and once when it is gone. What a source
//! refuses it says itself when it appears.

use std::collections::BTreeSet;

use tracing::{info, warn};

use crate::model::Rejection;

/// How many are told one by one when many come at once, as where a table is too small for a
/// cluster.
const MOST_TOLD: usize = 20;

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
        let counts = (appeared.len(), gone.len());
        let ours: Vec<_> =
            appeared.into_iter().filter(|rejection| self.planner.contains(rejection)).collect();
        let (told, more) = ours.split_at(ours.len().min(MOST_TOLD));
        told.iter().for_each(|rejection| warn!("rejected: {rejection}"));
        if let Some(last) = more.last() {
            warn!("rejected: {} more, the last of them {last}", more.len());
        }
        let (told, more) = gone.split_at(gone.len().min(MOST_TOLD));
        told.iter().for_each(|rejection| info!("no longer rejected: {rejection}"));
        if !more.is_empty() {
            info!("no longer rejected: {} more", more.len());
        }
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
