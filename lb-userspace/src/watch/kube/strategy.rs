//! How initial lists are asked for: as a stream where the server has that, in pages where not.
//! Pure.
//!
//! A stream is better for both sides: the server sends from its cache, object by object, and we
//! never hold a page. A server that does not have it either refuses (400 or 422), or is so old that
//! it takes no notice of the wish and never says that the list is complete. What a server was
//! found not to have stays with us until the agent ends: pages do no harm where a stream would
//! have worked.

use super::failure::{Class, Failure};

/// How lists are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Mode {
    /// `sendInitialEvents`.
    #[default]
    Stream,
    /// `limit` and `continue`.
    Pages,
}

/// Streams that ended without being complete before pages are tried: once is an accident.
const UNFINISHED: u32 = 2;

/// Remembers what the server was found to have.
#[derive(Debug, Default)]
pub(super) struct Strategy {
    mode: Mode,
    unfinished: u32,
}

impl Strategy {
    /// How to ask for the next list.
    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// Takes note of a list that failed; says whether to ask at once, in another way.
    pub(super) fn list_failed(&mut self, failure: &Failure) -> bool {
        if self.mode == Mode::Pages {
            return false;
        }
        let gives_up = match failure {
            Failure::Silent { operation: STREAM, .. } => true,
            Failure::Unfinished => {
                self.unfinished += 1;
                self.unfinished >= UNFINISHED
            }
            other => other.class() == Class::Rejected,
        };
        if gives_up {
            self.mode = Mode::Pages;
        }
        gives_up
    }

    /// Takes note of a list that is complete.
    pub(super) fn list_complete(&mut self) {
        self.unfinished = 0;
    }
}

/// Name of the operation that reads a stream's initial events: silence there, and only there, says
/// that the server knows no such thing.
pub(super) const STREAM: &str = "read the initial list";

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stream => "streamed",
            Self::Pages => "in pages",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(status: u16) -> Failure {
        let (message, retry_after) = (String::new(), None);
        Failure::Refused { operation: "list", status, message, retry_after }
    }

    fn silent(operation: &'static str) -> Failure {
        Failure::Silent { operation, waited: Duration::ZERO }
    }

    #[track_caller]
    fn check(failures: &[Failure], expected: Mode) {
        let mut strategy = Strategy::default();
        let turned = failures.iter().filter(|failure| strategy.list_failed(failure)).count();
        assert_eq!(strategy.mode(), expected, "{failures:?}");
        assert_eq!(turned == 1, expected == Mode::Pages, "asked at once {turned} times");
    }

    #[test]
    fn a_server_that_refuses_or_ignores_streams_is_asked_for_pages() {
        check(&[refused(422)], Mode::Pages);
        check(&[refused(400)], Mode::Pages);
        check(&[silent(STREAM)], Mode::Pages);
        check(&[Failure::Unfinished, Failure::Unfinished], Mode::Pages);
        check(&[refused(422), refused(500), silent(STREAM)], Mode::Pages);
    }

    #[test]
    fn other_trouble_is_no_reason_for_pages() {
        check(&[], Mode::Stream);
        check(&[refused(500), refused(429), refused(403), refused(410)], Mode::Stream);
        check(&[silent("connect")], Mode::Stream);
        check(&[Failure::Unfinished], Mode::Stream);
    }

    #[test]
    fn a_complete_stream_forgives_one_that_was_not() {
        let mut strategy = Strategy::default();
        strategy.list_failed(&Failure::Unfinished);
        strategy.list_complete();
        strategy.list_failed(&Failure::Unfinished);
        assert_eq!(strategy.mode(), Mode::Stream);
    }
}
