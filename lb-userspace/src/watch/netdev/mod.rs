//! This network namespace as the kernel tells it: its addresses, its external devices and the
//! source address of each.
//!
//! Notifications only say that something changed; then everything is listed again and compared.
//! So it does not matter when some are lost, and a burst of them costs one listing. The sockets
//! belong to the namespace of the thread that opens them, which is the agent's.

mod choose;
mod frames;
mod listing;

pub use choose::{
    Address, DeviceNet, External, Link, Listing, LocalAddress, NodeNet, PodDevice, PodSide, Route,
    Selection,
};

use std::{
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

use rtnetlink::{
    MulticastGroup,
    sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE},
};
use tokio::{sync::watch, time::sleep};

use super::error::WatchError;
use crate::model::Rejection;

const GROUPS: [MulticastGroup; 5] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
];

/// Room for one notification. Nobody looks inside, so a longer one may be cut.
const NOTIFICATION_BYTES: usize = 4096;

/// How long to wait before asking again a kernel that did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the namespace. Values stand in a channel that holds the latest alone.
pub struct NetSource {
    selection: Selection,
    socket: TokioSocket,
    frames: frames::Changes,
    values: watch::Sender<NodeNet>,
    /// What was complained about in the log.
    reported: BTreeSet<Rejection>,
}

impl NetSource {
    /// Subscribes and lists everything; the receiver holds the first value.
    ///
    /// # Errors
    /// The kernel has no rtnetlink for us.
    pub async fn open(
        selection: Selection,
    ) -> Result<(Self, watch::Receiver<NodeNet>), WatchError> {
        // Subscribe before listing: what changes in between is listed twice, not missed.
        let socket = subscribe()
            .map_err(|source| WatchError::Netlink { operation: "subscribe to changes", source })?;
        let frames = frames::Changes::subscribe().await;
        let (values, receiver) = watch::channel(read(&selection).await?);
        let mut source = Self { selection, socket, frames, values, reported: BTreeSet::new() };
        source.report();
        Ok((source, receiver))
    }

    /// Follows the namespace until every receiver is gone.
    ///
    /// # Errors
    /// The socket of notifications fails.
    pub async fn run(mut self) -> Result<(), WatchError> {
        let failed = |source| WatchError::Netlink { operation: "receive notifications", source };
        let room = || Vec::with_capacity(NOTIFICATION_BYTES);
        let (mut bytes, mut of_frames) = (room(), room());
        loop {
            bytes.clear();
            of_frames.clear();
            tokio::select! {
                () = self.values.closed() => return Ok(()),
                received = self.socket.recv(&mut bytes) => told(received).map_err(failed)?,
                received = self.frames.next(&mut of_frames) => told(received).map_err(failed)?,
            }
            self.drain(&mut bytes).map_err(failed)?;
            let start = Instant::now();
            self.list_again().await;
            // Where changes never end, half the time is enough.
            sleep(start.elapsed()).await;
        }
    }

    /// Takes all notifications that are there already.
    fn drain(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        loop {
            bytes.clear();
            match self.socket.socket_ref().recv(bytes, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                received => told(received.map(drop))?,
            }
        }
    }

    async fn list_again(&mut self) {
        let net = loop {
            match read(&self.selection).await {
                Ok(net) => break net,
                Err(error) => tracing::warn!("{error}; asking again in {RETRY:?}"),
            }
            sleep(RETRY).await;
        };
        let changed = self.values.send_if_modified(|current| {
            let changed = *current != net;
            *current = net;
            changed
        });
        if changed {
            self.report();
        }
    }

    /// Logs rejections once.
    fn report(&mut self) {
        let now: BTreeSet<_> = self.values.borrow().rejections.iter().cloned().collect();
        for rejection in now.difference(&self.reported) {
            tracing::warn!("{rejection}");
        }
        self.reported = now;
    }
}

/// Reads the namespace once.
///
/// # Errors
/// The kernel did not list something.
pub async fn read(selection: &Selection) -> Result<NodeNet, WatchError> {
    Ok(NodeNet::choose(&listing::list().await?, selection))
}

fn subscribe() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    let groups = GROUPS.into_iter().fold(0, |groups, group| groups | 1 << (group as u32 - 1));
    socket.socket_mut().bind(&SocketAddr::new(0, groups))?;
    Ok(socket)
}

/// A notification, or the word that some were lost, which comes to the same.
fn told(received: io::Result<()>) -> io::Result<()> {
    match received {
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
        received => received,
    }
}
