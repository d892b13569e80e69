//! From an address to a server on it.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::{Router, middleware::map_response, serve::Listener};
use nix::sys::socket::{setsockopt, sockopt::Ipv6V6Only};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::sleep,
};
use tracing::{info, warn};

use super::{
    Error, answer,
    connection::{Connection, LASTS, Places},
};

/// Clients that may wait to be accepted.
const BACKLOG: u32 = 128;
/// Shortest and longest pause between attempts to have an address.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Listens on an address; an unspecified one of either family stands for all addresses of both.
///
/// # Errors
///
/// The kernel's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return bind_one(address);
    }
    match bind_one((Ipv6Addr::UNSPECIFIED, address.port()).into()) {
        // A kernel without IPv6.
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT)
            ) =>
        {
            bind_one((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        result => result,
    }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Not refused because connections of an earlier agent have not quite ended.
    socket.set_reuseaddr(true)?;
    if address.is_ipv6() {
        setsockopt(&socket, Ipv6V6Only, &!address.ip().is_unspecified())?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves on an address for ever. While it cannot be had it is tried again, unless `hard_fail`.
///
/// # Errors
///
/// It cannot be had, and is not tried again.
pub async fn serve(
    server: &'static str,
    address: SocketAddr,
    hard_fail: bool,
    router: Router,
) -> Result<(), Error> {
    let (mut pause, longest) = PAUSES;
    let listener = loop {
        match bind(address) {
            Ok(listener) => break listener,
            Err(source) if hard_fail => return Err(Error::Bind { server, address, source }),
            Err(error) => warn!("cannot listen on {address} for {server}: {error}; trying again"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(longest);
    };
    info!(%address, "serving {server}");
    serve_on(server, listener, router).await
}

/// Serves what a listener accepts, for ever.
///
/// # Errors
///
/// The server ended.
pub async fn serve_on(
    server: &'static str,
    listener: TcpListener,
    router: Router,
) -> Result<(), Error> {
    let door = Door { listener, places: Places::default() };
    let router = router.layer(map_response(answer::last));
    axum::serve(door, router).await.map_err(|source| Error::Serve { server, source })
}

/// One listener, and room for its clients.
struct Door {
    listener: TcpListener,
    places: Places,
}

impl Listener for Door {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let place = self.places.take().await;
        let (stream, client) = Listener::accept(&mut self.listener).await;
        (Connection::new(stream, place, LASTS), client)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests;
