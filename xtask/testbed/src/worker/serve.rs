//! Servers that say who they are and whom they saw.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Builder,
    task::{JoinSet, LocalSet},
};

use super::{Line, Serve, http, seen::Seen, tell};
use crate::error::{During, Result};

/// The largest request a client may send.
const LARGEST_REQUEST: usize = 64 << 20;
/// Room for any datagram that can arrive.
const LARGEST_DATAGRAM: usize = 64 * 1024;

/// Answers until it is killed. Says so as soon as every port is open.
pub(super) fn serve(order: &Serve) -> Result<()> {
    let runtime =
        Builder::new_current_thread().enable_io().build().during("start", "an event loop")?;
    LocalSet::new().block_on(&runtime, serve_all(order))
}

async fn serve_all(order: &Serve) -> Result<()> {
    let name: Rc<str> = order.name.as_str().into();
    let mut servers = JoinSet::new();
    for address in endpoints(&order.addresses, &order.tcp) {
        let listener = TcpListener::bind(address).await.during("listen on", address)?;
        servers.spawn_local(accept(listener, name.clone()));
    }
    for address in endpoints(&order.addresses, &order.udp) {
        let socket = UdpSocket::bind(address).await.during("listen on", address)?;
        servers.spawn_local(echo(socket, address, name.clone()));
    }
    tell(&Line::Ready)?;
    while servers.join_next().await.is_some() {}
    Ok(())
}

fn endpoints(addresses: &[IpAddr], ports: &[u16]) -> impl Iterator<Item = SocketAddr> {
    addresses.iter().flat_map(|address| ports.iter().map(|port| SocketAddr::new(*address, *port)))
}

async fn accept(listener: TcpListener, name: Rc<str>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that was gone before it was accepted is that client's affair.
                if let Ok((stream, _)) = accepted {
                    connections.spawn_local(answer(stream, name.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the requests of one connection. What breaks it is the client's affair, and the client
/// reports it.
async fn answer(mut stream: TcpStream, name: Rc<str>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let line =
        Seen { pod: name.to_string(), peer: stream.peer_addr()?, local: stream.local_addr()? }
            .to_string();
    let mut received = Vec::new();
    while received.len() < LARGEST_REQUEST && stream.read_buf(&mut received).await? > 0 {
        while let Some(request) = http::request(&received) {
            if !request.intact {
                return Err(io::ErrorKind::InvalidData.into());
            }
            received.drain(..request.length);
            let response = http::response(&line, request.keep_alive, request.wanted);
            stream.write_all(response.as_bytes()).await?;
            if !request.keep_alive {
                return stream.shutdown().await;
            }
        }
    }
    Ok(())
}

/// Answers every datagram with at least as many bytes as it had.
async fn echo(socket: UdpSocket, local: SocketAddr, name: Rc<str>) {
    let mut datagram = vec![0; LARGEST_DATAGRAM];
    loop {
        // An error here is an earlier reply that was refused, not the end of the socket.
        let Ok((length, peer)) = socket.recv_from(&mut datagram).await else { continue };
        let line = Seen { pod: name.to_string(), peer, local }.to_string();
        let _ = socket.send_to(format!("{line:length$}").as_bytes(), peer).await;
    }
}
