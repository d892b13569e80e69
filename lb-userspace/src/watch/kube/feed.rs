//! One kind of objects, followed for good: list, watch, resume, list again.
//!
//! A feed never ends and never gives up; whatever happens it tells, waits and tries again. From
//! where it goes on is decided by one thing alone: the version up to which everything was told. It
//! is forgotten when the server says that it is too old, and then everything is listed anew.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tracing::debug;

use super::{
    backoff::Backoff,
    failure::{Class, Failure},
    metrics::Metrics,
    object::Kind,
    request::{Lines, Requests, refusal},
    state::Change,
    strategy::{Mode, Strategy},
    wire::{Bookmark, Line, Page},
};
use crate::telemetry::Causes;

/// After so long the server is asked to end a watch, so that watches move to a server that was
/// added; spread, so that they do so one after the other.
const SHORTEST_WATCH: Duration = Duration::from_secs(300);
const LONGEST_WATCH: Duration = Duration::from_secs(600);
/// A watch that lasted so long has worked.
const STEADY: Duration = Duration::from_secs(5);

/// What a feed tells.
#[derive(Debug)]
pub(super) enum Told {
    /// A change of its objects.
    Change(Change),
    /// It is in step with the server; `Some` after a complete list.
    InStep(Option<Mode>),
    /// It is not, for this reason.
    Lost(Failure),
}

/// Follows one kind of objects.
pub(super) struct Feed {
    kind: Kind,
    requests: Requests,
    told: mpsc::Sender<(Kind, Told)>,
    strategy: Strategy,
    backoff: Backoff,
    metrics: Metrics,
    /// Everything up to here was told.
    version: Option<String>,
    /// Since when nothing has succeeded.
    lost: Option<Instant>,
}

/// Nobody listens any more.
struct Closed;

