//! As much of HTTP/1.1 as the servers and clients here need: requests without a body, responses
//! with a length.

/// The head of a message ends with this.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A request that has arrived in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// How many bytes it takes up.
    pub(super) length: usize,
    /// The client wants to send another on this connection.
    pub(super) keep_alive: bool,
    /// How long the text that it asks for is to be, at least: `GET /1000`.
    pub(super) wanted: usize,
}

/// The first request in what has been received, if it is complete.
pub(super) fn request(received: &[u8]) -> Option<Request> {
    let length = head_length(received)?;
    let head = String::from_utf8_lossy(&received[..length]).to_ascii_lowercase();
    let asked = head.lines().find_map(|line| line.strip_prefix("connection:")).map(str::trim);
    let modern = head.lines().next().is_some_and(|line| line.ends_with("http/1.1"));
    let path = head.split_whitespace().nth(1).and_then(|path| path.strip_prefix('/'));
    Some(Request {
        length,
        keep_alive: if modern { asked != Some("close") } else { false },
        wanted: path.and_then(|path| path.parse().ok()).unwrap_or(0),
    })
}

/// A response with one line of text, filled up to what is wanted.
pub(super) fn response(line: &str, keep_alive: bool, wanted: usize) -> String {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let padding = " ".repeat(wanted.saturating_sub(line.len() + 1));
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: {connection}\r\n\r\n{line}{padding}\n",
        line.len() + padding.len() + 1
    )
}

/// A client's request.
pub(super) fn get(host: &str, keep_alive: bool, wanted: usize) -> String {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    format!("GET /{wanted} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n\r\n")
}

/// The text of a response, if it has arrived in full.
pub(super) fn body(received: &[u8]) -> Option<&str> {
    let start = head_length(received)?;
    let head = std::str::from_utf8(&received[..start]).ok()?;
    let length: usize = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })?;
    std::str::from_utf8(received.get(start..start + length)?).ok()
}

fn head_length(received: &[u8]) -> Option<usize> {
    let at = received.windows(END_OF_HEAD.len()).position(|bytes| bytes == END_OF_HEAD)?;
    Some(at + END_OF_HEAD.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_when_its_head_is_complete() {
        for (received, expected) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", Some((27, true, 0))),
            ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", Some((37, false, 0))),
            ("GET /9 HTTP/1.1\r\nCONNECTION: Close\r\n\r\nGET", Some((38, false, 9))),
            ("GET / HTTP/1.0\r\n\r\n", Some((18, false, 0))),
            ("GET / HTTP/1.1\r\nHost: x\r\n", None),
            ("", None),
        ] {
            let request = request(received.as_bytes()).map(|r| (r.length, r.keep_alive, r.wanted));
            assert_eq!(request, expected, "{received:?}");
        }
    }

    #[test]
    fn a_body_is_read_when_all_of_it_is_there() {
        let long = response("pod=a", true, 9);
        assert_eq!(body(long.as_bytes()), Some("pod=a   \n"));
        let whole = response("pod=a", true, 0);
        assert_eq!(body(whole.as_bytes()), Some("pod=a\n"));
        assert_eq!(body(&whole.as_bytes()[..whole.len() - 1]), None);
        assert_eq!(body(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }
}
