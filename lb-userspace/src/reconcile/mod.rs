//! The loop: news marks dirty, one plan is made of everything that is, and the difference is
//! written. Events never write tables.
//!
//! Nothing is planned before the first complete picture and the first view of this node's network,
//! and before the tables were read: so nothing is deleted that is merely not known yet. Programs
//! are attached by whoever watches the [`Programmed`] channel, which first speaks after the first
//! plan was written.

mod audit;
mod checks;
mod local;
mod metrics;
mod node;
mod parts;
mod pulse;
mod rejections;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use lb_common::device::flags;
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::{
    maps::{Class, Error, Tables},
    model::{Model, Node, Picture, ServiceName},
    plan::{Plan, Planner, Retired},
    telemetry::Causes,
    watch::{DeviceNet, NodeNet, Trigger},
};
use audit::Audit;
use checks::Checks;
use local::NoLocal;
pub use metrics::Metrics;
use node::NodeRows;
pub use parts::{Event, Parts, Programmed};
pub use pulse::{Condition, PATIENCE, Pulse};
use rejections::Standing;

/// The loop's state.
pub struct Reconciler<T> {
    parts: Parts<T>,
    model: Model,
    /// The devices that the tables know.
    devices: BTreeMap<u32, DeviceNet>,
    /// The names of those that packets for pods are handed to.
    pods: BTreeMap<u32, Arc<str>>,
    /// What the tables hold; `None` until they were read, and after a write has failed.
    planner: Option<Planner>,
    net: Option<NodeNet>,
    /// The node's addresses, as far as the cluster knows them.
    primary: Vec<IpAddr>,
    native: BTreeSet<u32>,
    /// Pictures that newer ones have replaced. To take one with many Services down takes longer
    /// than to write a small change, so that comes first.
    outdated: Vec<Arc<Picture>>,
    seen_picture: bool,
    /// What is missing from the picture does not exist.
    complete: bool,
    dirty: BTreeSet<ServiceName>,
    /// The node's rows have not been planned since they changed.
    node_dirty: bool,
    rejections: Standing,
    checks: Checks,
    no_local: NoLocal,
    node_port_addresses: Option<Arc<BTreeSet<IpAddr>>>,
    /// What set off the changes that are not written yet.
    triggers: Vec<Trigger>,
    /// Everything is to be planned, as the tables were just read.
    full: bool,
    /// Out of use since the last request for a grace period, and before it.
    retired: Retired,
    waiting: Option<Retired>,
    failures: u32,
    /// The tables are being compared with what was applied.
    audit: Option<Audit>,
    /// They were found to differ.
    distrusted: bool,
    /// So much was planned that what it took is to be given back.
    much: bool,
}

/// Longest pause between attempts to write what could not be written.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Services in a plan that leaves megabytes of memory free behind it.
const MUCH: usize = 1_000;

impl<T: Tables> Reconciler<T> {
    /// A loop that knows nothing yet.
    pub fn new(parts: Parts<T>) -> Self {
        let model = Model::new(parts.node.clone());
        // An earlier agent may have taken something out of use just before it ended: the tables
        // are read only after a grace period.
        parts.grace.request(Duration::ZERO);
        Self {
            parts,
            model,
            devices: BTreeMap::new(),
            pods: BTreeMap::new(),
            planner: None,
            net: None,
            primary: Vec::new(),
            native: BTreeSet::new(),
            outdated: Vec::new(),
            seen_picture: false,
            complete: false,
            dirty: BTreeSet::new(),
            node_dirty: false,
            rejections: Standing::default(),
            checks: Checks::default(),
            no_local: NoLocal::default(),
            node_port_addresses: None,
            triggers: Vec::new(),
            full: false,
            retired: Retired::default(),
            waiting: None,
            failures: 0,
            audit: None,
            distrusted: false,
            much: false,
        }
    }

    /// Runs until told to stop. News that arrives while a plan is being written is planned
    /// together, next.
    ///
    /// # Errors
    ///
    /// One that no other plan would cure.
    pub async fn run(mut self, mut events: mpsc::Receiver<Event>) -> Result<(), Error> {
        loop {
            let first = if self.is_auditing() {
                // Work that waits for all other.
                tokio::task::yield_now().await;
                None
            } else {
                let Some(event) = events.recv().await else { return Ok(()) };
                Some(event)
            };
            let more = std::iter::from_fn(|| events.try_recv().ok());
            if !self.turn(first.into_iter().chain(more))? {
                return Ok(());
            }
        }
    }

