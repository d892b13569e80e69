//! What the loop counts and times. docs/metrics.md lists it; `registration` has what it is called.

mod registration;

use std::{
    collections::BTreeMap,
    sync::atomic::AtomicU64,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lb_common::names;
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::local::{CASES, NoLocal, Policy};
use crate::{
    maps::Class,
    model::{IpFamily, Picture, Rejection, ServiceName},
    plan::{Capacities, Op, Usage},
    watch::Trigger,
};

/// A label with its value, one of few.
type Label = (&'static str, &'static str);
type Seconds = Gauge<f64, AtomicU64>;
type Histograms = Family<[Label; 1], Histogram, fn() -> Histogram>;

/// The loop's metrics. Clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    sync: Histograms,
    sync_full: Histograms,
    sync_partial: Histograms,
    written: Family<[Label; 1], Seconds>,
    queued: Family<[Label; 1], Seconds>,
    programming: Histograms,
    service_changes: Changes,
    endpoint_changes: Changes,
    no_local: Family<[Label; 2], Gauge>,
    operations: Family<[Label; 1], Counter>,
    failures: Family<[Label; 1], Counter>,
    grace_periods: Counter,
    drift: Counter,
    audits: Counter,
    audit_drift: Gauge,
    audit_duration: Seconds,
    entries: Family<[Label; 1], Gauge>,
    capacity: Family<[Label; 1], Gauge>,
    rejections: Family<[Label; 1], Gauge>,
    services: Gauge,
    /// What was triggered before is not this agent's delay.
    started: SystemTime,
}

/// Changes of one kind of object.
#[derive(Clone, Debug, Default)]
struct Changes {
    pending: Gauge,
    total: Counter,
}

impl Changes {
    fn add(&self, changes: usize) {
        self.pending.inc_by(changes as i64);
        self.total.inc_by(changes as u64);
    }
}

/// One sync that was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync {
    /// How long planning and writing took.
    pub(super) took: Duration,
    /// It was the first after the tables were read, so everything was planned.
    pub(super) full: bool,
    /// When it was over.
    pub(super) now: SystemTime,
}

impl Metrics {
    /// Metrics that are shown by `registry`. `started`: when this agent did.
    pub fn new(registry: &mut Registry, capacities: &Capacities, started: SystemTime) -> Self {
        let metrics = Self {
            sync: Family::new_with_constructor(sync_buckets),
            sync_full: Family::new_with_constructor(sync_buckets),
            sync_partial: Family::new_with_constructor(sync_buckets),
            written: Family::default(),
            queued: Family::default(),
            programming: Family::new_with_constructor(programming_buckets),
            service_changes: Changes::default(),
            endpoint_changes: Changes::default(),
            no_local: Family::default(),
            operations: Family::default(),
            failures: Family::default(),
            grace_periods: Counter::default(),
            drift: Counter::default(),
            audits: Counter::default(),
            audit_drift: Gauge::default(),
            audit_duration: Seconds::default(),
            entries: Family::default(),
            capacity: Family::default(),
            rejections: Family::default(),
            services: Gauge::default(),
            started,
        };
        metrics.register_theirs(registry.sub_registry_with_prefix("kubeproxy"));
        metrics.register_ours(registry.sub_registry_with_prefix("sluice"));
        metrics.show_zeros();
        metrics.set_capacities(capacities);
        metrics
    }

    /// The tables have been compared with what was written; so many entries were others.
    pub(super) fn audited(&self, drift: usize, took: Duration) {
        self.audits.inc();
        self.audit_drift.set(drift as i64);
        self.audit_duration.set(took.as_secs_f64());
        self.drift.inc_by(drift as u64);
    }

    fn set_capacities(&self, capacities: &Capacities) {
        let Capacities { services, backends, slots, name_cells, frontends, .. } = *capacities;
        for (table, size) in [
            (names::SERVICES, services),
            (names::BACKENDS, backends),
            (names::SLOTS, slots),
            (names::NAMES, name_cells),
            (names::FRONTENDS_V4, frontends),
            (names::FRONTENDS_V6, frontends),
            (names::SOURCE_RANGES, capacities.source_ranges),
        ] {
            self.capacity.get_or_create(&[("table", table)]).set(size.into());
            drop(self.entries.get_or_create(&[("table", table)]));
        }
    }

    /// News arrived, with so many changed objects.
    pub(super) fn news(&self, services: usize, endpoints: usize, now: SystemTime) {
        self.service_changes.add(services);
        self.endpoint_changes.add(endpoints);
        for family in IpFamily::ALL.map(by_family) {
            self.queued.get_or_create(&family).set(seconds(now));
        }
    }

    /// Everything known has been written. One sync writes both families, so it counts for both.
    pub(super) fn synced(&self, sync: Sync) {
        self.service_changes.pending.set(0);
        self.endpoint_changes.pending.set(0);
        let part = if sync.full { &self.sync_full } else { &self.sync_partial };
        for family in IpFamily::ALL.map(by_family) {
            self.sync.get_or_create(&family).observe(sync.took.as_secs_f64());
            part.get_or_create(&family).observe(sync.took.as_secs_f64());
            self.written.get_or_create(&family).set(seconds(sync.now));
        }
    }

