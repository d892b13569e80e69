//! A Kubernetes API server as a source of news.
//!
//! Three [`feed`]s follow Services, EndpointSlices and the own Node, each for itself; [`state`]
//! makes pictures of what they tell. What they ask for is `list` and `watch` of services,
//! endpointslices and nodes, nothing else; the labels that hide an object from this proxy are left
//! to the server, and looked at again in [`convert`](super::convert). [`publish`] writes Events,
//! with `create` and `patch` of events.
//!
//! While the server cannot be reached, or a list is being read again, the last complete picture
//! stays. Only `agent.rs` runs this; it takes news from a channel that holds one, and meanwhile
//! changes are collected, so that a slow reader gets fewer pictures but misses nothing.

mod backoff;
mod client;
mod failure;
mod feed;
mod intern;
mod link;
mod metrics;
mod object;
pub mod publish;
mod request;
mod state;
mod strategy;
mod wire;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Instant, SystemTime},
};

use futures_util::future;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use self::{
    failure::Failure,
    feed::{Feed, Told},
    link::{Link, rounded},
    object::Kind,
    publish::Publisher,
    request::Requests,
    state::State,
};
use super::{
    error::WatchError,
    news::{News, NodeNews},
};
use crate::{model::Rejection, telemetry::Causes};

pub use client::Settings;
pub use metrics::Metrics;

/// What feeds have told and nobody has taken in yet.
const TOLD: usize = 256;

/// Follows an API server.
pub struct KubeSource {
    client: Client,
    node_name: Arc<str>,
    metrics: Metrics,
    state: State,
    link: Link,
    news: mpsc::Sender<News>,
    node: watch::Sender<Option<NodeNews>>,
    opened: Instant,
    lost: Option<Instant>,
    /// What was complained about in the log.
    reported: BTreeSet<Rejection>,
}

impl KubeSource {
    /// Reads the settings; nothing is asked of the server yet, which need not be there. The first
    /// news comes when Services and EndpointSlices are known completely; `None` of the node means
    /// that nothing is known of it yet.
    ///
    /// # Errors
    /// There is no usable kubeconfig or service account.
    pub async fn open(
        settings: Settings,
    ) -> Result<(Self, mpsc::Receiver<News>, watch::Receiver<Option<NodeNews>>), WatchError> {
        let client = client::connect(&settings).await?;
        let (news, news_receiver) = mpsc::channel(1);
        let (node, node_receiver) = watch::channel(None);
        let source = Self {
            client,
            node_name: settings.node_name,
            metrics: settings.metrics,
            state: State::new(SystemTime::now()),
            link: Link::default(),
            news,
            node,
            opened: Instant::now(),
            lost: None,
            reported: BTreeSet::new(),
        };
        Ok((source, news_receiver, node_receiver))
    }

    /// A writer of Events to the same server.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.client.clone(), &self.node_name)
    }

    /// Follows the server until nobody takes news any more.
    ///
    /// # Errors
    /// None today: whatever the server does is tried again.
    pub async fn run(self) -> Result<(), WatchError> {
        let (told, inbox) = mpsc::channel(TOLD);
        let feeds = Kind::ALL.map(|kind| {
            let requests = Requests::new(self.client.clone(), kind, &self.node_name);
            Feed::new(kind, requests, told.clone(), self.metrics.clone()).run()
        });
        drop(told);
        tokio::select! {
            _ = future::join_all(feeds) => (),
            () = self.assemble(inbox) => (),
        }
        Ok(())
    }

    /// Makes news of what is told, as often as there is room for one.
    async fn assemble(mut self, mut inbox: mpsc::Receiver<(Kind, Told)>) {
        let news = self.news.clone();
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = inbox.recv_many(&mut batch, TOLD) => {
                    if count == 0 {
                        return;
                    }
                    batch.drain(..).for_each(|(kind, told)| self.take(kind, told));
                }
                room = news.reserve(), if self.state.has_news() => match room {
                    Ok(room) => {
                        let news = self.state.news();
                        self.report(&news.rejections);
                        room.send(news);
                    }
                    Err(_) => return,
                },
                () = news.closed() => return,
            }
        }
    }

    fn take(&mut self, kind: Kind, told: Told) {
        match told {
            Told::Change(change) => {
                self.state.apply(kind, change);
                if kind == Kind::Node {
                    self.tell_node();
                }
            }
            Told::InStep(listed) => {
                if let Some(mode) = listed {
                    self.say_listed(kind, mode);
                }
                if self.link.in_step(kind)
                    && let Some(since) = self.lost.take()
                {
                    info!("the API server is back after {:?}", rounded(since.elapsed()));
                }
            }
            Told::Lost(failure) => {
                if self.link.lost(kind) {
                    self.say_lost(&failure);
                }
            }
        }
    }

    fn say_lost(&mut self, failure: &Failure) {
        let cause = Causes(failure);
        if self.state.is_complete() {
            self.lost = Some(Instant::now());
            warn!("lost the API server: {cause}; the last complete picture stays meanwhile");
        } else {
            warn!("cannot follow the API server: {cause}; nothing is programmed before that");
        }
    }

    /// Said when both lists are complete, and when one was read again.
    fn say_listed(&self, kind: Kind, mode: strategy::Mode) {
        if kind == Kind::Node || !self.state.is_complete() {
            return;
        }
        let (services, slices) = self.state.counts();
        let after = rounded(self.opened.elapsed());
        info!(
            "the API server's lists are complete: {services} services, {slices} endpoint slices \
             ({mode}, {after:?} after the start)"
        );
    }

    /// Logs rejections once.
    fn report(&mut self, rejections: &[Rejection]) {
        let known = rejections.len() == self.reported.len()
            && rejections.iter().all(|rejection| self.reported.contains(rejection));
        if known {
            return;
        }
        let now: BTreeSet<_> = rejections.iter().cloned().collect();
        for rejection in now.difference(&self.reported) {
            warn!("{rejection}");
        }
        self.reported = now;
    }

    fn tell_node(&self) {
        let Some(now) = self.state.node() else { return };
        self.node.send_if_modified(|before| {
            if before.as_ref() == Some(now) {
                return false;
            }
            let existed = before.as_ref().is_none_or(|before| before.exists);
            if existed && !now.exists {
                let name = &self.node_name;
                warn!("there is no Node {name}: going on with what was last known of it");
            }
            *before = Some(now.clone());
            true
        });
    }
}
