//! Who answers where: every Service's claims to frontends, and what of them is in the tables.
//!
//! Several ports may claim one address, port and protocol. The one of the older Service answers,
//! then the first by name; the others wait, and the next of them takes over with one map update
//! when it goes.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use lb_common::{
    frontend::{Frontend, kind},
    names,
};

use super::{
    FrontendAt, Op, RowName,
    capacity::Full,
    order::{Phase, Steps},
    row::Row,
    vips::Vips,
};
use crate::model::{IpFamily, PortId, Rejection};

/// A port's wish to answer somewhere. The least of several wins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Claim {
    created_s: i64,
    id: Arc<PortId>,
    row: u32,
    kind: u8,
}

impl Claim {
    /// A Service whose age is not known counts as youngest.
    pub(super) fn new(created_s: Option<i64>, id: Arc<PortId>, row: u32, kind: u8) -> Self {
        Self { created_s: created_s.unwrap_or(i64::MAX), id, row, kind }
    }

    fn frontend(&self) -> Frontend {
        Frontend { service: self.row, kind: self.kind, pad: [0; 3] }
    }

    fn field(&self) -> String {
        match self.kind {
            kind::CLUSTER_IP => "spec.clusterIPs".to_owned(),
            kind::EXTERNAL_IP => "spec.externalIPs".to_owned(),
            kind::LOAD_BALANCER => "status.loadBalancer.ingress".to_owned(),
            _ if self.id.port.is_empty() => "spec.ports.nodePort".to_owned(),
            _ => format!("spec.ports[{}].nodePort", self.id.port),
        }
    }
}

/// All claims, by frontend.
#[derive(Debug)]
pub(super) struct Claims {
    capacity: u32,
    entries: HashMap<FrontendAt, Entry>,
    /// Frontends claimed, which is what the tables hold when a plan is done.
    used_v4: u32,
    used_v6: u32,
    /// Frontends whose claims changed since the last plan, in the order of the changes.
    touched: Vec<FrontendAt>,
    /// Frontends with more than one claim.
    contested: BTreeSet<FrontendAt>,
    /// The addresses of what is in the tables.
    pub(super) vips: Vips,
    /// Whether [`Self::losers`] may have changed.
    pub(super) losers_changed: bool,
}

#[derive(Debug, Default)]
struct Entry {
    /// Sorted.
    claims: Vec<Claim>,
    /// What is in the table.
    written: Option<Frontend>,
    touched: bool,
}

impl Claims {
    /// How many of these frontends are not what was written, or are missing.
    pub(super) fn drift(&self, found: &[(FrontendAt, Frontend)]) -> usize {
        let written = |at| self.entries.get(at).and_then(|entry| entry.written);
        let right = found.iter().filter(|(at, frontend)| written(at) == Some(*frontend)).count();
        let there = found.iter().filter(|(at, _)| written(at).is_some()).count();
        let all = self.entries.values().filter(|entry| entry.written.is_some()).count();
        (found.len() - right) + (all - there)
    }

