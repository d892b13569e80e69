//! What can be told of programs and hooks. docs/metrics.md lists it.

use lb_common::layout::LAYOUT_VERSION;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{Dataplane, ORIGIN, Part, device::XDP_MODES};

/// See the module. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    devices: Family<[(&'static str, &'static str); 1], Gauge>,
    repairs: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Metrics {
    /// Metrics that are shown by `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("sluice");
        let help = "External devices that carry the packet programs, by where XDP runs there";
        registry.register("attached_devices", help, metrics.devices.clone());
        for mode in XDP_MODES {
            drop(metrics.devices.get_or_create(&[("xdp", mode)]));
        }
        let help = "Programs and pins that were gone and were put back";
        registry.register("repairs", help, metrics.repairs.clone());
        for part in Part::ALL {
            drop(metrics.repairs.get_or_create(&[("what", part.name())]));
        }
        let build: Family<[(&str, String); 3], Gauge> = Family::default();
        let labels = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("layout", LAYOUT_VERSION.to_string()),
            ("object", ORIGIN.to_owned()),
        ];
        build.get_or_create(&labels).set(1);
        registry.register("build_info", "What this agent was built from", build);
        metrics
    }

    /// Takes note of something that was gone and was put back.
    pub fn repaired(&self, part: Part) {
        self.repairs.get_or_create(&[("what", part.name())]).inc();
    }

    /// Takes note of where programs are attached now.
    pub fn attached(&self, dataplane: &Dataplane) {
        for (mode, count) in dataplane.device_counts() {
            self.devices.get_or_create(&[("xdp", mode)]).set(count as i64);
        }
    }
}