    /// Takes all that is new, then plans once; `false`: it is time to end.
    fn turn(&mut self, events: impl IntoIterator<Item = Event>) -> Result<bool, Error> {
        self.parts.pulse.queued(Instant::now());
        for event in events {
            if !self.take(event)? {
                return Ok(false);
            }
        }
        if self.seen_picture && self.net.is_some() && self.planner.is_some() {
            let result = self.sync().and_then(|()| self.audit());
            self.settle(result)?;
        }
        self.outdated.clear();
        if std::mem::take(&mut self.much) {
            let started = Instant::now();
            (self.parts.give_memory_back)();
            debug!(micros = started.elapsed().as_micros() as u64, "memory given back");
        }
        Ok(true)
    }

    /// Takes news in; `false`: it was the last.
    fn take(&mut self, event: Event) -> Result<bool, Error> {
        match event {
            Event::News(news) => {
                self.triggers.extend(news.triggers);
                let before = Arc::clone(self.model.picture());
                let mut changed = self.model.replace(news.picture);
                let (services, endpoints) =
                    metrics::changes(&before, self.model.picture(), changed.iter());
                self.parts.metrics.news(services, endpoints, SystemTime::now());
                self.outdated.push(before);
                self.dirty.append(&mut changed);
                self.rejections.of_source(news.rejections.iter().cloned());
                self.complete = news.complete;
                self.seen_picture = true;
            }
            Event::NodeNet(net) => {
                self.net = Some(net);
                self.node_dirty = true;
            }
            Event::Node(news) => {
                let node = Node { zone: news.zone, ..self.model.node().clone() };
                self.dirty.append(&mut self.model.set_node(node));
                self.node_dirty |= self.primary != news.internal_ips;
                self.primary = news.internal_ips;
            }
            Event::NativeXdp(devices) => {
                self.node_dirty |= self.native != devices;
                self.native = devices;
            }
            Event::GraceOver => {
                self.parts.metrics.grace_over();
                let retired = self.waiting.take();
                match &mut self.planner {
                    // What the release makes possible is planned with the rest, in any case.
                    Some(planner) => _ = retired.map(|over| planner.release(over)),
                    None => {
                        let result = self.adopt();
                        self.settle(result)?;
                    }
                }
                self.distrust();
                self.request_grace();
            }
            Event::Audit => _ = self.audit.get_or_insert_default(),
            Event::Stop => return Ok(false),
        }
        Ok(true)
    }

    /// Reads the tables, so that the next plan is a difference to what they hold.
    fn adopt(&mut self) -> Result<(), Error> {
        let contents = self.parts.tables.contents()?;
        if self.native.is_empty() {
            // The programs of an earlier agent are still there, and it knew how they run.
            let native = contents.devices.iter().filter(|(_, row)| row.flags & flags::XDP != 0);
            self.native = native.map(|(ifindex, _)| *ifindex).collect();
        }
        let (planner, plan) = Planner::adopt(self.parts.capacities, contents);
        self.dirty = self.model.names().chain(planner.names()).cloned().collect();
        self.node_dirty = true;
        self.full = true;
        // Places an earlier planner waited for are read anew with everything else.
        (self.retired, self.waiting) = Default::default();
        debug!(services = planner.names().count(), ops = plan.ops.len(), "tables read");
        self.planner = Some(planner);
        self.perform(plan)
    }

    /// Plans everything that is dirty and writes it.
    fn sync(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let mut ops = self.sync_node()?;
        let Some(planner) = &mut self.planner else { return Ok(()) };
        let (dirty, unknown) = std::mem::take(&mut self.dirty)
            .into_iter()
            .partition(|name| self.complete || self.model.picture().services.contains_key(name));
        // Not in a picture that is not complete: nobody knows whether they exist.
        self.dirty = unknown;
        let dirty: BTreeSet<ServiceName> = dirty;
        let model = &self.model;
        let wanted: Vec<_> =
            dirty.iter().map(|name| (name.clone(), model.service_ports(name))).collect();
        for (name, ports) in &wanted {
            self.no_local.set(name, ports);
            self.checks.set(name, model.health_check(name));
        }
        let plan = planner.plan(wanted);
        ops += plan.ops.len();
        self.perform(plan)?;
        let took = started.elapsed();
        if ops > 0 {
            info!(services = dirty.len(), ops, micros = took.as_micros() as u64, "synced");
        }
        self.failures = 0;
        self.much |= dirty.len() >= MUCH;
        self.measure((ops > 0 || !dirty.is_empty()).then_some(took));
        self.tell();
        Ok(())
    }

