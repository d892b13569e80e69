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
    checks: BTreeSet<Rejection>,
    said: BTreeSet<Rejection>,
    /// Something differs from what was said.
    changed: bool,
}

impl Standing {
    /// Takes all that the source has now.
    pub(super) fn of_source(&mut self, rejections: impl IntoIterator<Item = Rejection>) {
        self.source = rejections.into_iter().collect();
        self.changed = true;
    }

    /// Takes all that the planner has now, in order. Very many may stand for long, and are copied
    /// only if they are others than before.
    pub(super) fn of_planner<'a>(
        &mut self,
        rejections: impl Iterator<Item = &'a Rejection> + Clone,
    ) {
        if !self.planner.iter().eq(rejections.clone()) {
            self.planner = rejections.cloned().collect();
            self.changed = true;
        }
    }

    /// Takes all that health checks have now.
    pub(super) fn of_checks(&mut self, rejections: impl IntoIterator<Item = Rejection>) {
        let checks = rejections.into_iter().collect();
        if self.checks != checks {
            self.checks = checks;
            self.changed = true;
        }
    }

    /// Logs what appeared and what is gone since the last call. Returns how many of each.
    pub(super) fn log_changes(&mut self) -> (usize, usize) {
        if !std::mem::take(&mut self.changed) {
            return (0, 0);
        }
        let own = self.planner.union(&self.checks);
        let now: BTreeSet<_> = self.source.iter().chain(own).cloned().collect();
        let appeared: Vec<_> = now.difference(&self.said).collect();
        let gone: Vec<_> = self.said.difference(&now).collect();
        let counts = (appeared.len(), gone.len());
        let ours: Vec<_> =
            appeared.into_iter().filter(|rejection| self.is_own(rejection)).collect();
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

    fn is_own(&self, rejection: &Rejection) -> bool {
        self.planner.contains(rejection) || self.checks.contains(rejection)
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
        standing.of_planner([rejection("c")].iter());
        assert_eq!(standing.log_changes(), (3, 0));
        assert_eq!(standing.log_changes(), (0, 0));
        standing.of_source([rejection("b"), rejection("d")]);
        assert_eq!(standing.log_changes(), (1, 1));
        standing.of_planner([].iter());
        assert_eq!(standing.log_changes(), (0, 1));
        standing.of_checks([rejection("e")]);
        assert_eq!(standing.log_changes(), (1, 0));
    }
}
