//! What handlers, streams and the test share.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::{
    fault::{Fault, Interrupt, Rule, StreamingLists},
    request::Request,
    store::Store,
};

/// The state behind its lock, and the bell that is rung when it has changed.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    bell: watch::Sender<()>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) rules: Vec<Rule>,
    /// With the version at which each came and the resource whose streams it is for.
    pub(super) interrupts: Vec<(u64, String, Interrupt)>,
    pub(super) streaming_lists: StreamingLists,
    /// Tokens that are let in; everybody is if there are none.
    pub(super) tokens: BTreeSet<String>,
    /// Time before each line of a stream.
    pub(super) pace: Duration,
    pub(super) requests: Vec<Request>,
    /// Open streams, by resource.
    pub(super) streams: BTreeMap<String, usize>,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), bell: watch::Sender::new(()) }
    }

    /// A panic elsewhere fails its own test; the state is whole between any two statements.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and tells the streams.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.bell.send_replace(());
        result
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }
}

impl State {
    /// Keeps a request; returns its place in the record and the fault that it meets.
    pub(super) fn record(&mut self, request: &Request) -> (usize, Option<Fault>) {
        self.requests.push(request.clone());
        let rule = self.rules.iter_mut().find(|rule| rule.meets(request));
        let fault = rule.map(|rule| {
            rule.left -= 1;
            rule.fault.clone()
        });
        (self.requests.len() - 1, fault)
    }

    pub(super) fn lets_in(&self, token: Option<&str>) -> bool {
        self.tokens.is_empty() || token.is_some_and(|token| self.tokens.contains(token))
    }
}
