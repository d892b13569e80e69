//! What a worker is told to do.

use std::{
    ffi::OsString,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::container::Container;

/// Where processes of a node, a pod or the client live.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The file of its network namespace.
    pub netns: PathBuf,
    /// The folder of its cgroup.
    pub cgroup: PathBuf,
}

/// A worker's whole order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Where to do it.
    pub place: Place,
    /// What to do.
    pub task: Task,
    /// Whether to be killed when the process that gave the order ends.
    pub dies_with_parent: bool,
}

/// What a worker does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Answers requests until it is killed.
    Serve(Serve),
    /// Makes requests and reports who answered.
    Probe(Probe),
    /// Answers a client that measures until it is killed.
    Respond(Respond),
    /// Makes as many requests as it can and reports how many that were.
    Load(Load),
    /// Becomes another program.
    Run {
        /// The program.
        program: OsString,
        /// Its arguments, without its name.
        arguments: Vec<OsString>,
        /// What to shut it into.
        container: Option<Container>,
    },
}

/// A server: TCP speaks HTTP/1.1, UDP answers every datagram. Both say who they are, whom they saw
/// and where they were called.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Serve {
    /// Who it says it is.
    pub name: String,
    /// Addresses to answer on. Listed one by one, as a reply from a UDP socket bound to every
    /// address could leave with another address than the one that was called.
    pub addresses: Vec<IpAddr>,
    /// TCP ports.
    pub tcp: Vec<u16>,
    /// UDP ports.
    pub udp: Vec<u16>,
}

/// A server for measurements, which answers TCP and UDP with its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Respond {
    /// Who it says it is.
    pub name: String,
    /// Addresses to answer on.
    pub addresses: Vec<IpAddr>,
    /// Ports of both.
    pub ports: Vec<u16>,
}

/// A client that measures. It gives up at the first request that fails.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Whom to call. Each thread calls one after the other, beginning with its own, and stays with
    /// that one where a connection is kept.
    pub to: Vec<SocketAddr>,
    /// How.
    pub pattern: Pattern,
    /// Who must answer.
    pub expected: String,
    /// Requests under way at a time, each on a thread of its own.
    pub concurrency: u32,
    /// For how long.
    pub length: Duration,
}

/// What a client that measures repeats.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Pattern {
    /// Connect, request, response, close.
    Connect,
    /// Request and response, over one connection.
    KeepAlive,
    /// Request and response over UDP, with a new socket each.
    Datagram,
    /// Nothing: one answer that does not end.
    Bulk,
}

/// How a client talks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Transport {
    /// Connect, request, response.
    Tcp,
    /// connect(), send(), recv().
    UdpConnected,
    /// sendto(), recvfrom().
    UdpUnconnected,
}

/// How long a client goes on.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Amount {
    /// This many requests in all.
    Requests(u64),
    /// Without pause for this long.
    For(Duration),
    /// Without pause until its standard input is closed.
    UntilStopped,
}

/// A client.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// Whom to call. A v4-mapped address is called through an IPv6 socket.
    pub to: SocketAddr,
    /// How.
    pub transport: Transport,
    /// How often.
    pub amount: Amount,
    /// How many at a time; each has a thread and sockets of its own.
    pub concurrency: u32,
    /// How long to wait for a connection, and again for an answer.
    pub timeout: Duration,
    /// The address to call from; the kernel's choice if `None`.
    pub source: Option<IpAddr>,
    /// Make all of a thread's requests over one connection or socket.
    pub reuse: bool,
    /// Stop early when this many exchanges have failed.
    pub most_failures: u64,
    /// Report every single exchange too.
    pub record: bool,
    /// Let connect() of a TCP socket block, as most programs do.
    pub blocking: bool,
    /// Size of a TCP answer to ask for, if larger than the shortest.
    pub download_bytes: usize,
    /// Size of what a TCP request brings.
    pub upload_bytes: usize,
    /// Size of a UDP request, if larger than the shortest; the answer is at least as large.
    pub datagram_bytes: usize,
}

impl Probe {
    /// One TCP request.
    pub fn tcp(to: SocketAddr) -> Self {
        Self {
            to,
            transport: Transport::Tcp,
            amount: Amount::Requests(1),
            concurrency: 1,
            timeout: Duration::from_secs(5),
            source: None,
            reuse: false,
            most_failures: u64::MAX,
            record: false,
            blocking: false,
            download_bytes: 0,
            upload_bytes: 0,
            datagram_bytes: 0,
        }
    }

    /// One UDP request over a connected socket.
    pub fn udp(to: SocketAddr) -> Self {
        Self { transport: Transport::UdpConnected, ..Self::tcp(to) }
    }

    /// One UDP request over a socket that is not connected.
    pub fn udp_unconnected(to: SocketAddr) -> Self {
        Self { transport: Transport::UdpUnconnected, ..Self::tcp(to) }
    }

    /// So many requests.
    pub fn requests(self, requests: u64) -> Self {
        Self { amount: Amount::Requests(requests), ..self }
    }

    /// For so long.
    pub fn lasting(self, time: Duration) -> Self {
        Self { amount: Amount::For(time), ..self }
    }

    /// Until it is told to stop.
    pub fn until_stopped(self) -> Self {
        Self { amount: Amount::UntilStopped, ..self }
    }

    /// So many at a time.
    pub fn concurrency(self, concurrency: u32) -> Self {
        Self { concurrency, ..self }
    }

    /// Waiting so long.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// From this address.
    pub fn from(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Over one connection or socket a thread.
    pub fn reusing(self) -> Self {
        Self { reuse: true, ..self }
    }

    /// Until so many have failed.
    pub fn most_failures(self, most_failures: u64) -> Self {
        Self { most_failures, ..self }
    }

    /// With every exchange in the report.
    pub fn recording(self) -> Self {
        Self { record: true, ..self }
    }

    /// Over sockets whose connect() blocks.
    pub fn blocking(self) -> Self {
        Self { blocking: true, ..self }
    }

    /// With answers of this size.
    pub fn download_bytes(self, bytes: usize) -> Self {
        Self { download_bytes: bytes, ..self }
    }

    /// With requests of this size.
    pub fn upload_bytes(self, bytes: usize) -> Self {
        Self { upload_bytes: bytes, ..self }
    }

    /// With datagrams of this size.
    pub fn datagram_bytes(self, bytes: usize) -> Self {
        Self { datagram_bytes: bytes, ..self }
    }
}
