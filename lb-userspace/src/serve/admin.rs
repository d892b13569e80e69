//! The port of metrics, and of questions about the agent itself.

use std::sync::Arc;

use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::{answer, exposition};

/// What `/proxyMode` answers. None of kube-proxy's modes: there are no chains and no virtual
/// servers to be found here, and who asks does so in order to look for them.
const MODE: &str = "sluice";

/// What the port shows.
#[derive(Clone)]
pub struct Admin {
    registry: Arc<Registry>,
    config: Arc<Value>,
}

impl Admin {
    /// Shows these metrics and settings.
    pub fn new(registry: Registry, config: Value) -> Self {
        Self { registry: Arc::new(registry), config: Arc::new(json!({ "sluice": config })) }
    }

    /// The server.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/configz", get(configz))
            .route("/proxyMode", get(async || answer::text(MODE)))
            .route("/healthz", get(async || answer::text("ok")))
            .with_state(self)
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    match exposition::write(&admin.registry) {
        Ok(text) => answer::typed(StatusCode::OK, exposition::CONTENT_TYPE, text),
        Err(_) => answer::typed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain; charset=utf-8",
            "the metrics cannot be written".to_owned(),
        ),
    }
}

async fn configz(State(admin): State<Admin>) -> Response {
    answer::json(StatusCode::OK, &*admin.config)
}