    pub(super) fn new(capacity: u32) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
            used_v4: 0,
            used_v6: 0,
            touched: Vec::new(),
            contested: BTreeSet::new(),
            vips: Vips::default(),
            losers_changed: false,
        }
    }

    /// Entries in each family's table.
    pub(super) fn used(&self) -> [u32; 2] {
        [self.used_v4, self.used_v6]
    }

    /// Replaces a Service's claims, unless a table has no room for the new ones.
    pub(super) fn replace(&mut self, old: &[Row], new: &[Row]) -> Result<(), Full> {
        let claims = |rows| <[Row]>::iter(rows).flat_map(|row| &row.claims);
        if claims(old).eq(claims(new)) {
            return Ok(());
        }
        let was: BTreeSet<_> = claims(old).collect();
        let is: BTreeSet<_> = claims(new).collect();
        self.check_room(&was, &is)?;
        for (at, claim) in claims(old).filter(|claim| !is.contains(claim)) {
            self.remove(*at, claim);
        }
        for (at, claim) in claims(new).filter(|claim| !was.contains(claim)) {
            self.add(*at, claim.clone());
        }
        Ok(())
    }

    /// Takes a claim that the table already honours.
    pub(super) fn adopt(&mut self, at: FrontendAt, claim: Claim) {
        let written = claim.frontend();
        self.add(at, claim);
        self.vips.change(&at, None, Some(written.kind));
        self.entries.entry(at).or_default().written = Some(written);
    }

    /// Writes what the changes since the last call come to.
    pub(super) fn settle(&mut self, steps: &mut Steps) {
        for at in std::mem::take(&mut self.touched) {
            let Some(entry) = self.entries.get_mut(&at) else { continue };
            entry.touched = false;
            let wanted = entry.claims.first().map(Claim::frontend);
            match wanted {
                Some(frontend) if entry.written != wanted => {
                    steps.push(Phase::Frontends, Op::PutFrontend { at, frontend });
                }
                None if entry.written.is_some() => {
                    steps.push(Phase::RemoveFrontends, Op::RemoveFrontend { at });
                }
                _ => {}
            }
            let kind = |frontend: Option<Frontend>| frontend.map(|frontend| frontend.kind);
            if kind(entry.written) != kind(wanted) {
                self.vips.change(&at, kind(entry.written), kind(wanted));
            }
            entry.written = wanted;
            let contested = entry.claims.len() > 1;
            if entry.claims.is_empty() {
                self.entries.remove(&at);
            }
            let was = self.contested.contains(&at);
            self.losers_changed |= contested || was;
            if contested {
                self.contested.insert(at);
            } else if was {
                self.contested.remove(&at);
            }
        }
        self.vips.settle(steps);
    }

    /// Each claim that lost, as a rejection.
    pub(super) fn losers(&self) -> impl Iterator<Item = Rejection> {
        self.contested.iter().filter_map(|at| Some((at, self.entries.get(at)?))).flat_map(
            |(at, entry)| {
                let winner = entry.claims.first();
                entry.claims.iter().skip(1).zip(winner.into_iter().cycle()).map(
                    move |(loser, winner)| Rejection {
                        object: format!("Service {}", loser.id.service),
                        field: loser.field(),
                        reason: format!("{at} belongs to Service {}", RowName::from(&*winner.id)),
                    },
                )
            },
        )
    }

    fn check_room(
        &self,
        old: &BTreeSet<&(FrontendAt, Claim)>,
        new: &BTreeSet<&(FrontendAt, Claim)>,
    ) -> Result<(), Full> {
        let places = |claims: &BTreeSet<&(FrontendAt, Claim)>, family| -> BTreeSet<FrontendAt> {
            claims.iter().map(|(at, _)| *at).filter(|at| at.family() == family).collect()
        };
        let claimants = |at: &FrontendAt| self.entries.get(at).map_or(0, |e| e.claims.len());
        let own = |at: &FrontendAt| old.iter().filter(|(own, _)| own == at).count();
        for (family, table, used) in [
            (IpFamily::V4, names::FRONTENDS_V4, self.used_v4),
            (IpFamily::V6, names::FRONTENDS_V6, self.used_v6),
        ] {
            let (was, is) = (places(old, family), places(new, family));
            let more = is.difference(&was).filter(|at| claimants(at) == 0).count();
            let less = was.difference(&is).filter(|at| claimants(at) == own(at)).count();
            if more > less && used as usize + more - less > self.capacity as usize {
                return Err(Full::new(table, self.capacity, 1));
            }
        }
        Ok(())
    }

    fn add(&mut self, at: FrontendAt, claim: Claim) {
        let entry = self.entries.entry(at).or_default();
        if entry.claims.is_empty() {
            *self.used_of(at) += 1;
        }
        let entry = self.entries.entry(at).or_default();
        let place = entry.claims.partition_point(|other| *other < claim);
        // Hardly any frontend has more than one.
        entry.claims.reserve_exact(1);
        entry.claims.insert(place, claim);
        self.touch(at);
    }

    fn remove(&mut self, at: FrontendAt, claim: &Claim) {
        let Some(entry) = self.entries.get_mut(&at) else { return };
        entry.claims.retain(|other| other != claim);
        if entry.claims.is_empty() {
            *self.used_of(at) -= 1;
        }
        self.touch(at);
    }

    fn touch(&mut self, at: FrontendAt) {
        if let Some(entry) = self.entries.get_mut(&at)
            && !std::mem::replace(&mut entry.touched, true)
        {
            self.touched.push(at);
        }
    }

    fn used_of(&mut self, at: FrontendAt) -> &mut u32 {
        match at.family() {
            IpFamily::V4 => &mut self.used_v4,
            IpFamily::V6 => &mut self.used_v6,
        }
    }
}
