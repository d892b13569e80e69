//! Listeners that follow what was programmed: opened, moved and closed as Services come, change
//! their port and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{
        OwnedSemaphorePermit,
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use super::Metrics;
use crate::{
    model::{HealthCheck, ServiceName},
    reconcile::Programmed,
    serve::{
        Incident,
        connection::{Connection, LASTS, Places},
        listen,
    },
};

/// How long until a port that could not be had is tried again, if nothing changes before.
const AGAIN: Duration = Duration::from_secs(5);
/// How long to wait when a connection could not be accepted: mostly too many are open.
const BREATH: Duration = Duration::from_millis(100);

/// The listeners.
pub(super) struct Doors {
    programmed: watch::Receiver<Programmed>,
    /// What they were last made to follow.
    followed: Programmed,
    open: BTreeMap<SocketAddr, TcpListener>,
    /// What could not be opened, and what was said about it.
    shut: BTreeMap<SocketAddr, String>,
    /// When that is tried again, if nothing changes before.
    again: Instant,
    places: Places,
    /// For the next connection: it is taken before that is accepted.
    place: Option<OwnedSemaphorePermit>,
    incidents: mpsc::Sender<Incident>,
    metrics: Metrics,
}

/// What ends a wait.
enum Woken {
    Accepted(io::Result<(TcpStream, SocketAddr)>, u16),
    Place(Option<OwnedSemaphorePermit>),
    Programmed,
    TryAgain,
}

impl Doors {
    pub(super) fn new(
        mut programmed: watch::Receiver<Programmed>,
        incidents: mpsc::Sender<Incident>,
        metrics: Metrics,
    ) -> Self {
        programmed.mark_changed();
        let (followed, open, shut) = Default::default();
        let (again, places) = (Instant::now(), Places::default());
        Self { programmed, followed, open, shut, again, places, place: None, incidents, metrics }
    }

    /// The next connection, and the port it came to. Losing the future loses nothing.
    pub(super) async fn accept(&mut self) -> (Connection, u16) {
        loop {
            let woken = tokio::select! {
                biased;
                changed = self.programmed.changed() => match changed {
                    Ok(()) => Woken::Programmed,
                    // The loop is gone, and with it soon everything else.
                    Err(_) => std::future::pending().await,
                },
                () = sleep_until(self.again), if !self.shut.is_empty() => Woken::TryAgain,
                place = self.places.take(), if self.place.is_none() => Woken::Place(place),
                (accepted, port) = accept_any(&self.open), if self.place.is_some() => {
                    Woken::Accepted(accepted, port)
                }
            };
            match woken {
                Woken::Accepted(Ok((stream, _)), port) => {
                    return (Connection::new(stream, self.place.take(), LASTS), port);
                }
                Woken::Place(place) => self.place = place,
                Woken::Accepted(Err(error), port) => {
                    warn!("accepting a health check on port {port}: {error}");
                    sleep(BREATH).await;
                }
                Woken::Programmed => {
                    self.followed = self.programmed.borrow_and_update().clone();
                    self.follow();
                }
                Woken::TryAgain => self.follow(),
            }
        }
    }

    /// Closes what is not wanted any more, then opens what is not open.
    fn follow(&mut self) {
        let wanted = wanted(&self.followed);
        self.open.retain(|address, _| wanted.contains_key(address));
        let mut shut = BTreeMap::new();
        for (address, service) in wanted {
            if self.open.contains_key(&address) {
                continue;
            }
            match listen::bind(address) {
                Ok(listener) => {
                    info!(%service, %address, "answering health checks");
                    self.open.insert(address, listener);
                }
                Err(error) => {
                    self.metrics.failures.inc();
                    shut.insert(address, self.complain(service, address, &error));
                }
            }
        }
        self.shut = shut;
        self.again = Instant::now() + AGAIN;
        self.metrics.listeners.set(self.open.len() as i64);
    }

    /// Says that a port cannot be had, unless that was said already. Returns what there is to say.
    fn complain(&self, service: ServiceName, address: SocketAddr, error: &io::Error) -> String {
        let port = address.port();
        let note = format!("cannot listen on {address} for health checks of {service}: {error}");
        if self.shut.get(&address) != Some(&note) {
            warn!("{note}");
            let (reason, action) = ("FailedToStartServiceHealthcheck", "Listen");
            let incident = Incident { service, reason, action, note: note.clone() };
            // Closed: there is nobody to tell, and the log has it.
            if let Err(TrySendError::Full(_)) = self.incidents.try_send(incident) {
                warn!("too many events wait: the one about port {port} is lost");
            }
        }
        note
    }
}

/// Where to listen, for whom.
fn wanted(programmed: &Programmed) -> BTreeMap<SocketAddr, ServiceName> {
    let everywhere = || [IpAddr::from(Ipv6Addr::UNSPECIFIED)].into();
    let addresses: BTreeSet<IpAddr> =
        programmed.node_port_addresses.as_deref().cloned().unwrap_or_else(everywhere);
    let checks: &Arc<BTreeMap<ServiceName, HealthCheck>> = &programmed.health_checks;
    checks
        .iter()
        .flat_map(|(name, check)| {
            addresses.iter().map(|ip| ((*ip, check.port).into(), name.clone()))
        })
        .collect()
}

/// Waits for all of them at a time; for ever if there are none.
async fn accept_any(
    listeners: &BTreeMap<SocketAddr, TcpListener>,
) -> (io::Result<(TcpStream, SocketAddr)>, u16) {
    poll_fn(|context| {
        for (address, listener) in listeners {
            if let Poll::Ready(accepted) = listener.poll_accept(context) {
                return Poll::Ready((accepted, address.port()));
            }
        }
        Poll::Pending
    })
    .await
}
