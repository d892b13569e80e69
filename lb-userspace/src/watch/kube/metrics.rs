//! What can be told of the connection to the API server. docs/metrics.md lists it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tower::Service;

use super::{failure::Failure, object::Kind};

/// A label with its value, one of few.
type Label = (&'static str, &'static str);
/// Status, method and server of a request.
type RequestLabels = [(&'static str, String); 3];

/// See the module. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    in_step: Family<[Label; 1], Gauge>,
    lists: Family<[Label; 1], Counter>,
    errors: Family<[Label; 2], Counter>,
    requests: Family<RequestLabels, Counter>,
}

impl Metrics {
    /// Metrics that are shown by `registry`; their series begin when a server is followed.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "rest_client_requests",
            "Requests to the API server, by what came of them",
            metrics.requests.clone(),
        );
        let registry = registry.sub_registry_with_prefix("sluice_watch");
        let help = "Whether objects are followed as they change: 1, or 0 while the server is lost";
        registry.register("connected", help, metrics.in_step.clone());
        let help = "Complete lists read, the first and those after changes were missed";
        registry.register("lists", help, metrics.lists.clone());
        let help = "Lists and watches that failed, by why";
        registry.register("errors", help, metrics.errors.clone());
        metrics
    }

    /// Makes every series with a known label exist, so that a rate has a zero to start from.
    pub(crate) fn show_zeros(&self, server: &str) {
        drop(self.requests.get_or_create(&request("200", "GET", server)));
        for kind in Kind::ALL.map(resource) {
            drop(self.in_step.get_or_create(&[kind]));
            drop(self.lists.get_or_create(&[kind]));
            for reason in Failure::REASONS {
                drop(self.errors.get_or_create(&[kind, ("reason", reason)]));
            }
        }
    }

    /// A kind is followed; `listed`: after it was listed anew.
    pub(super) fn in_step(&self, kind: Kind, listed: bool) {
        self.in_step.get_or_create(&[resource(kind)]).set(1);
        if listed {
            self.lists.get_or_create(&[resource(kind)]).inc();
        }
    }

    /// An attempt to follow a kind has failed.
    pub(super) fn failed(&self, kind: Kind, failure: &Failure) {
        self.in_step.get_or_create(&[resource(kind)]).set(0);
        self.errors.get_or_create(&[resource(kind), ("reason", failure.reason())]).inc();
    }
}

fn resource(kind: Kind) -> Label {
    let name = match kind {
        Kind::Services => "services",
        Kind::Slices => "endpointslices",
        Kind::Node => "nodes",
    };
    ("resource", name)
}

fn request(code: &str, method: &str, host: &str) -> RequestLabels {
    [("code", code), ("host", host), ("method", method)].map(|(name, value)| (name, value.into()))
}

/// A client whose requests are counted.
#[derive(Clone, Debug)]
pub(super) struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S> Counted<S> {
    pub(super) fn new(inner: S, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }
}

impl<S, Q, A> Service<Request<Q>> for Counted<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, asked: Request<Q>) -> Self::Future {
        let method = asked.method().to_string();
        let host = asked.uri().authority().map_or_else(String::new, ToString::to_string);
        let metrics = self.metrics.clone();
        let answer = self.inner.call(asked);
        Box::pin(async move {
            let answer = answer.await;
            // As the control plane's own client calls it where there was no answer.
            let status = answer.as_ref().map(Response::status).ok();
            let code = status.as_ref().map_or("<error>", StatusCode::as_str);
            metrics.requests.get_or_create(&request(code, &method, &host)).inc();
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::encoding::text::encode_registry;

    use super::*;

    #[test]
    fn a_lost_kind_is_told_apart_from_the_others() {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        metrics.show_zeros("10.96.0.1:443");
        metrics.in_step(Kind::Services, true);
        metrics.in_step(Kind::Slices, true);
        let waited = Duration::from_secs(90);
        metrics.failed(Kind::Slices, &Failure::Silent { operation: "watch", waited });
        let mut text = String::new();
        encode_registry(&mut text, &registry).unwrap();
        for sample in [
            r#"sluice_watch_connected{resource="services"} 1"#,
            r#"sluice_watch_connected{resource="endpointslices"} 0"#,
            r#"sluice_watch_lists_total{resource="endpointslices"} 1"#,
            r#"sluice_watch_lists_total{resource="nodes"} 0"#,
            r#"sluice_watch_errors_total{resource="endpointslices",reason="silent"} 1"#,
            r#"sluice_watch_errors_total{resource="services",reason="silent"} 0"#,
            r#"rest_client_requests_total{code="200",host="10.96.0.1:443",method="GET"} 0"#,
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}:\n{text}");
        }
    }
}
