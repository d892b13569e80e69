//! A watch: one line of JSON a change, until the client, the time limit or an interrupt ends it.

use std::{collections::VecDeque, future, io, sync::Arc, time::Duration};

use axum::body::Bytes;
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    answer::status,
    fault::Interrupt,
    state::{Shared, State},
    store::{self, Query},
};

/// The annotation of the bookmark after which a streaming list is complete.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
/// A watch without a time limit of its own ends after this, as a server's does some day.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long half a line may take to leave before the connection is closed under it.
const LEAVING: Duration = Duration::from_millis(20);

/// Where a watch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begin {
    /// With the changes after this version.
    After(u64),
    /// With all there is.
    Everything,
    /// The same, and a bookmark when that is told.
    StreamingList,
}

/// An open watch.
pub(super) struct Watch {
    shared: Arc<Shared>,
    query: Query,
    /// All changes up to this version have been told.
    told: u64,
    /// Interrupts before this one are done, or not for this stream.
    heeded: usize,
    lines: VecDeque<Line>,
    news: watch::Receiver<()>,
    until: Instant,
}

/// What comes next in a stream.
enum Line {
    Whole(String),
    Half(String),
    Reset,
    Silence,
    End,
}

impl Watch {
    pub(super) fn new(
        shared: &Arc<Shared>,
        query: Query,
        begin: Begin,
        limit: Option<Duration>,
    ) -> Self {
        let news = shared.subscribe();
        let mut lines = VecDeque::new();
        let mut state = shared.lock();
        let now = state.store.version();
        let mut told = now;
        match begin {
            Begin::After(version) if version < state.store.compacted() => {
                lines.extend([Line::Whole(error(410)), Line::End]);
            }
            Begin::After(version) => told = version,
            Begin::Everything | Begin::StreamingList => {
                let all = state.store.select(&query);
                lines.extend(all.iter().map(|object| Line::Whole(event("ADDED", object))));
                if begin == Begin::StreamingList {
                    let end = json!({INITIAL_EVENTS_END: "true"});
                    lines.push_back(Line::Whole(bookmark(&query.resource, now, end)));
                }
            }
        }
        *state.streams.entry(query.resource.clone()).or_default() += 1;
        let heeded = state.interrupts.len();
        drop(state);
        let until = Instant::now() + limit.unwrap_or(LONGEST);
        Self { shared: Arc::clone(shared), query, told, heeded, lines, news, until }
    }

    /// The bytes as they come; an error closes the connection.
    pub(super) fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(self, |mut watch| async {
            let item = match watch.next().await {
                Line::Whole(text) => Ok(Bytes::from(text + "\n")),
                Line::Half(text) => Ok(Bytes::from(text)),
                Line::Reset => {
                    sleep(LEAVING).await;
                    Err(io::ErrorKind::ConnectionReset.into())
                }
                Line::Silence => future::pending().await,
                Line::End => return None,
            };
            Some((item, watch))
        })
    }

    async fn next(&mut self) -> Line {
        loop {
            self.news.borrow_and_update();
            if self.lines.is_empty() {
                self.catch_up();
            }
            if let Some(line) = self.lines.pop_front() {
                let pace = self.shared.lock().pace;
                if !pace.is_zero() {
                    sleep(pace).await;
                }
                return line;
            }
            select! {
                changed = self.news.changed() => if changed.is_err() { return Line::End },
                () = sleep_until(self.until) => return Line::End,
            }
        }
    }

    /// Turns what has happened since into lines: changes and interrupts in their order.
    fn catch_up(&mut self) {
        let shared = Arc::clone(&self.shared);
        let state = shared.lock();
        for (version, resource, interrupt) in state.interrupts.iter().skip(self.heeded) {
            if *resource == self.query.resource {
                self.tell(&state, *version);
                self.heed(interrupt);
            }
        }
        self.heeded = state.interrupts.len();
        self.tell(&state, state.store.version());
    }

    /// Tells the changes up to a version.
    fn tell(&mut self, state: &State, version: u64) {
        let changes = state.store.since(self.told).take_while(|change| change.version <= version);
        let told = changes.filter_map(|change| store::told(&self.query, change));
        self.lines.extend(told.map(|(kind, object)| Line::Whole(event(kind, &object))));
        self.told = self.told.max(version);
    }

    fn heed(&mut self, interrupt: &Interrupt) {
        match interrupt {
            Interrupt::Gone => self.lines.extend([Line::Whole(error(410)), Line::End]),
            Interrupt::Error => self.lines.extend([Line::Whole(error(500)), Line::End]),
            Interrupt::End => self.lines.push_back(Line::End),
            Interrupt::Reset => self.lines.push_back(Line::Reset),
            Interrupt::CutInLine => {
                let whole = bookmark(&self.query.resource, self.told, json!({}));
                let half = whole[..whole.len() / 2].to_owned();
                self.lines.extend([Line::Half(half), Line::Reset]);
            }
            Interrupt::Silence => self.lines.push_back(Line::Silence),
            Interrupt::Line(text) => self.lines.push_back(Line::Whole(text.clone())),
            Interrupt::Bookmark => {
                let text = bookmark(&self.query.resource, self.told, json!({}));
                self.lines.push_back(Line::Whole(text));
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(open) = self.shared.lock().streams.get_mut(&self.query.resource) {
            *open -= 1;
        }
    }
}

fn event(kind: &str, object: &Value) -> String {
    json!({"type": kind, "object": object}).to_string()
}

fn error(code: u16) -> String {
    event("ERROR", &status(code))
}

fn bookmark(resource: &str, version: u64, annotations: Value) -> String {
    let (api_version, kind) = store::kind(resource);
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": annotations});
    event("BOOKMARK", &json!({"apiVersion": api_version, "kind": kind, "metadata": metadata}))
}
