//! Who answers on the ports of a Service proxy, in its words.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use super::Sign;

/// Port of `/proxyMode`, which only kube-proxy answers with the name of one of its modes.
const METRICS: u16 = 10249;
const MODES: [&str; 5] = ["iptables", "ipvs", "nftables", "userspace", "kernelspace"];
/// Port of `/healthz`. Proxies that took kube-proxy's place answer there as it did.
const HEALTHZ: u16 = 10256;
const HEALTH_KEYS: [&str; 2] = ["\"lastUpdated\"", "\"currentTime\""];

/// Sockets that listen, of either family, in the namespace of this thread.
const TABLES: [&str; 2] = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];
/// TCP state LISTEN in these tables.
const LISTEN: &str = "0A";
/// How long an answer may take: it is a server on this machine that does nothing else.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most that is read of an answer.
const ANSWER_BYTES: u64 = 64 * 1024;

/// What answers there.
pub(super) fn find() -> Vec<Sign> {
    let tables = TABLES.iter().map(|path| fs::read_to_string(path).unwrap_or_default());
    let mut places: Vec<_> = tables.flat_map(|table| listening(&table)).collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().filter_map(|at| Some(Sign::Answer { at, who: ask(at)? })).collect()
}

/// Where somebody listens on one of the two ports.
fn listening(table: &str) -> Vec<SocketAddr> {
    let place = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, state) = (fields.next()?, fields.nth(1)?);
        let (address, port) = local.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let ours = state == LISTEN && [METRICS, HEALTHZ].contains(&port);
        ours.then(|| Some(SocketAddr::new(address_of(address)?, port)))?
    };
    table.lines().filter_map(place).collect()
}

/// An address as these tables have it: words of four bytes, each printed as a number.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let mut bytes = [0; 16];
    for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&word(index * 8)?);
    }
    Some(Ipv6Addr::from(bytes).into())
}

/// Who it is, if it is a proxy.
fn ask(at: SocketAddr) -> Option<String> {
    let path = if at.port() == METRICS { "/proxyMode" } else { "/healthz" };
    callable(at).iter().find_map(|at| {
        let answer = get(*at, path).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        recognise(at.port(), body.trim())
    })
}

/// Where to call a socket: one of IPv6 that is bound to no address mostly serves both families, and
/// IPv6 may be switched off on the loopback device.
fn callable(at: SocketAddr) -> Vec<SocketAddr> {
    let loopback: &[IpAddr] = match at.ip() {
        ip if !ip.is_unspecified() => &[ip],
        IpAddr::V4(_) => &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        IpAddr::V6(_) => &[IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)],
    };
    loopback.iter().map(|ip| SocketAddr::new(*ip, at.port())).collect()
}

fn recognise(port: u16, body: &str) -> Option<String> {
    if port == METRICS {
        MODES.contains(&body).then(|| format!("kube-proxy in mode {body}"))
    } else {
        let health = HEALTH_KEYS.iter().all(|key| body.contains(key));
        health.then(|| "the health server of a Service proxy".to_owned())
    }
}

/// The whole answer, head and body.
fn get(at: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // In one piece: who has read enough of it to answer may close before the rest is written.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{io::BufRead, net::TcpListener, thread};

    use super::*;

    #[test]
    fn sockets_that_listen_on_the_two_ports_are_found_in_the_kernels_tables() {
        #[track_caller]
        fn check(table: &str, expected: &[&str]) {
            let found: Vec<_> = listening(table).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        }
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";
        let row = |local: &str, state: &str| {
            let remote = "0".repeat(local.find(':').unwrap());
            format!("{head}   0: {local} {remote}:0000 {state} 00000000:00000000 00:00000000\n")
        };
        check(&row("0100007F:2809", "0A"), &["127.0.0.1:10249"]);
        check(&row("00000000:2810", "0A"), &["0.0.0.0:10256"]);
        check(&row("00000000000000000000000001000000:2809", "0A"), &["[::1]:10249"]);
        check(&row("00000000000000000000000000000000:2810", "0A"), &["[::]:10256"]);
        check(&row("0100007F:2809", "01"), &[]);
        check(&row("0100007F:2811", "0A"), &[]);
        check("", &[]);
    }

    #[test]
    fn a_proxy_is_known_by_its_words() {
        #[track_caller]
        fn check(port: u16, body: &str, expected: bool) {
            assert_eq!(recognise(port, body).is_some(), expected, "{body}");
        }
        check(METRICS, "iptables", true);
        check(METRICS, "nftables", true);
        check(METRICS, "sluice", false);
        check(METRICS, "404 page not found", false);
        check(HEALTHZ, r#"{"lastUpdated": "2026-01-01", "currentTime": "2026-01-01"}"#, true);
        check(HEALTHZ, "ok", false);
    }

    #[test]
    fn an_answer_is_read_to_its_end_and_silence_is_none() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = server.local_addr().unwrap();
        let serving = thread::spawn(move || {
            let (stream, _) = server.accept().unwrap();
            let mut request = std::io::BufReader::new(&stream).lines();
            let first = request.next().unwrap().unwrap();
            // What is left unread when a connection is closed resets it.
            let rest = request.map_while(|line| line.ok().filter(|line| !line.is_empty()));
            assert_eq!(rest.count(), 2);
            (&stream).write_all(b"HTTP/1.0 200 OK\r\n\r\nnftables\n").unwrap();
            first
        });
        assert!(get(at, "/proxyMode").unwrap().ends_with("\r\n\r\nnftables\n"));
        assert_eq!(serving.join().unwrap(), "GET /proxyMode HTTP/1.0");
        assert!(get(at, "/proxyMode").is_err(), "nobody listens any more");
    }
}
