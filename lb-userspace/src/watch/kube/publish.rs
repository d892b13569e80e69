//! Events on Services, for those who ask `kubectl describe` why something does not work.
//!
//! Written as `events.k8s.io/v1`, whose repetitions are one object with a count, so that `create`
//! and `patch` are all the rights it takes. An Event is found by its Service's uid, which is
//! looked up when one is written: that is seldom, and a list narrowed to one name needs no right
//! that the source does not have.
//!
//! Whoever has something to say sends a [`Warning`] into a channel and forgets about it; what
//! cannot be written is only logged. The same warning is written at most once in a while, and no
//! more than so many altogether: an Event that comes every second is read by nobody.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{ObjectReference, Service};
use kube::{
    Api, Client, Resource as _,
    api::ListParams,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{sync::mpsc, time::timeout};
use tracing::{debug, warn};

use crate::{model::ServiceName, telemetry::Causes};

/// Who reports.
const CONTROLLER: &str = "sluice";
/// Before the same warning is written again.
const REPEAT: Duration = Duration::from_secs(180);
/// Warnings a while.
const BURST: usize = 50;
/// For one Event to be written.
const PATIENCE: Duration = Duration::from_secs(10);
/// The API's limits of an Event's texts.
const NOTE_LONGEST: usize = 1024;

/// Something that an operator should know of a Service.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Warning {
    /// The Service.
    pub service: ServiceName,
    /// Why, in one word, as `FailedToStartServiceHealthcheck`.
    pub reason: String,
    /// What was being done, in one word, as `Listen`.
    pub action: String,
    /// What happened, as a sentence.
    pub note: String,
}

/// Writes warnings as Events.
pub struct Publisher {
    client: Client,
    recorder: Recorder,
    limit: Limit,
}

impl Publisher {
    pub(super) fn new(client: Client, node_name: &str) -> Self {
        let reporter =
            Reporter { controller: CONTROLLER.to_owned(), instance: Some(node_name.to_owned()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, recorder, limit: Limit::default() }
    }

    /// Writes what comes until nothing can come any more.
    pub async fn run(mut self, mut warnings: mpsc::Receiver<Warning>) {
        while let Some(warning) = warnings.recv().await {
            if !self.limit.admits(&warning, Instant::now()) {
                debug!("not written again so soon: {warning:?}");
                continue;
            }
            let service = &warning.service;
            match timeout(PATIENCE, self.write(&warning)).await {
                Ok(Ok(())) => (),
                Ok(Err(error)) => {
                    warn!("cannot write an Event on Service {service}: {}", Causes(&error));
                }
                Err(_) => warn!("cannot write an Event on Service {service}: no answer"),
            }
        }
    }

    async fn write(&self, warning: &Warning) -> Result<(), kube::Error> {
        let ServiceName { namespace, name } = &warning.service;
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let of_name = ListParams::default().fields(&format!("metadata.name={name}"));
        let Some(service) = services.list_metadata(&of_name).await?.items.pop() else {
            // Gone meanwhile, and nobody will ask about it.
            return Ok(());
        };
        let reference = ObjectReference {
            api_version: Some(Service::api_version(&()).into_owned()),
            kind: Some(Service::kind(&()).into_owned()),
            namespace: Some(namespace.to_string()),
            name: Some(name.to_string()),
            uid: service.metadata.uid,
            ..ObjectReference::default()
        };
        let event = Event {
            type_: EventType::Warning,
            reason: warning.reason.clone(),
            note: Some(shortened(&warning.note, NOTE_LONGEST).to_owned()),
            action: warning.action.clone(),
            secondary: None,
        };
        self.recorder.publish(&event, &reference).await
    }
}

/// The beginning of a text, at most so many bytes of it.
fn shortened(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

/// What was written lately.
#[derive(Debug, Default)]
struct Limit {
    written: HashMap<Warning, Instant>,
}

impl Limit {
    /// Whether a warning is to be written now; then it is taken for written.
    fn admits(&mut self, warning: &Warning, now: Instant) -> bool {
        self.written.retain(|_, at| now < *at + REPEAT);
        if self.written.contains_key(warning) || self.written.len() >= BURST {
            return false;
        }
        self.written.insert(warning.clone(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(service: &str) -> Warning {
        Warning {
            service: ServiceName::new("default", service),
            reason: "FailedToStartServiceHealthcheck".into(),
            action: "Listen".into(),
            note: "port 30000: address in use".into(),
        }
    }

    #[test]
    fn a_warning_is_not_repeated_for_a_while() {
        let mut limit = Limit::default();
        let now = Instant::now();
        assert!(limit.admits(&warning("a"), now));
        assert!(!limit.admits(&warning("a"), now + REPEAT / 2));
        assert!(limit.admits(&warning("b"), now + REPEAT / 2));
        assert!(limit.admits(&warning("a"), now + REPEAT));
    }

    #[test]
    fn many_warnings_are_cut_off() {
        let mut limit = Limit::default();
        let now = Instant::now();
        let admitted =
            (0..3 * BURST).filter(|number| limit.admits(&warning(&number.to_string()), now));
        assert_eq!(admitted.count(), BURST);
        assert!(limit.admits(&warning("later"), now + REPEAT));
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(shortened("aéb", 2), "a");
        assert_eq!(shortened("aéb", 3), "aé");
        assert_eq!(shortened("ab", 9), "ab");
    }
}
