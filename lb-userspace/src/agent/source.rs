//! The source that the settings name, and what it tells, passed on to those who want to know.

use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};

use super::Task;
use crate::{
    config::{Config, Source},
    reconcile::Event,
    serve::{Incident, probes::Eligible},
    watch::{
        FileSource, KubeSource, NodeNews, Ranges, kube,
        kube::publish::{Publisher, Warning},
    },
};

/// A source that is followed.
pub(super) struct Followed {
    pub(super) tasks: Vec<Task>,
    /// Writes Events on Services, where there is somewhere to write them.
    pub(super) publisher: Option<Publisher>,
}

/// Opens the source.
pub(super) async fn open(
    config: &Config,
    events: &mpsc::Sender<Event>,
    eligible: Arc<Eligible>,
    metrics: kube::Metrics,
) -> Result<Followed> {
    let events = events.clone();
    match &config.source {
        Source::Manifests(folder) => {
            let ranges = Ranges {
                service_cidrs: config.service_cidrs.clone(),
                node_ports: config.node_ports.0..=config.node_ports.1,
            };
            let (source, news) = FileSource::open(folder.clone(), ranges)?;
            let tasks: Vec<Task> = vec![
                Box::pin(async { source.run().await.context("following the manifests") }),
                Box::pin(forward(news, Event::News, events)),
            ];
            Ok(Followed { tasks, publisher: None })
        }
        Source::Kubernetes { kubeconfig } => {
            let (kubeconfig, node_name) = (kubeconfig.clone(), Arc::clone(&config.node_name));
            let settings = kube::Settings { kubeconfig, node_name, metrics };
            let (source, news, node) = KubeSource::open(settings).await?;
            let publisher = Some(source.publisher());
            let tasks: Vec<Task> = vec![
                Box::pin(async { source.run().await.context("following the API server") }),
                Box::pin(forward_all(news, Event::News, events.clone())),
                Box::pin(forward_node(node, events, eligible)),
            ];
            Ok(Followed { tasks, publisher })
        }
    }
}

/// Passes a source's latest value on whenever there is a new one.
pub(super) async fn forward<T: Clone>(
    mut values: watch::Receiver<T>,
    as_event: fn(T) -> Event,
    events: mpsc::Sender<Event>,
) -> Result<()> {
    loop {
        let latest = values.borrow_and_update().clone();
        events.send(as_event(latest)).await?;
        values.changed().await?;
    }
}

/// The same for the Node, which is not known from the start.
async fn forward_node(
    mut values: watch::Receiver<Option<NodeNews>>,
    events: mpsc::Sender<Event>,
    eligible: Arc<Eligible>,
) -> Result<()> {
    loop {
        let latest = values.borrow_and_update().clone();
        if let Some(latest) = latest {
            eligible.set(latest.eligible);
            events.send(Event::Node(latest)).await?;
        }
        values.changed().await?;
    }
}

/// Passes every value on.
async fn forward_all<T>(
    mut values: mpsc::Receiver<T>,
    as_event: fn(T) -> Event,
    events: mpsc::Sender<Event>,
) -> Result<()> {
    while let Some(value) = values.recv().await {
        events.send(as_event(value)).await?;
    }
    Ok(())
}

/// Tells the owners of Services of incidents, for as long as the agent runs. Without a publisher
/// the log is all there is.
pub(super) async fn tell(
    publisher: Option<Publisher>,
    mut incidents: mpsc::Receiver<Incident>,
) -> Result<()> {
    let Some(publisher) = publisher else { return std::future::pending().await };
    let (warnings, to_write) = mpsc::channel(1);
    let pass_on = async {
        while let Some(Incident { service, reason, action, note }) = incidents.recv().await {
            let (reason, action) = (reason.to_owned(), action.to_owned());
            warnings.send(Warning { service, reason, action, note }).await?;
        }
        Ok(())
    };
    tokio::select! {
        ended = pass_on => ended,
        () = publisher.run(to_write) => Ok(()),
    }
}
