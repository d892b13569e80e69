//! A client for measurements: keeps as many requests under way as it has threads, and does nothing
//! between them but note how long each took. Every answer must be the expected server's.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    Line, Load, Loaded, Pattern,
    probe::error_name,
    report::Latency,
    respond::{AGAIN, LENGTH, ONCE, WITHOUT_END, answer},
    tell,
};
use crate::error::{Error, Result};

/// How long the last requests may take once time is over. What is lost is sent again by TCP after a
/// second, and again; a datagram that is lost is a failure sooner.
const PATIENCE: Duration = Duration::from_secs(20);
const DATAGRAM_PATIENCE: Duration = Duration::from_secs(1);
/// Room to read into where much is asked for.
const MUCH: usize = 256 * 1024;

/// What one thread has done: nanoseconds each request took, and bytes beyond the answers.
type Done = io::Result<(Vec<u64>, u64)>;

/// Keeps on for as long as it was told, and returns what came of it.
pub(super) fn load(order: &Load) -> Result<Loaded> {
    tell(&Line::Ready)?;
    let (results, done) = mpsc::channel();
    let started = Instant::now();
    for number in 0..order.concurrency as usize {
        let (order, results) = (order.clone(), results.clone());
        // Not joined: one that never hears an answer must not keep the others' results.
        thread::spawn(move || results.send(requests(&order, number, started)));
    }
    drop(results);
    let mut latencies = Vec::new();
    let mut bytes = 0;
    for _ in 0..order.concurrency {
        let left = (order.length + PATIENCE).saturating_sub(started.elapsed());
        let result = done.recv_timeout(left).map_err(|_| failure("no answer".to_owned()))?;
        let (times, more) = result.map_err(|error| failure(error_name(&error)))?;
        latencies.extend(times);
        bytes += more;
    }
    let elapsed = started.elapsed();
    latencies.sort_unstable();
    let answered = latencies.len() as u64;
    Ok(Loaded { answered, bytes, elapsed, latency: Latency::of(&latencies) })
}

fn failure(message: String) -> Error {
    Error::Worker { worker: "load".to_owned(), message }
}

fn requests(order: &Load, first: usize, started: Instant) -> Done {
    let expected = answer(&order.expected);
    let mut targets = order.to.iter().copied().cycle().skip(first);
    let mut next = || targets.next().ok_or(io::ErrorKind::AddrNotAvailable);
    let over = || started.elapsed() >= order.length;
    let mut times = Vec::with_capacity(64 * 1024);
    let mut bytes = 0;
    match order.pattern {
        Pattern::Connect => repeat(&mut times, over, || connect(next()?, &expected))?,
        Pattern::KeepAlive => {
            let mut stream = TcpStream::connect(next()?)?;
            stream.set_nodelay(true)?;
            repeat(&mut times, over, || exchange(&mut stream, AGAIN, &expected))?;
        }
        Pattern::Datagram => repeat(&mut times, over, || datagram(next()?, &expected))?,
        Pattern::Bulk => {
            let mut stream = TcpStream::connect(next()?)?;
            exchange(&mut stream, WITHOUT_END, &expected)?;
            let mut much = vec![0; MUCH];
            while !over() {
                bytes += stream.read(&mut much)? as u64;
            }
        }
    }
    Ok((times, bytes))
}

fn repeat(
    times: &mut Vec<u64>,
    over: impl Fn() -> bool,
    mut request: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    while !over() {
        let began = Instant::now();
        request()?;
        times.push(began.elapsed().as_nanos() as u64);
    }
    Ok(())
}

/// Connect, request, response, and the server's end of the connection.
fn connect(to: SocketAddr, expected: &[u8; LENGTH]) -> io::Result<()> {
    let mut stream = TcpStream::connect(to)?;
    exchange(&mut stream, ONCE, expected)?;
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn exchange(stream: &mut TcpStream, kind: u8, expected: &[u8; LENGTH]) -> io::Result<()> {
    stream.write_all(&[kind; LENGTH])?;
    let mut heard = [0; LENGTH];
    stream.read_exact(&mut heard)?;
    check(&heard, expected)
}

/// A socket a request, as resolvers do.
fn datagram(to: SocketAddr, expected: &[u8; LENGTH]) -> io::Result<()> {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(DATAGRAM_PATIENCE))?;
    socket.connect(to)?;
    socket.send(&[ONCE; LENGTH])?;
    let mut heard = [0; LENGTH];
    socket.recv(&mut heard)?;
    check(&heard, expected)
}

/// Something else may have answered.
fn check(heard: &[u8; LENGTH], expected: &[u8; LENGTH]) -> io::Result<()> {
    if heard == expected { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}