    /// What was triggered is in the tables now. A Service's first family stands for it.
    pub(super) fn programmed(&self, triggers: &[Trigger], picture: &Picture, now: SystemTime) {
        for trigger in triggers.iter().filter(|trigger| trigger.at >= self.started) {
            let service = picture.services.get(&trigger.service);
            let Some(first) = service.and_then(|service| service.cluster_ips.first()) else {
                continue;
            };
            // A clock that is behind the control plane's gives no negative time.
            let took = now.duration_since(trigger.at).unwrap_or_default();
            let family = by_family(IpFamily::of(*first));
            self.programming.get_or_create(&family).observe(took.as_secs_f64());
        }
    }

    /// Operations are about to be performed.
    pub(super) fn operations(&self, ops: &[Op]) {
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        ops.iter().for_each(|op| *counts.entry(op.name()).or_default() += 1);
        for (name, count) in counts {
            self.operations.get_or_create(&[("operation", name)]).inc_by(count);
        }
    }

    /// A write failed.
    pub(super) fn failed(&self, class: Class) {
        self.failures.get_or_create(&by_class(class)).inc();
    }

    /// A grace period is over.
    pub(super) fn grace_over(&self) {
        self.grace_periods.inc();
    }

    /// How full the tables are, and how many Services there are.
    pub(super) fn usage(&self, usage: &Usage, services: usize) {
        self.services.set(services as i64);
        for (table, entries) in [
            (names::SERVICES, usage.services),
            (names::BACKENDS, usage.backends),
            (names::SLOTS, usage.slots),
            (names::NAMES, usage.name_cells),
            (names::FRONTENDS_V4, usage.frontends_v4),
            (names::FRONTENDS_V6, usage.frontends_v6),
            (names::SOURCE_RANGES, usage.source_ranges),
        ] {
            self.entries.get_or_create(&[("table", table)]).set(entries.into());
        }
    }

    /// Services that have no endpoint here.
    pub(super) fn no_local(&self, counted: &NoLocal) {
        for ((family, policy), count) in CASES.into_iter().zip(counted.counts()) {
            let [family] = by_family(family);
            let policy = match policy {
                Policy::Internal => "internal",
                Policy::External => "external",
            };
            self.no_local.get_or_create(&[family, ("traffic_policy", policy)]).set(count);
        }
    }

    /// What is rejected now, complete.
    pub(super) fn rejections<'a>(&self, standing: impl Iterator<Item = &'a Rejection>) {
        let mut counts = KINDS.map(|kind| (kind, 0));
        for rejection in standing {
            let kind = kind(&rejection.object);
            counts
                .iter_mut()
                .filter(|(known, _)| *known == kind)
                .for_each(|(_, count)| *count += 1);
        }
        for (kind, count) in counts {
            self.rejections.get_or_create(&[("kind", kind)]).set(count);
        }
    }
}

/// The kinds of objects that are rejected.
const KINDS: [&str; 7] =
    ["Service", "EndpointSlice", "Endpoints", "Pod", "Node", "Device", "other"];

/// The kind of object that a rejection's words begin with.
fn kind(object: &str) -> &'static str {
    let word = object.split(' ').next().unwrap_or_default();
    let known = KINDS.iter().find(|kind| kind.eq_ignore_ascii_case(word));
    known.copied().unwrap_or("other")
}

fn by_family(family: IpFamily) -> [Label; 1] {
    let name = match family {
        IpFamily::V4 => "IPv4",
        IpFamily::V6 => "IPv6",
    };
    [("ip_family", name)]
}

fn by_class(class: Class) -> [Label; 1] {
    let name = match class {
        Class::Retry => "retry",
        Class::Reject => "reject",
        Class::Fatal => "fatal",
    };
    [("class", name)]
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// From a millisecond to sixteen seconds.
fn sync_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// As fine as the control plane's own goal for this time asks for: every second of the first
/// minute.
fn programming_buckets() -> Histogram {
    let steps = |from: u32, to: u32, by: usize| (from..=to).step_by(by).map(f64::from);
    let coarse = steps(60, 115, 5).chain(steps(120, 300, 30));
    Histogram::new([0.25, 0.5].into_iter().chain(steps(1, 59, 1)).chain(coarse))
}

/// Of how many of these Services the object itself, and of how many the slices, differ.
pub(super) fn changes<'a>(
    before: &Picture,
    after: &Picture,
    names: impl Iterator<Item = &'a ServiceName>,
) -> (usize, usize) {
    names.fold((0, 0), |(services, endpoints), name| {
        let service = before.services.get(name) != after.services.get(name);
        let slices = before.slices.get(name) != after.slices.get(name);
        (services + usize::from(service), endpoints + usize::from(slices))
    })
}
