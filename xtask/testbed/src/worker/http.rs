//! As much of HTTP/1.1 as the servers and clients here need: messages with a length, and content by
//! which one sees that nothing of it is missing, twice there or in another place.

/// The head of a message ends with this.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A request that has arrived in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Request {
    /// How many bytes it takes up.
    pub(super) length: usize,
    /// The client wants to send another on this connection.
    pub(super) keep_alive: bool,
    /// How long the text that it asks for is to be, at least: `POST /1000`.
    pub(super) wanted: usize,
    /// Its body is what [`content`] makes.
    pub(super) intact: bool,
}

/// So many bytes of text. It repeats itself only every few thousand, by no multiple of a segment.
pub(super) fn content(length: usize) -> String {
    let letter = |at: usize| char::from(b'a' + ((at * 7 + at / 251 + at / 65_521) % 26) as u8);
    (0..length).map(letter).collect()
}

/// The first request in what has been received, if it is complete.
pub(super) fn request(received: &[u8]) -> Option<Request> {
    let start = head_length(received)?;
    let head = String::from_utf8_lossy(&received[..start]).to_ascii_lowercase();
    let body =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let length = start + body.unwrap_or(0);
    let body = received.get(start..length)?;
    let asked = head.lines().find_map(|line| line.strip_prefix("connection:")).map(str::trim);
    let modern = head.lines().next().is_some_and(|line| line.ends_with("http/1.1"));
    let path = head.split_whitespace().nth(1).and_then(|path| path.strip_prefix('/'));
    Some(Request {
        length,
        keep_alive: if modern { asked != Some("close") } else { false },
        wanted: path.and_then(|path| path.parse().ok()).unwrap_or(0),
        intact: body == content(body.len()).as_bytes(),
    })
}

/// A response with one line of text, filled up to what is wanted.
pub(super) fn response(line: &str, keep_alive: bool, wanted: usize) -> String {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let padding = match wanted.saturating_sub(line.len() + 1) {
        0 => String::new(),
        length => format!(" {}", content(length - 1)),
    };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: {connection}\r\n\r\n{line}{padding}\n",
        line.len() + padding.len() + 1
    )
}

/// A client's request, with so many bytes of [`content`].
pub(super) fn post(host: &str, keep_alive: bool, wanted: usize, bytes: usize) -> String {
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let content = content(bytes);
    format!(
        "POST /{wanted} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {bytes}\r\n\
         Connection: {connection}\r\n\r\n{content}"
    )
}

/// Whether the text of a response is that of one to a request that wanted so much.
pub(super) fn is_intact(body: &str, wanted: usize) -> bool {
    let Some(line) = body.strip_suffix('\n') else { return false };
    let filled = line.match_indices(' ').nth(2).map_or("", |(at, _)| &line[at + 1..]);
    body.len() >= wanted && filled == content(filled.len())
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
    fn a_request_counts_when_all_of_it_is_there() {
        for (received, expected) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", Some((27, true, 0, true))),
            ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", Some((37, false, 0, true))),
            ("GET /9 HTTP/1.1\r\nCONNECTION: Close\r\n\r\nGET", Some((38, false, 9, true))),
            ("GET / HTTP/1.0\r\n\r\n", Some((18, false, 0, true))),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nahoGET", Some((41, true, 0, true))),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nhaoGET", Some((41, true, 0, false))),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nah", None),
            ("GET / HTTP/1.1\r\nHost: x\r\n", None),
            ("", None),
        ] {
            let request = request(received.as_bytes());
            let request = request.map(|r| (r.length, r.keep_alive, r.wanted, r.intact));
            assert_eq!(request, expected, "{received:?}");
        }
        let whole = post("x", true, 9, 1_000);
        let request = request(whole.as_bytes()).map(|r| (r.length, r.wanted, r.intact));
        assert_eq!(request, Some((whole.len(), 9, true)));
    }

    #[test]
    fn a_body_is_read_when_all_of_it_is_there() {
        let long = response("pod=a", true, 9);
        assert_eq!(body(long.as_bytes()), Some("pod=a ah\n"));
        let whole = response("pod=a", true, 0);
        assert_eq!(body(whole.as_bytes()), Some("pod=a\n"));
        assert_eq!(body(&whole.as_bytes()[..whole.len() - 1]), None);
        assert_eq!(body(b"HTTP/1.1 200 OK\r\n\r\n"), None);
    }

    #[test]
    fn what_is_missing_or_out_of_place_is_seen() {
        let response = response("pod=a peer=b local=c", true, 100_000);
        let whole = body(response.as_bytes()).unwrap();
        let swapped =
            [&whole[..5_000], &whole[6_000..7_000], &whole[5_000..6_000], &whole[7_000..]];
        for (text, expected) in [
            (whole.to_owned(), true),
            (whole[..whole.len() - 2].to_owned() + "\n", false),
            (whole[..40_000].to_owned() + &whole[41_000..] + &whole[..1_000], false),
            (swapped.concat(), false),
        ] {
            assert_eq!(is_intact(&text, 100_000), expected);
        }
    }
}
