//! What the loop's metrics are called, and the series that are there from the start.

use prometheus_client::{metrics::family::Family, registry::Registry};

use super::{Histograms, KINDS, Metrics, Seconds, by_class, by_family};
use crate::{maps::Class, model::IpFamily, plan::Op, reconcile::local::NoLocal};

impl Metrics {
    /// Names that kube-proxy has, with its meaning.
    pub(super) fn register_theirs(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, metric: &Histograms| {
            registry.register(name, help, metric.clone());
        };
        add("sync_proxy_rules_duration_seconds", "Time to plan and write a change", &self.sync);
        add(
            "sync_full_proxy_rules_duration_seconds",
            "The same, where all Services were planned",
            &self.sync_full,
        );
        add(
            "sync_partial_proxy_rules_duration_seconds",
            "The same, where only changed Services were planned",
            &self.sync_partial,
        );
        add(
            "network_programming_duration_seconds",
            "Time from the change of a pod or Service to the kernel's tables",
            &self.programming,
        );
        let mut add = |name: &str, help: &str, metric: &Family<_, Seconds>| {
            registry.register(name, help, metric.clone());
        };
        add(
            "sync_proxy_rules_last_timestamp_seconds",
            "When a write last succeeded",
            &self.written,
        );
        add(
            "sync_proxy_rules_last_queued_timestamp_seconds",
            "When news last arrived",
            &self.queued,
        );
        for (kind, changes) in
            [("service", &self.service_changes), ("endpoint", &self.endpoint_changes)]
        {
            let name = |what| format!("sync_proxy_rules_{kind}_changes{what}");
            let help = format!("Changes of {kind}s that are not written yet");
            registry.register(name("_pending"), help, changes.pending.clone());
            registry.register(name(""), format!("Changes of {kind}s"), changes.total.clone());
        }
        registry.register(
            "sync_proxy_rules_no_local_endpoints_total",
            "Services with a Local policy and endpoints, none of them on this node",
            self.no_local.clone(),
        );
    }

    pub(super) fn register_ours(&self, registry: &mut Registry) {
        registry.register("services", "Services known", self.services.clone());
        registry.register(
            "plan_operations",
            "Operations performed on the kernel's tables",
            self.operations.clone(),
        );
        registry.register(
            "write_failures",
            "Plans of which an operation failed, by what was done about it",
            self.failures.clone(),
        );
        registry.register(
            "grace_periods",
            "Times that rows out of use were waited for",
            self.grace_periods.clone(),
        );
        registry.register(
            "table_drift",
            "Entries that somebody else changed or removed, and that were written anew",
            self.drift.clone(),
        );
        registry.register(
            "table_audits",
            "Times that the tables were compared with what was written",
            self.audits.clone(),
        );
        registry.register(
            "table_audit_drift",
            "Entries that the last comparison found different",
            self.audit_drift.clone(),
        );
        registry.register(
            "table_audit_duration_seconds",
            "Processor time that the last comparison took",
            self.audit_duration.clone(),
        );
        registry.register(
            "table_entries",
            "Entries of a table in use or waiting for their grace period",
            self.entries.clone(),
        );
        registry.register("table_capacity", "Entries a table has room for", self.capacity.clone());
        registry.register(
            "rejections",
            "Objects or parts of them that cannot be used now",
            self.rejections.clone(),
        );
    }

    /// Makes every series with a known label exist, so that a rate has a zero to start from.
    pub(super) fn show_zeros(&self) {
        for family in IpFamily::ALL.map(by_family) {
            for histograms in [&self.sync, &self.sync_full, &self.sync_partial, &self.programming] {
                drop(histograms.get_or_create(&family));
            }
            drop(self.written.get_or_create(&family));
            drop(self.queued.get_or_create(&family));
        }
        for class in [Class::Retry, Class::Reject, Class::Fatal] {
            drop(self.failures.get_or_create(&by_class(class)));
        }
        for operation in Op::NAMES {
            drop(self.operations.get_or_create(&[("operation", operation)]));
        }
        for kind in KINDS {
            drop(self.rejections.get_or_create(&[("kind", kind)]));
        }
        self.no_local(&NoLocal::default());
    }
}
