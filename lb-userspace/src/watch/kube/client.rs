//! The connection to an API server: who we are, whom we trust, and when a connection is dead.
//!
//! Credentials are kept fresh by the client library: a service account's token file is read again
//! when it was read 50 seconds ago, a kubeconfig's `tokenFile` likewise, an `exec` plugin is run
//! again before its token expires, and in a pod the file of trusted certificates is read again
//! about every minute. A kubeconfig itself is read once.
//!
//! The stack of layers is put together here because the library's own one has no keepalives, and
//! retries by itself, in silence, what [`feed`](super::feed) is to decide about.

use std::{path::PathBuf, sync::Arc, time::Duration};

use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{Body, ConfigExt as _},
    config::{KubeConfigOptions, Kubeconfig},
};
use tower::{BoxError, ServiceBuilder, layer::layer_fn};

use super::metrics::{Counted, Metrics};
use crate::watch::WatchError;

/// For a connection; a node that cannot be reached at all is given up sooner than by the kernel.
const CONNECT: Duration = Duration::from_secs(5);
/// A dead path is found out after 15 s of silence and three questions 5 s apart.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// For what we send to be acknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Which server, and who asks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A file that names server and credentials; `None`: as in a pod, by its service account.
    pub kubeconfig: Option<PathBuf>,
    /// The node this agent serves.
    pub node_name: Arc<str>,
    /// Where requests and watches are counted.
    pub metrics: Metrics,
}

/// A client for the server that the settings name. Nothing is asked of it yet.
pub(super) async fn connect(settings: &Settings) -> Result<Client, WatchError> {
    let mut config = match &settings.kubeconfig {
        None => Config::incluster().map_err(WatchError::InCluster)?,
        Some(path) => {
            let failed = |source| WatchError::Kubeconfig { path: path.clone(), source };
            let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
            let options = KubeConfigOptions::default();
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)?
        }
    };
    let agent = concat!("sluice/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    client(&config, &settings.metrics).map_err(WatchError::Client)
}

fn client(config: &Config, metrics: &Metrics) -> Result<Client, kube::Error> {
    let server = config.cluster_url.authority().map_or("", |server| server.as_str());
    metrics.show_zeros(server);
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = Http::builder(TokioExecutor::new()).build::<_, Body>(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .layer(layer_fn(|http| Counted::new(http, metrics.clone())))
        .service(http);
    Ok(Client::new(service, config.default_namespace.clone()))
}
