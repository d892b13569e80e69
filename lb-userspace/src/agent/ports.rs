//! What operators see: one registry of metrics, the probes, and the servers that show them.

use std::{sync::Arc, time::SystemTime};

use anyhow::{Context, Result};
use prometheus_client::{collector::Collector, registry::Registry};
use tokio::sync::{mpsc, watch};

use super::Task;
use crate::{
    config::Config,
    kernel,
    plan::Capacities,
    reconcile::{self, Programmed, Pulse},
    serve::{
        Incident, Process,
        admin::Admin,
        listen::serve,
        probes::{Eligible, Probes},
        services::{self, Services},
    },
    task::ready::Ready,
    upkeep,
    watch::kube,
};

/// What rooms and servers share.
pub(super) struct Ports {
    pub(super) pulse: Arc<Pulse>,
    pub(super) ready: Arc<Ready>,
    pub(super) loop_metrics: reconcile::Metrics,
    pub(super) kernel_metrics: kernel::Metrics,
    pub(super) upkeep_metrics: upkeep::Metrics,
    pub(super) watch_metrics: kube::Metrics,
    probes: Probes,
    service_metrics: services::Metrics,
    registry: Registry,
}

impl Ports {
    /// For tables of these sizes. `datapath` tells what the programs counted.
    pub(super) fn new(capacities: &Capacities, datapath: Box<dyn Collector>) -> Self {
        let mut registry = Registry::default();
        let (pulse, ready): (Arc<_>, Arc<_>) = Default::default();
        let probes = Probes::new(&mut registry, Arc::clone(&pulse), Arc::clone(&ready));
        let loop_metrics = reconcile::Metrics::new(&mut registry, capacities, SystemTime::now());
        let kernel_metrics = kernel::Metrics::new(&mut registry);
        let upkeep_metrics = upkeep::Metrics::new(&mut registry);
        let watch_metrics = kube::Metrics::new(&mut registry);
        let service_metrics = services::Metrics::new(&mut registry);
        registry.register_collector(datapath);
        registry.register_collector(Box::new(Process));
        Self {
            pulse,
            ready,
            loop_metrics,
            kernel_metrics,
            upkeep_metrics,
            watch_metrics,
            probes,
            service_metrics,
            registry,
        }
    }

    /// Told by whoever follows the Node.
    pub(super) fn eligible(&self) -> Arc<Eligible> {
        self.probes.eligible()
    }

    /// The servers that are wanted. `incidents` is told what owners of Services should hear of.
    pub(super) fn servers(
        self,
        config: &Config,
        programmed: watch::Receiver<Programmed>,
        incidents: mpsc::Sender<Incident>,
    ) -> Result<Vec<Task>> {
        let hard_fail = config.bind_hard_fail;
        let services =
            Services { programmed, pulse: self.pulse, incidents, metrics: self.service_metrics };
        let mut servers: Vec<Task> = vec![Box::pin(async { Ok(services.run().await?) })];
        if let Some(address) = config.healthz {
            let server = serve("probes", address, hard_fail, self.probes.router());
            servers.push(Box::pin(async { Ok(server.await?) }));
        }
        if let Some(address) = config.metrics {
            let settings = serde_json::to_value(config).context("describing the settings")?;
            let admin = Admin::new(self.registry, settings);
            let server = serve("metrics", address, hard_fail, admin.router());
            servers.push(Box::pin(async { Ok(server.await?) }));
        }
        Ok(servers)
    }
}

#[cfg(test)]
mod tests;
