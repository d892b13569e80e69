//! What a node costs in a cluster larger than any that was measured: a model from the report's
//! figures, with everything that it assumes in one place. Its page is docs/cluster-cost.md.

mod page;
mod wire;

pub use self::page::page;
use super::report::{Report, Row};

/// Pods of a node, each an endpoint of one Service.
const PODS_A_NODE: f64 = 30.0;
/// The most endpoints that one EndpointSlice has.
const ENDPOINTS_A_SLICE: f64 = 100.0;
/// News of a slice when a pod is replaced: one that is not ready yet, ready, one that terminates,
/// gone.
const EVENTS_A_REPLACEMENT: f64 = 4.0;
/// How long a pod lives when nothing happens, and in how long all are replaced when all nodes are
/// upgraded.
const QUIET_S: f64 = 24.0 * 3600.0;
const UPGRADE_S: f64 = 4.0 * 3600.0;
/// Signs of life: one a minute on each watch, of Services, EndpointSlices and the Node.
const BOOKMARKS_A_SECOND: f64 = 3.0 / 60.0;
/// Endpoints of the services that were measured.
const ENDPOINTS_MEASURED: f64 = 4.0;
/// What kube-proxy waits at least between two passes, by default.
const KUBE_PROXY_PERIOD_S: f64 = 1.0;
const MIB: f64 = (1 << 20) as f64;

/// The figures of a report that the model takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figures {
    /// Bytes of an agent with no service worth mentioning.
    base: f64,
    /// Bytes of an agent's memory for a service with its four endpoints.
    service: f64,
    /// Bytes of all tables at their first size.
    tables: f64,
    /// Bytes of tables for a service with its four endpoints.
    table_service: f64,
    /// Processor seconds of an agent for one change.
    change_s: f64,
    /// Seconds that iptables-restore takes for one change, a service.
    restore_s: Option<f64>,
}

/// A cluster.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Size {
    /// Its nodes.
    pub nodes: f64,
    /// Its Services.
    pub services: f64,
}

/// What one node of it costs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Cost {
    /// Endpoints of a Service, on average.
    pub endpoints: f64,
    /// Memory of the agent, in bytes.
    pub agent: f64,
    /// Memory of the tables, in bytes.
    pub tables: f64,
    /// What the agent reads when it starts, in bytes.
    pub list: f64,
    /// In ordinary times.
    pub quiet: Flow,
    /// While all nodes are upgraded.
    pub upgrade: Flow,
}

/// What goes on without end.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flow {
    /// News a second.
    pub events: f64,
    /// Bytes a second from the API server to this node.
    pub bytes: f64,
    /// Part of one processor that the agent takes.
    pub processor: f64,
    /// Part of one processor that iptables-restore would take for kube-proxy.
    pub restore: Option<f64>,
}

impl Figures {
    /// Of a report, if it has them.
    pub fn of(report: &Report) -> Option<Self> {
        let value = |title: &str, what: &str| row(report, title, what).map(|row| row.found.median);
        let memory = |what: &str, services: u32| {
            value("Memory and start", &format!("{what}, {services} services"))
        };
        let resident = "agent, resident, without tables and program text";
        let sizes = [10_000, 100_000];
        let own = sizes.map(|services| memory(resident, services));
        let tables = sizes.map(|services| memory("all tables", services));
        let ([Some(few), Some(many)], [Some(few_rows), Some(many_rows)]) = (own, tables) else {
            return None;
        };
        let more = f64::from(sizes[1] - sizes[0]);
        let [service, table_service] =
            [many - few, many_rows - few_rows].map(|grown| grown.max(0.0) * MIB / more);
        let at_first = |few: f64, each: f64| (few * MIB - each * f64::from(sizes[0])).max(0.0);
        Some(Self {
            base: at_first(few, service),
            service,
            tables: at_first(few_rows, table_service),
            table_service,
            change_s: value("Programming", "agent's processor time a change")? * 1e-6,
            restore_s: None,
        })
    }

    /// What a node costs in such a cluster.
    pub fn cost(&self, size: Size) -> Cost {
        let Size { nodes, services } = size;
        let pods = nodes * PODS_A_NODE;
        let endpoints = pods / services;
        // With fewer endpoints than were measured a service is not taken to be smaller.
        let measured = services * (endpoints / ENDPOINTS_MEASURED).max(1.0);
        let in_slice = endpoints.clamp(1.0, ENDPOINTS_A_SLICE);
        let slices = services * (endpoints / ENDPOINTS_A_SLICE).max(1.0);
        let slice = slice_event(in_slice);
        let flow = |lifetime_s: f64| {
            let events = EVENTS_A_REPLACEMENT * pods / lifetime_s;
            // Reading and planning grow with an event's size, at most.
            let larger = (slice / slice_event(ENDPOINTS_MEASURED)).max(1.0);
            let passes = events.min(1.0 / KUBE_PROXY_PERIOD_S);
            Flow {
                events,
                bytes: events * slice + BOOKMARKS_A_SECOND * wire::bookmark() as f64,
                processor: events * self.change_s * larger,
                restore: self.restore_s.map(|seconds| passes * seconds * services),
            }
        };
        Cost {
            endpoints,
            agent: self.base + self.service * measured,
            tables: self.tables + self.table_service * measured,
            list: services * wire::service() as f64 + slices * slice,
            quiet: flow(QUIET_S),
            upgrade: flow(UPGRADE_S),
        }
    }
}

/// Bytes of the news of a slice with so many endpoints, on average.
fn slice_event(endpoints: f64) -> f64 {
    let [none, one] = [0, 1].map(|endpoints| wire::slice_event(endpoints) as f64);
    none + endpoints * (one - none)
}

fn row<'a>(report: &'a Report, title: &str, what: &str) -> Option<&'a Row> {
    let section = report.sections.iter().find(|section| section.title == title)?;
    section.rows.iter().find(|row| row.what == what)
}
