//! What a node costs in a cluster larger than any that was measured: a model from the report's
//! figures, with everything that it assumes in one place. Its page is docs/cluster-cost.md.

mod page;
mod wire;

pub use self::page::page;
use super::report::Report;

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

/// The sizes at which memory is measured, in services with four endpoints.
const MEASURED: [u32; 3] = [1_000, 10_000, 100_000];
/// The sizes at which a change is, the one that the model carries on first.
const CHANGED: [u32; 3] = [30_000, 10_000, 1_000];
/// Sections and rows of the report.
const MEMORY: &str = "Memory of an agent";
const OWN: &str = "agent, resident, its own";
const TABLES: &str = "all tables";
const FOLLOWING: &str = "An agent that follows changes";
const PROGRAMMING: &str = "Programming";

/// The figures of a report that the model takes.
#[derive(Clone, PartialEq, Debug)]
pub struct Figures {
    /// Bytes of an agent's own memory.
    own: Curve,
    /// Bytes of all its tables.
    tables: Curve,
    /// Processor seconds of an agent for one change.
    change_s: f64,
    /// Seconds that iptables-restore takes for one change, for each service there is.
    restore_s: Option<f64>,
}

/// Bytes by services with four endpoints, ascending; between what was measured, and beyond, it goes
/// on straight.
#[derive(Clone, PartialEq, Debug)]
struct Curve(Vec<(f64, f64)>);

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
        let value = |title: &str, what: &str| {
            let section = report.sections.iter().find(|section| section.title == title)?;
            let row = section.rows.iter().find(|row| row.what == what)?;
            Some(row.found.median)
        };
        let with = |services: u32| format!("{services} services x {ENDPOINTS_MEASURED}");
        let memory = |what: &str| {
            let point = |services: u32| {
                let found = value(MEMORY, &format!("{what}, {}", with(services)))?;
                Some((f64::from(services), found * MIB))
            };
            let points: Vec<_> = MEASURED.into_iter().filter_map(point).collect();
            (points.len() >= 2).then_some(Curve(points))
        };
        let change = format!("{}: processor time a change", with(10_000));
        let restore = CHANGED.into_iter().find_map(|services| {
            let what = format!("one endpoint changed, {}: iptables", with(services));
            Some(value(PROGRAMMING, &what)? * 1e-6 / f64::from(services))
        });
        Some(Self {
            own: memory(OWN)?,
            tables: memory(TABLES)?,
            change_s: value(FOLLOWING, &change)? * 1e-6,
            restore_s: restore,
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
            agent: self.own.at(measured),
            tables: self.tables.at(measured),
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

impl Curve {
    fn at(&self, services: f64) -> f64 {
        let Self(points) = self;
        let next = points.iter().position(|(at, _)| *at >= services).unwrap_or(points.len() - 1);
        let (from, to) = (points[next.max(1) - 1], points[next.max(1)]);
        let value = from.1 + (services - from.0) / (to.0 - from.0) * (to.1 - from.1);
        value.max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Curve, Figures, Size};

    #[test]
    fn a_curve_goes_on_as_straight_as_it_was() {
        let curve = Curve(vec![(10.0, 1.0), (20.0, 2.0), (40.0, 8.0)]);
        for (at, expected) in [(0.0, 0.0), (10.0, 1.0), (15.0, 1.5), (30.0, 5.0), (50.0, 11.0)] {
            assert_eq!(curve.at(at), expected, "{at}");
        }
    }

    fn figures() -> Figures {
        let curve = Curve(vec![(0.0, 1e6), (1_000.0, 2e6)]);
        Figures { own: curve.clone(), tables: curve, change_s: 1e-4, restore_s: Some(1e-6) }
    }

    #[test]
    fn costs_grow_with_what_causes_them() {
        let cost = |nodes, services| figures().cost(Size { nodes, services });
        let (small, more_nodes, more_services) =
            (cost(100.0, 1_000.0), cost(200.0, 1_000.0), cost(100.0, 2_000.0));
        assert_eq!(small.endpoints, 3.0);
        assert_eq!(more_nodes.quiet.events, 2.0 * small.quiet.events);
        assert_eq!(more_services.quiet.events, small.quiet.events);
        assert!(more_nodes.quiet.bytes > 2.0 * small.quiet.bytes, "slices are larger as well");
        assert!(small.upgrade.processor > small.quiet.processor);
        assert_eq!(small.agent, 2e6, "three endpoints are not taken to cost less than four");
        assert_eq!(cost(200.0, 1_000.0).agent, 2.5e6, "six endpoints cost half as much again");
        assert_eq!(more_services.agent, 3e6);
    }

    #[test]
    fn loading_rules_is_bounded_by_a_pass_a_second() {
        let upgrade = figures().cost(Size { nodes: 5_000.0, services: 1e5 }).upgrade;
        assert!(upgrade.events > 1.0);
        let restore = upgrade.restore.unwrap();
        assert!((restore - 0.1).abs() < 1e-12, "{restore}");
    }
}