/// How an attempt ended, if not by the end of a watch.
enum Broken {
    Failed(Failure),
    Closed,
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Closed> for Broken {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl Feed {
    pub(super) fn new(
        kind: Kind,
        requests: Requests,
        told: mpsc::Sender<(Kind, Told)>,
        metrics: Metrics,
    ) -> Self {
        let (strategy, backoff) = Default::default();
        Self { kind, requests, told, strategy, backoff, metrics, version: None, lost: None }
    }

    /// Runs until nobody listens any more.
    pub(super) async fn run(mut self) {
        loop {
            let agreed = SHORTEST_WATCH + (LONGEST_WATCH - SHORTEST_WATCH).mul_f64(chance());
            let started = Instant::now();
            let pause = match self.attempt(agreed).await {
                Ok(()) => {
                    debug!("{:?}: the watch ended after {:?}", self.kind, started.elapsed());
                    Backoff::after_end(started.elapsed(), agreed, chance())
                }
                Err(Broken::Failed(failure)) => match self.failed(failure, started).await {
                    Ok(pause) => pause,
                    Err(Closed) => return,
                },
                Err(Broken::Closed) => return,
            };
            sleep(pause).await;
        }
    }

    /// Lists if need be, then watches until the watch ends.
    async fn attempt(&mut self, agreed: Duration) -> Result<(), Broken> {
        if self.version.is_none() && self.strategy.mode() == Mode::Stream {
            let lines = self.requests.stream(agreed).await?;
            self.tell(Told::Change(Change::ListBegins)).await?;
            return self.follow(lines, true).await;
        }
        let version = match self.version.take() {
            Some(version) => version,
            None => self.list().await?,
        };
        let lines = self.requests.watch(self.version.insert(version), agreed).await?;
        self.in_step(None).await?;
        self.follow(lines, false).await
    }

    /// Reads all pages; answers with the version they are of.
    async fn list(&mut self) -> Result<String, Broken> {
        self.tell(Told::Change(Change::ListBegins)).await?;
        let mut token = None;
        loop {
            let text = self.requests.page(token.take()).await?;
            let page: Page<'_> = serde_json::from_slice(&text)
                .map_err(|source| Failure::Unreadable { operation: "list", source })?;
            for item in page.items.into_iter().flatten() {
                self.tell(Told::Change(Change::Listed(self.kind.read(item)))).await?;
            }
            let version = page.metadata.version().map(str::to_owned);
            token = page.metadata.next_page();
            if token.is_none() {
                let version = version.ok_or(Failure::NoVersion)?;
                self.list_ended().await?;
                return Ok(version);
            }
        }
    }

    /// Tells what a watch says, until it ends.
    async fn follow(&mut self, mut lines: Lines, mut in_list: bool) -> Result<(), Broken> {
        let started = Instant::now();
        loop {
            let line = match lines.next(in_list).await {
                Ok(Some(line)) => line,
                Ok(None) if in_list => return Err(Failure::Unfinished.into()),
                Ok(None) if started.elapsed() < STEADY => return Err(Failure::TooShort.into()),
                Ok(None) => return Ok(()),
                // Nothing may have happened to the kind; whether the server is there is seen next.
                Err(Failure::Silent { .. }) if !in_list => return Ok(()),
                Err(failure) => return Err(failure.into()),
            };
            let unreadable = |source| Failure::Unreadable { operation: "watch", source };
            let line: Line<'_> = serde_json::from_slice(line).map_err(unreadable)?;
            match &*line.what {
                "ADDED" | "MODIFIED" => {
                    let object = self.kind.read(line.object);
                    if in_list {
                        self.tell(Told::Change(Change::Listed(object))).await?;
                        continue;
                    }
                    let version = object.version.clone();
                    self.tell(Told::Change(Change::Set(object))).await?;
                    self.reached(&version);
                }
                "DELETED" => {
                    let object = self.kind.read(line.object);
                    self.tell(Told::Change(Change::Gone(object.name))).await?;
                    self.reached(&object.version);
                }
                "BOOKMARK" => {
                    let bookmark: Bookmark =
                        serde_json::from_str(line.object.get()).map_err(unreadable)?;
                    if !in_list {
                        self.reached(bookmark.version());
                    } else if bookmark.ends_list() {
                        in_list = false;
                        self.version = Some(bookmark.version().to_owned());
                        self.list_ended().await?;
                    }
                }
                "ERROR" => {
                    return Err(refusal("watch", 200, line.object.get().as_bytes(), None).into());
                }
                other => debug!("{:?}: a watch event of unknown type {other}", self.kind),
            }
        }
    }

    async fn list_ended(&mut self) -> Result<(), Closed> {
        self.strategy.list_complete();
        self.tell(Told::Change(Change::ListEnds)).await?;
        self.in_step(Some(self.strategy.mode())).await
    }

    async fn in_step(&mut self, listed: Option<Mode>) -> Result<(), Closed> {
        self.lost = None;
        self.metrics.in_step(self.kind, listed.is_some());
        self.tell(Told::InStep(listed)).await
    }

    fn reached(&mut self, version: &str) {
        self.backoff.reset();
        if !version.is_empty() {
            version.clone_into(self.version.get_or_insert_default());
        }
    }

    /// Decides what a failure asks for: how long to wait, and where to begin again.
    async fn failed(&mut self, failure: Failure, started: Instant) -> Result<Duration, Closed> {
        debug!("{:?}: {}", self.kind, Causes(&failure));
        self.metrics.failed(self.kind, &failure);
        if self.lost.is_none() && started.elapsed() >= STEADY {
            self.backoff.reset();
        }
        let is_listing = self.version.is_none();
        if is_listing && self.strategy.list_failed(&failure) {
            return Ok(Duration::ZERO);
        }
        if failure.class() == Class::Expired {
            self.version = None;
        }
        let away = self.lost.get_or_insert_with(Instant::now).elapsed();
        let pause = self.backoff.after(&failure, away, chance());
        if failure.class() != Class::Expired {
            self.tell(Told::Lost(failure)).await?;
        }
        Ok(pause)
    }

    async fn tell(&self, told: Told) -> Result<(), Closed> {
        self.told.send((self.kind, told)).await.map_err(|_| Closed)
    }
}

/// A number from 0 to 1 that no other agent has. The standard library seeds its hash maps from the
/// system's randomness, which is all that is asked for here.
fn chance() -> f64 {
    f64::from(RandomState::new().build_hasher().finish() as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
