//! The `healthCheckNodePort` of Services: load balancers in front of the cluster ask it which nodes
//! have an endpoint of a Service with policy Local. One task serves all of them, on listeners that
//! follow what was programmed.

mod doors;

use std::{io, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, State, connect_info::Connected},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::map_response,
    response::Response,
    serve::{IncomingStream, Listener},
};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use serde::Serialize;
use tokio::sync::{mpsc, watch};

use self::doors::Doors;
use super::{Error, Incident, answer, connection::Connection};
use crate::{
    model::{HealthCheck, ServiceName},
    reconcile::{Programmed, Pulse},
};

/// Tells a load balancer how much of the traffic this node should have.
const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// What is counted of the listeners.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    listeners: Gauge,
    failures: Counter,
}

impl Metrics {
    /// Metrics that are shown by `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("sluice_health_check");
        let help = "Addresses and ports that health checks of Services are answered on";
        registry.register("listeners", help, metrics.listeners.clone());
        let help = "Attempts to listen that failed";
        registry.register("listen_failures", help, metrics.failures.clone());
        metrics
    }
}

/// Answers the health checks of all Services.
pub struct Services {
    /// What was programmed.
    pub programmed: watch::Receiver<Programmed>,
    /// Whether the agent is well.
    pub pulse: Arc<Pulse>,
    /// Told of Services whose port cannot be had.
    pub incidents: mpsc::Sender<Incident>,
    /// Where listeners are counted.
    pub metrics: Metrics,
}

impl Services {
    /// Serves for ever.
    ///
    /// # Errors
    ///
    /// The server ended.
    pub async fn run(self) -> Result<(), Error> {
        let asked = Asked { programmed: self.programmed.clone(), pulse: self.pulse };
        let router = Router::new().fallback(answer_for).layer(map_response(answer::last));
        let service = router.with_state(asked).into_make_service_with_connect_info::<Port>();
        let entrance = Entrance(Doors::new(self.programmed, self.incidents, self.metrics));
        let server = "health checks of Services";
        axum::serve(entrance, service).await.map_err(|source| Error::Serve { server, source })
    }
}

/// All the listeners as one.
struct Entrance(Doors);

/// The port that was called.
#[derive(Clone, Copy, Debug)]
struct Port(u16);

impl Listener for Entrance {
    type Io = Connection;
    type Addr = Port;

    async fn accept(&mut self) -> (Connection, Port) {
        let (connection, port) = self.0.accept().await;
        (connection, Port(port))
    }

    fn local_addr(&self) -> io::Result<Port> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl Connected<IncomingStream<'_, Entrance>> for Port {
    fn connect_info(stream: IncomingStream<'_, Entrance>) -> Self {
        *stream.remote_addr()
    }
}

/// Whom an answer depends on.
#[derive(Clone)]
struct Asked {
    programmed: watch::Receiver<Programmed>,
    pulse: Arc<Pulse>,
}

/// Any path and any method: who asks for one that is not ours finds no other here.
async fn answer_for(State(asked): State<Asked>, ConnectInfo(port): ConnectInfo<Port>) -> Response {
    let found = {
        let programmed = asked.programmed.borrow();
        let mut checks = programmed.health_checks.iter();
        checks.find(|(_, check)| check.port == port.0).map(|(name, check)| (name.clone(), *check))
    };
    let Some((name, check)) = found else {
        // It went while the connection was on its way.
        return answer::json(StatusCode::SERVICE_UNAVAILABLE, &());
    };
    let healthy = asked.pulse.condition(std::time::Instant::now()).healthy;
    let (code, report) = report(&name, check, healthy);
    let mut response = answer::json(code, &report);
    response.headers_mut().insert(WEIGHT, HeaderValue::from(check.local_endpoints));
    response
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    service: Identity<'a>,
    local_endpoints: u32,
    service_proxy_healthy: bool,
}

#[derive(Serialize)]
struct Identity<'a> {
    namespace: &'a str,
    name: &'a str,
}

/// What is answered for a Service. Whether the node is eligible is no part of it: a node that is to
/// be removed serves its endpoints until they are gone.
fn report(name: &ServiceName, check: HealthCheck, healthy: bool) -> (StatusCode, Report<'_>) {
    let good = healthy && check.local_endpoints > 0;
    let code = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let report = Report {
        service: Identity { namespace: &name.namespace, name: &name.name },
        local_endpoints: check.local_endpoints,
        service_proxy_healthy: healthy,
    };
    (code, report)
}

#[cfg(test)]
mod tests;
