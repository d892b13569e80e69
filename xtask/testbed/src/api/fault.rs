//! What the server is told to do wrong: before it answers requests, and to streams that are open.

use std::time::Duration;

use super::request::{Request, Verb};

/// A fault, in place of an answer or before it.
#[derive(Clone, PartialEq, Debug)]
pub enum Fault {
    /// This status, with a `Status` object as body.
    Status(u16),
    /// 429, with this many seconds in `Retry-After`.
    TooManyRequests(u32),
    /// The answer ends in the middle: the body is cut off and the connection closed.
    Truncated,
    /// No answer, for as long as the client cares to wait.
    Stalled,
    /// The right answer, so much later.
    Late(Duration),
    /// The answer is HTML, as of a proxy in between.
    Page,
}

/// Which requests meet a fault, and how often.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    pub(super) fault: Fault,
    pub(super) verb: Option<Verb>,
    pub(super) resource: Option<String>,
    pub(super) next_pages: bool,
    pub(super) left: u32,
}

impl Rule {
    /// Every request, until the rules are cleared.
    pub fn new(fault: Fault) -> Self {
        Self { fault, verb: None, resource: None, next_pages: false, left: u32::MAX }
    }

    /// Only those of this verb.
    pub fn verb(self, verb: Verb) -> Self {
        Self { verb: Some(verb), ..self }
    }

    /// Only those for this resource.
    pub fn resource(self, resource: &str) -> Self {
        Self { resource: Some(resource.to_owned()), ..self }
    }

    /// Only those for a page after the first.
    pub fn next_pages(self) -> Self {
        Self { next_pages: true, ..self }
    }

    /// Only the next so many.
    pub fn times(self, left: u32) -> Self {
        Self { left, ..self }
    }

    pub(super) fn meets(&self, request: &Request) -> bool {
        self.left > 0
            && self.verb.is_none_or(|verb| verb == request.verb)
            && self.resource.as_ref().is_none_or(|resource| *resource == request.resource)
            && (!self.next_pages || request.query.contains_key("continue"))
    }
}

/// What is done to streams that are open.
#[derive(Clone, PartialEq, Debug)]
pub enum Interrupt {
    /// An ERROR event with code 410, then the end.
    Gone,
    /// An ERROR event with code 500, then the end.
    Error,
    /// The end, as when the server's own time limit is up.
    End,
    /// The connection is closed.
    Reset,
    /// Half an event, then the connection is closed.
    CutInLine,
    /// Nothing more, ever, with the connection open.
    Silence,
    /// This line, whatever it is.
    Line(String),
    /// A bookmark.
    Bookmark,
}

/// What the server makes of `sendInitialEvents`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StreamingLists {
    /// As servers do that have it.
    #[default]
    Served,
    /// 422, as servers do that know it and have it off.
    Refused,
    /// Nothing, as servers do that never heard of it: the stream begins at the version asked for,
    /// and no bookmark tells of an end of initial events.
    Ignored,
}
