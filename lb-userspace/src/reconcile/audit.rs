//! Comparing the tables with what was applied, a portion a turn of the loop, so that news never
//! waits for more than one portion. Somebody else with rights on the node can write to them at any
//! time, by mistake or in a clean-up.
//!
//! Whether programs and pins are still there is looked after elsewhere, in `kernel::audit`.

use std::{
    ops::Bound::{Excluded, Unbounded},
    time::{Duration, Instant},
};

use tracing::{debug, warn};

use super::Reconciler;
use crate::{
    maps::{Error, Tables},
    model::ServiceName,
};

/// Services in a portion: a fraction of a millisecond unless they have very many endpoints.
pub(super) const PORTION: usize = 256;

/// An audit under way.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// The Services up to this one have been compared.
    reached: Option<ServiceName>,
    /// Entries that are not as they were written.
    drift: usize,
    took: Duration,
}

impl<T: Tables> Reconciler<T> {
    /// Whether there is a portion to be compared.
    pub(super) fn is_auditing(&self) -> bool {
        self.audit.is_some() && self.planner.is_some() && self.complete && !self.distrusted
    }

    /// Compares the next portion, when every plan has been performed. What somebody else has
    /// changed is mended as after a failed write, all of it at the end.
    pub(super) fn audit(&mut self) -> Result<(), Error> {
        let (true, Some(planner)) = (self.is_auditing(), &self.planner) else { return Ok(()) };
        let Some(mut audit) = self.audit.take() else { return Ok(()) };
        let started = Instant::now();
        let from = audit.reached.take();
        let services = &self.model.picture().services;
        let portion = match &from {
            None => services.range::<_, ServiceName>(..),
            Some(last) => services.range::<_, ServiceName>((Excluded(last), Unbounded)),
        };
        for (name, _) in portion.take(PORTION) {
            audit.drift += planner.drift_of_rows(name, &self.parts.tables);
            audit.reached = Some(name.clone());
        }
        let is_last = audit.reached.is_none();
        if is_last {
            audit.drift += planner.drift_of_entries(&self.parts.tables.entries()?);
        }
        audit.took += started.elapsed();
        if is_last {
            self.audited(&audit);
        } else {
            self.audit = Some(audit);
        }
        Ok(())
    }

    fn audited(&mut self, audit: &Audit) {
        let Audit { drift, took, .. } = *audit;
        debug!(drift, micros = took.as_micros() as u64, "tables compared");
        self.parts.metrics.audited(drift, took);
        if drift > 0 {
            warn!(entries = drift, "somebody changed the tables; writing them anew");
            self.distrusted = true;
            self.distrust();
        }
    }

    /// Has the tables read anew, once nothing waits for a grace period any more: what an earlier
    /// plan took out of use counts as free when they are read.
    pub(super) fn distrust(&mut self) {
        if self.distrusted && self.waiting.is_none() {
            self.distrusted = false;
            self.planner = None;
            self.parts.grace.request(Duration::ZERO);
        }
    }
}
