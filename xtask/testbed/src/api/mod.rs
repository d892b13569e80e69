//! A Kubernetes API server for tests, that fails on cue. It speaks what list and watch clients
//! need: pages, streams with bookmarks and resource versions, streaming lists, selectors, single
//! objects. It checks nothing of what it holds, so that objects may be as broken as a test likes.
//!
//! A test changes objects by calls, sets [`Rule`]s for requests to come, sends [`Interrupt`]s to
//! streams that are open, and reads every [`Request`] that came.

mod answer;
mod fault;
mod request;
mod selector;
mod state;
mod store;
mod stream;

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::Router;
use serde_json::{Value, json};
use tokio::{runtime, sync::oneshot};

pub use fault::{Fault, Interrupt, Rule, StreamingLists};
pub use request::{Request, Verb};
pub use store::Key;

use crate::{
    error::{During, Result},
    netns::{self, Netns},
};
use state::Shared;

/// A server. Dropping it ends it and every connection to it.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    netns: Option<PathBuf>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl ApiServer {
    /// Starts one on an address of this namespace; port 0 is any that is free.
    pub fn start(address: SocketAddr) -> Result<Self> {
        Self::start_at(address, None)
    }

    /// Starts one on an address of another namespace.
    pub fn start_in(netns: &Netns, address: SocketAddr) -> Result<Self> {
        Self::start_at(address, Some(netns.path().to_owned()))
    }

    fn start_at(address: SocketAddr, netns: Option<PathBuf>) -> Result<Self> {
        let shared = Arc::new(Shared::new());
        let mut server = Self { shared, address, netns, running: None };
        server.resume()?;
        Ok(server)
    }

    /// Ends it as a crash would: connections are closed and new ones refused. What it knows stays.
    pub fn stop(&mut self) {
        if let Some(Running { stop, thread }) = self.running.take() {
            // The thread may have ended; what it waited for is then no matter.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Starts it again, on the same address.
    pub fn resume(&mut self) -> Result<()> {
        self.stop();
        let bind = || TcpListener::bind(self.address).during("listen on", self.address);
        let listener = match &self.netns {
            Some(path) => netns::enter(path, bind)?,
            None => bind()?,
        };
        self.address = listener.local_addr().during("look at", self.address)?;
        listener.set_nonblocking(true).during("prepare", self.address)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .during("start", "an event loop")?;
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().fallback(answer::answer).with_state(Arc::clone(&self.shared));
        let thread = thread::spawn(move || {
            // Leaving drops the event loop, and with it every connection.
            runtime.block_on(async {
                let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
        });
        self.running = Some(Running { stop, thread });
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Writes a kubeconfig for it, whose user shows what is in `token`, if that is given.
    pub fn write_kubeconfig(&self, path: &Path, token: Option<&Path>) -> Result<()> {
        let user = token.map_or(json!({}), |token| json!({"tokenFile": token}));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        });
        fs::write(path, config.to_string()).during("write", path.display())
    }

    /// Puts an object in place of the one of its name, if there is one.
    pub fn put(&self, resource: &str, object: Value) -> Key {
        self.shared.change(|state| state.store.put(resource, object))
    }

    /// Takes an object out; false if there is none.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) -> bool {
        let key = Key::new(resource, namespace, name);
        self.shared.change(|state| state.store.remove(&key))
    }

    /// All objects of a resource.
    pub fn objects(&self, resource: &str) -> Vec<Arc<Value>> {
        self.shared.lock().store.all(resource)
    }

    /// The present version.
    pub fn version(&self) -> u64 {
        self.shared.lock().store.version()
    }

    /// Forgets how the present came to be: whoever resumes from before gets 410.
    pub fn compact(&self) {
        self.shared.change(|state| state.store.compact());
    }

    /// Lets requests that meet a rule fail from now on; the oldest rule that fits counts.
    pub fn fail(&self, rule: Rule) {
        self.shared.change(|state| state.rules.push(rule));
    }

    /// Lets all requests succeed again. Those that stall go on doing so.
    pub fn recover(&self) {
        self.shared.change(|state| state.rules.clear());
    }

    /// Does this to the streams of a resource that are open, after the changes made so far.
    pub fn interrupt(&self, resource: &str, interrupt: Interrupt) {
        self.shared.change(|state| {
            let version = state.store.version();
            state.interrupts.push((version, resource.to_owned(), interrupt));
        });
    }

    /// Says how it behaves towards clients that ask for streaming lists.
    pub fn set_streaming_lists(&self, behaviour: StreamingLists) {
        self.shared.change(|state| state.streaming_lists = behaviour);
    }

    /// Lets in nobody but bearers of these tokens; everybody, if there are none. Streams that are
    /// open stay so.
    pub fn accept_tokens(&self, tokens: &[&str]) {
        let tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        self.shared.change(|state| state.tokens = tokens);
    }

    /// Waits this long before each line of a stream.
    pub fn set_pace(&self, pace: Duration) {
        self.shared.change(|state| state.pace = pace);
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// How many streams of a resource are open.
    pub fn streams(&self, resource: &str) -> usize {
        self.shared.lock().streams.get(resource).copied().unwrap_or_default()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
    }
}
