//! The port of probes and of load balancers that ask about the node as a whole.
//!
//! `/healthz` is for load balancers of Services with policy Cluster: it turns to 503 also when the
//! node is about to be removed. A liveness probe belongs on `/livez`, which does not, as a restart
//! would not keep the node. A readiness probe belongs on `/readyz`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Instant, SystemTime},
};

use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use serde::Serialize;

use super::{answer, clock::go_text};
use crate::{
    reconcile::{Condition, Pulse},
    task::ready::{Guard, Ready},
};

/// Whether load balancers may send traffic to this node. It may, until its Node says otherwise.
#[derive(Debug)]
pub struct Eligible(AtomicBool);

impl Default for Eligible {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl Eligible {
    /// The Node says so; `false`: it is being deleted, or about to be.
    pub fn set(&self, eligible: bool) {
        self.0.store(eligible, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whom the probes ask.
#[derive(Clone, Debug)]
pub struct Probes {
    pulse: Arc<Pulse>,
    ready: Arc<Ready>,
    eligible: Arc<Eligible>,
    healthz: Answers,
    livez: Answers,
}

/// Answers of one path, by status code.
type Answers = Family<[(&'static str, u16); 1], Counter>;

impl Probes {
    /// Probes whose answers are counted in `registry`.
    pub fn new(registry: &mut Registry, pulse: Arc<Pulse>, ready: Arc<Ready>) -> Self {
        let registry = registry.sub_registry_with_prefix("kubeproxy");
        let mut counted = |path: &str| {
            let answers = Answers::default();
            for code in [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE] {
                drop(answers.get_or_create(&[("code", code.as_u16())]));
            }
            let (name, help) = (format!("proxy_{path}"), format!("Answers of /{path}"));
            registry.register(name, help, answers.clone());
            answers
        };
        let (healthz, livez) = (counted("healthz"), counted("livez"));
        Self { pulse, ready, eligible: Arc::default(), healthz, livez }
    }

    /// Whoever follows the Node sets it.
    pub fn eligible(&self) -> Arc<Eligible> {
        Arc::clone(&self.eligible)
    }

    /// The server.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(healthz))
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(self)
    }

    fn answer(&self, counted: &Answers, eligible: Option<bool>) -> Response {
        let condition = self.pulse.condition(Instant::now());
        let (code, health) = health(condition, eligible, SystemTime::now());
        counted.get_or_create(&[("code", code.as_u16())]).inc();
        answer::json(code, &health)
    }
}

async fn healthz(State(probes): State<Probes>) -> Response {
    probes.answer(&probes.healthz, Some(probes.eligible.get()))
}

async fn livez(State(probes): State<Probes>) -> Response {
    probes.answer(&probes.livez, None)
}

async fn readyz(State(probes): State<Probes>) -> Response {
    let waiting_for: Vec<_> = probes.ready.left().into_iter().map(Guard::name).collect();
    let ready = waiting_for.is_empty();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(code, &Readiness { ready, waiting_for })
}

#[derive(PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    last_updated: String,
    current_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    ready: bool,
    waiting_for: Vec<&'static str>,
}

/// What is answered. Who is healthy is up to date now, whenever there last was something to do.
fn health(condition: Condition, eligible: Option<bool>, now: SystemTime) -> (StatusCode, Health) {
    let updated = if condition.healthy { now } else { condition.written.unwrap_or(now) };
    let good = condition.healthy && eligible.unwrap_or(true);
    let code = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = Health {
        last_updated: go_text(updated),
        current_time: go_text(now),
        node_eligible: eligible,
    };
    (code, health)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[track_caller]
    fn check(healthy: bool, eligible: Option<bool>, code: u16, body: &str) {
        let second = |s| UNIX_EPOCH + Duration::from_secs(s);
        let condition = Condition { healthy, written: Some(second(5)) };
        let (found, health) = health(condition, eligible, second(90));
        assert_eq!(found.as_u16(), code);
        assert_eq!(serde_json::to_string(&health).unwrap(), body);
    }

    #[test]
    fn the_last_write_is_named_only_when_it_is_too_long_ago() {
        let now = r#""currentTime":"1970-01-01 00:01:30 +0000 UTC""#;
        let fresh = format!(r#"{{"lastUpdated":"1970-01-01 00:01:30 +0000 UTC",{now}"#);
        let stale = format!(r#"{{"lastUpdated":"1970-01-01 00:00:05 +0000 UTC",{now}"#);
        check(true, None, 200, &format!("{fresh}}}"));
        check(false, None, 503, &format!("{stale}}}"));
        check(true, Some(true), 200, &format!(r#"{fresh},"nodeEligible":true}}"#));
        check(true, Some(false), 503, &format!(r#"{fresh},"nodeEligible":false}}"#));
        check(false, Some(true), 503, &format!(r#"{stale},"nodeEligible":true}}"#));
    }
}