    /// Plans the node's own rows if they may have changed. Returns how many operations it took.
    fn sync_node(&mut self) -> Result<usize, Error> {
        let (Some(planner), Some(net)) = (&mut self.planner, &self.net) else { return Ok(0) };
        if !std::mem::take(&mut self.node_dirty) {
            return Ok(0);
        }
        let primary = node::primary(&self.primary, net);
        let admitted = &self.parts.node_port_addresses;
        let direct = self.parts.direct_delivery;
        let rows = NodeRows::new(net, &primary, admitted, &self.native, direct);
        self.dirty.append(&mut self.model.set_primary(primary));
        let plan = planner.plan_node(&rows.addresses, &rows.devices);
        self.devices = net.devices.clone();
        let pods = net.pods.iter().filter(|_| direct);
        self.pods = pods.map(|(ifindex, device)| (*ifindex, Arc::clone(&device.name))).collect();
        let restricted = !self.parts.node_port_addresses.all;
        self.node_port_addresses = restricted.then(|| Arc::new(rows.node_port_addresses()));
        let ops = plan.ops.len();
        self.perform(plan)?;
        Ok(ops)
    }

    /// Everything known has been written; `took`: how long that was, if there was anything.
    fn measure(&mut self, took: Option<Duration>) {
        let (metrics, now) = (&self.parts.metrics, SystemTime::now());
        let full = std::mem::take(&mut self.full);
        if let Some(took) = took {
            metrics.synced(metrics::Sync { took, full, now });
        }
        metrics.programmed(&std::mem::take(&mut self.triggers), self.model.picture(), now);
        metrics.no_local(&self.no_local);
        if let Some(planner) = &self.planner {
            metrics.usage(&planner.usage(), self.model.picture().services.len());
        }
        self.parts.pulse.written(now);
    }

    fn perform(&mut self, plan: Plan) -> Result<(), Error> {
        self.parts.metrics.operations(&plan.ops);
        self.parts.tables.apply(&plan.ops)?;
        self.retired.merge(plan.retired);
        self.request_grace();
        if !plan.severed.is_empty() {
            // Who closes sockets ends only with the agent.
            _ = self.parts.severed.send(plan.severed.into_iter().collect());
        }
        Ok(())
    }

    /// One grace period at a time; what retires meanwhile waits for the next.
    fn request_grace(&mut self) {
        if self.planner.is_some() && self.waiting.is_none() && !self.retired.is_empty() {
            self.waiting = Some(std::mem::take(&mut self.retired));
            self.parts.grace.request(Duration::ZERO);
        }
    }

    /// Decides what an error asks for, by its class alone.
    fn settle(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        let Err(error) = result else { return Ok(()) };
        let pause = Duration::from_millis(100) * 2u32.saturating_pow(self.failures.min(16));
        let pause = pause.min(LONGEST_PAUSE);
        match error.class() {
            Class::Fatal => return Err(error),
            Class::Retry => warn!("{}; trying again in {pause:?}", Causes(&error)),
            Class::Reject => error!(
                "{}: what does not fit is left out, the rest is tried again in {pause:?}",
                Causes(&error)
            ),
        }
        self.parts.metrics.failed(error.class());
        // The planner believes what was not written: read, then plan everything.
        self.planner = None;
        self.failures += 1;
        self.parts.grace.request(pause);
        Ok(())
    }

    fn tell(&mut self) {
        if let Some(planner) = &self.planner {
            self.rejections.of_planner(planner.rejections());
            self.rejections.of_checks(self.checks.rejections());
        }
        if self.rejections.log_changes() != (0, 0) {
            self.parts.metrics.rejections(self.rejections.standing());
        }
        let now = Programmed {
            services: Some(self.model.picture().services.len()),
            devices: self.devices.clone(),
            pods: self.pods.clone(),
            complete: self.complete,
            health_checks: self.checks.held(),
            node_port_addresses: self.node_port_addresses.clone(),
        };
        self.parts.programmed.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }
}
