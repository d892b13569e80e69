//! What a server answers: one line that is as good to read as to parse.

use std::{fmt, net::SocketAddr, str::FromStr};

/// Who answered, whom it saw, and where it was called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Seen {
    /// The server's name.
    pub pod: String,
    /// The client as the server saw it.
    pub peer: SocketAddr,
    /// The server's own end.
    pub local: SocketAddr,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod={} peer={} local={}", self.pod, self.peer, self.local)
    }
}

/// The line is not a server's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotSeen;

impl FromStr for Seen {
    type Err = NotSeen;

    fn from_str(line: &str) -> Result<Self, NotSeen> {
        let mut words = line.split_whitespace();
        let mut word = |name: &str| {
            let value = words.next()?.strip_prefix(name)?;
            value.strip_prefix('=').filter(|value| !value.is_empty())
        };
        let mut read = || {
            Some(Self {
                pod: word("pod")?.to_owned(),
                peer: word("peer")?.parse().ok()?,
                local: word("local")?.parse().ok()?,
            })
        };
        read().ok_or(NotSeen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_as_it_was_written() {
        for line in [
            "pod=web-1 peer=203.0.113.10:4711 local=10.244.1.2:8080",
            "pod=web-1 peer=[2001:db8:113::10]:4711 local=[fd00:244:1::2]:8080",
        ] {
            let seen: Seen = line.parse().expect(line);
            assert_eq!(seen.to_string(), line);
        }
    }

    #[test]
    fn padding_is_passed_over_and_anything_else_refused() {
        let padded = format!("pod=a peer=1.2.3.4:5 local=1.2.3.4:6{}", " ".repeat(99));
        assert!(padded.parse::<Seen>().is_ok());
        for line in [
            "",
            "pod=a",
            "pod= peer=1.2.3.4:5 local=1.2.3.4:6",
            "pod=a peer=1.2.3.4 local=1.2.3.4:6",
            "who=a peer=1.2.3.4:5 local=1.2.3.4:6",
        ] {
            assert_eq!(line.parse::<Seen>(), Err(NotSeen), "{line:?}");
        }
    }
}
