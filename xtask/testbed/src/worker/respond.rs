//! Servers for measurements, with as little of their own in the way as can be: a thread a connection,
//! one read and one write an answer. They say who they are and nothing else.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use super::{Line, Respond, tell};
use crate::error::{During, Result};

/// Connections at a time to each port; a client's threads may all meet the same one.
const CONNECTIONS: usize = 4;
/// What is sent at once where much is asked for.
const MUCH: usize = 256 * 1024;
/// The length of a request, and of an answer.
pub(super) const LENGTH: usize = 16;

/// The first byte of a request over a connection.
pub(super) const ONCE: u8 = b'1';
pub(super) const AGAIN: u8 = b'+';
pub(super) const WITHOUT_END: u8 = b'*';

/// An answer: the name, filled up or cut.
pub(super) fn answer(name: &str) -> [u8; LENGTH] {
    let mut answer = [b' '; LENGTH];
    for (to, from) in answer.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    answer
}

/// Answers until it is killed. Says so as soon as every port is open.
pub(super) fn respond(order: &Respond) -> Result<()> {
    let name = answer(&order.name);
    let mut threads = Vec::new();
    for address in &order.addresses {
        for port in &order.ports {
            let address = SocketAddr::new(*address, *port);
            let listener = TcpListener::bind(address).during("listen on", address)?;
            for _ in 0..CONNECTIONS {
                let listener = listener.try_clone().during("share", address)?;
                threads.push(thread::spawn(move || accept(&listener, name)));
            }
            let socket = UdpSocket::bind(address).during("listen on", address)?;
            threads.push(thread::spawn(move || datagrams(&socket, name)));
        }
    }
    tell(&Line::Ready)?;
    // None of them ends.
    threads.into_iter().for_each(|thread| drop(thread.join()));
    Ok(())
}

/// What breaks a connection is its client's affair, who reports it.
fn accept(listener: &TcpListener, name: [u8; LENGTH]) {
    loop {
        if let Ok((stream, _)) = listener.accept() {
            let _ = connection(stream, name);
        }
    }
}

/// The side that answers closes first, as it is the one that then waits out the connection's end: a
/// client that goes on without pause would run out of ports.
fn connection(mut stream: TcpStream, name: [u8; LENGTH]) -> io::Result<()> {
    let mut request = [0; LENGTH];
    loop {
        stream.read_exact(&mut request)?;
        match request[0] {
            AGAIN => stream.write_all(&name)?,
            WITHOUT_END => {
                stream.write_all(&name)?;
                let much = vec![0; MUCH];
                loop {
                    stream.write_all(&much)?;
                }
            }
            _ => return stream.write_all(&name),
        }
    }
}

fn datagrams(socket: &UdpSocket, name: [u8; LENGTH]) {
    let mut request = [0; LENGTH];
    loop {
        // An error here is an earlier answer that was refused, not the end of the socket.
        if let Ok((_, from)) = socket.recv_from(&mut request) {
            let _ = socket.send_to(&name, from);
        }
    }
}
