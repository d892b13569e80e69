//! One exchange of a client: connect, request, response, over the socket calls that programs use.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{Probe, Transport, http, seen::Seen};

/// Bytes of the shortest datagram sent.
const SHORTEST_DATAGRAM: usize = 4;
/// Room for any datagram that can arrive.
const LARGEST_DATAGRAM: usize = 64 * 1024;

/// An answer, and whom the client believes it came from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Answered {
    /// What the server said.
    pub(super) seen: Seen,
    /// getpeername() for what is connected, else the datagram's source.
    pub(super) from: SocketAddr,
}

/// A client's socket, kept between exchanges if asked to.
pub(super) struct Client<'a> {
    order: &'a Probe,
    socket: Option<Socket>,
    buffer: Vec<u8>,
}

impl<'a> Client<'a> {
    pub(super) fn new(order: &'a Probe) -> Self {
        Self { order, socket: None, buffer: Vec::new() }
    }

    /// One exchange. After a failure the next starts with a new socket, except over UDP: an
    /// application keeps its socket then, and so must the test.
    pub(super) fn exchange(&mut self) -> io::Result<Answered> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.open()?,
        };
        let result = match self.order.transport {
            Transport::Tcp => self.http(&socket),
            Transport::UdpConnected | Transport::UdpUnconnected => self.datagram(&socket),
        };
        let usable = result.is_ok() || self.order.transport != Transport::Tcp;
        if self.order.reuse && usable {
            self.socket = Some(socket);
        }
        result
    }

    fn open(&self) -> io::Result<Socket> {
        let (kind, protocol) = match self.order.transport {
            Transport::Tcp => (Type::STREAM, Protocol::TCP),
            Transport::UdpConnected | Transport::UdpUnconnected => (Type::DGRAM, Protocol::UDP),
        };
        let to = self.order.to.into();
        let socket = Socket::new(Domain::for_address(self.order.to), kind, Some(protocol))?;
        if let Some(source) = self.order.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match self.order.transport {
            Transport::Tcp => {
                if self.order.blocking {
                    socket.set_write_timeout(Some(self.order.timeout))?;
                    socket.connect(&to)?;
                } else {
                    socket.connect_timeout(&to, self.order.timeout)?;
                }
                socket.set_tcp_nodelay(true)?;
            }
            Transport::UdpConnected => socket.connect(&to)?,
            Transport::UdpUnconnected => {}
        }
        socket.set_read_timeout(Some(self.order.timeout))?;
        Ok(socket)
    }

    fn http(&mut self, mut socket: &Socket) -> io::Result<Answered> {
        let from = address(&socket.peer_addr()?)?;
        let (host, wanted) = (self.order.to.to_string(), self.order.download_bytes);
        let request = http::post(&host, self.order.reuse, wanted, self.order.upload_bytes);
        socket.write_all(request.as_bytes())?;
        self.buffer.clear();
        let mut part = [0; 16 * 1024];
        loop {
            let length = socket.read(&mut part)?;
            self.buffer.extend_from_slice(&part[..length]);
            if let Some(body) = http::body(&self.buffer) {
                if !http::is_intact(body, wanted) {
                    return Err(not_ours());
                }
                let seen = parse(body)?;
                if !self.order.reuse {
                    // The server closes first, so that its side and not ours waits out the
                    // connection's end: a client that is to go on without pause would run out
                    // of ports.
                    while length > 0 && socket.read(&mut part)? > 0 {}
                }
                return Ok(Answered { seen, from });
            }
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn datagram(&mut self, mut socket: &Socket) -> io::Result<Answered> {
        let request = vec![b'?'; self.order.datagram_bytes.max(SHORTEST_DATAGRAM)];
        self.buffer.resize(LARGEST_DATAGRAM, 0);
        let (length, from) = if self.order.transport == Transport::UdpConnected {
            socket.send(&request)?;
            (socket.read(&mut self.buffer)?, address(&socket.peer_addr()?)?)
        } else {
            socket.send_to(&request, &self.order.to.into())?;
            let socket: std::net::UdpSocket = socket.try_clone()?.into();
            socket.recv_from(&mut self.buffer)?
        };
        if length < request.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = std::str::from_utf8(&self.buffer[..length]).map_err(|_| not_ours())?;
        Ok(Answered { seen: parse(text)?, from })
    }
}

fn address(address: &socket2::SockAddr) -> io::Result<SocketAddr> {
    address.as_socket().ok_or_else(not_ours)
}

fn parse(text: &str) -> io::Result<Seen> {
    text.parse().map_err(|_| not_ours())
}

/// Something answered, but none of our servers.
fn not_ours() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
