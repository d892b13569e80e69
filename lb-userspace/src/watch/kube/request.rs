//! Lists and watches of one kind as HTTP requests, with a deadline on every wait.
//!
//! A connection can die without a word in three ways, and each has its remedy. The network in
//! between fails: TCP keepalives find out within half a minute (see [`client`](super::client)). The
//! server's process hangs while its kernel answers keepalives, or a proxy in between does: no
//! answer within [`ANSWER`], and no line of a watch, not even a bookmark, within [`SILENCE`]. The
//! server forgets the watch: it was asked to end it itself after some minutes.

use std::{ops::Range, time::Duration};

use http_body_util::BodyExt as _;
use kube::{
    Client,
    api::{ListParams, WatchParams},
    client::Body,
    core::{Request, Status},
};
use tokio::time::timeout;

use super::{failure::Failure, object::Kind, strategy::STREAM};

/// How long the server may take to begin an answer, and between two parts of a page.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a watch may say nothing. Servers send a bookmark every minute, unless nothing at all
/// has happened to the kind since they started; then asking anew costs a request every so often.
const SILENCE: Duration = Duration::from_secs(90);
/// The same within an initial list, which a server sends without pausing.
const SILENCE_IN_LIST: Duration = Duration::from_secs(10);
/// Objects a page.
const PAGE: u32 = 500;
/// Characters of an error message that are worth showing.
const MESSAGE: usize = 300;

/// Objects of other proxies, and of none.
const LABELS: &str = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";

/// Asks for one kind of objects.
pub(super) struct Requests {
    client: Client,
    path: Request,
    labels: Option<String>,
    fields: Option<String>,
}

impl Requests {
    /// `node`: the name of the only Node that is of interest.
    pub(super) fn new(client: Client, kind: Kind, node: &str) -> Self {
        let (labels, fields) = match kind {
            Kind::Services | Kind::Slices => (Some(LABELS.to_owned()), None),
            Kind::Node => (None, Some(format!("metadata.name={node}"))),
        };
        Self { client, path: Request::new(kind.path()), labels, fields }
    }

    /// A page of a list: the first, or the one that a token stands for.
    pub(super) async fn page(&self, token: Option<String>) -> Result<Vec<u8>, Failure> {
        const OPERATION: &str = "list";
        let parameters = ListParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            limit: Some(PAGE),
            continue_token: token,
            ..ListParams::default()
        };
        let request = self.path.list(&parameters).map_err(kube::Error::BuildRequest);
        let mut body = self.answer(OPERATION, request).await?;
        let mut page = Vec::new();
        while let Some(part) = next_part(&mut body, OPERATION, ANSWER).await? {
            page.extend_from_slice(&part);
        }
        Ok(page)
    }

    /// A watch from a version on.
    pub(super) async fn watch(&self, version: &str, agreed: Duration) -> Result<Lines, Failure> {
        self.lines("watch", version, false, agreed).await
    }

    /// A watch that begins with everything there is. No version is named, so it is never older
    /// than what was seen before.
    pub(super) async fn stream(&self, agreed: Duration) -> Result<Lines, Failure> {
        self.lines("watch from the initial list on", "", true, agreed).await
    }

    async fn lines(
        &self,
        operation: &'static str,
        version: &str,
        send_initial_events: bool,
        agreed: Duration,
    ) -> Result<Lines, Failure> {
        let parameters = WatchParams {
            label_selector: self.labels.clone(),
            field_selector: self.fields.clone(),
            timeout: Some(agreed.as_secs() as u32),
            bookmarks: true,
            send_initial_events,
        };
        let request = self.path.watch(&parameters, version).map_err(kube::Error::BuildRequest);
        let body = self.answer(operation, request).await?;
        Ok(Lines { body, text: Vec::new(), line: 0, searched: 0 })
    }

    /// The body of an answer that is none of an error.
    async fn answer<B: Into<Body>>(
        &self,
        operation: &'static str,
        request: Result<http::Request<B>, kube::Error>,
    ) -> Result<Body, Failure> {
        let unreachable = |source| Failure::Unreachable { operation, source };
        let request = request.map_err(unreachable)?.map(Into::into);
        let answer = timeout(ANSWER, self.client.send(request))
            .await
            .map_err(|_| Failure::Silent { operation, waited: ANSWER })?
            .map_err(unreachable)?;
        let status = answer.status().as_u16();
        if status == 200 {
            return Ok(answer.into_body());
        }
        let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let body = timeout(ANSWER, answer.into_body().collect_bytes()).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        Err(refusal(operation, status, &body, retry_after))
    }
}

/// What an answer with an error says. A Status if it comes from the API, any text if it comes from
/// what stands before it.
pub(super) fn refusal(
    operation: &'static str,
    status: u16,
    body: &[u8],
    retry_after: Option<Duration>,
) -> Failure {
    let said = serde_json::from_slice::<Status>(body).ok();
    let in_body = said.as_ref().and_then(|said| said.details.as_ref());
    let seconds = in_body.map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
    let retry_after = retry_after.or(seconds.map(|seconds| Duration::from_secs(seconds.into())));
    let status = if status == 200 { said.as_ref().map_or(0, |said| said.code) } else { status };
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), |said| said.message);
    let message = text.trim().chars().take(MESSAGE).collect();
    Failure::Refused { operation, status, message, retry_after }
}

/// The lines of a watch, as they come.
pub(super) struct Lines {
    body: Body,
    text: Vec<u8>,
    /// Where the next line begins.
    line: usize,
    /// Up to where no end of it was found.
    searched: usize,
}

impl Lines {
    /// The next line; `None` at the end, where a line that is not complete counts for nothing.
    pub(super) async fn next(&mut self, in_list: bool) -> Result<Option<&[u8]>, Failure> {
        let (operation, silence) =
            if in_list { (STREAM, SILENCE_IN_LIST) } else { ("watch", SILENCE) };
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(&self.text[line]));
            }
            match next_part(&mut self.body, operation, silence).await? {
                Some(part) => self.add(&part),
                None => return Ok(None),
            }
        }
    }

    fn add(&mut self, part: &[u8]) {
        self.text.drain(..self.line);
        self.searched -= self.line;
        self.line = 0;
        self.text.extend_from_slice(part);
    }

    fn take(&mut self) -> Option<Range<usize>> {
        let found = self.text[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(length) = found else {
            self.searched = self.text.len();
            return None;
        };
        let line = self.line..self.searched + length;
        self.line = line.end + 1;
        self.searched = self.line;
        Some(line)
    }
}

/// The next part of a body; `None` at its end.
async fn next_part(
    body: &mut Body,
    operation: &'static str,
    silence: Duration,
) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]> + use<>>, Failure> {
    loop {
        let frame = timeout(silence, body.frame())
            .await
            .map_err(|_| Failure::Silent { operation, waited: silence })?;
        match frame {
            None => return Ok(None),
            Some(Err(source)) => return Err(Failure::Unreachable { operation, source }),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_parts_of_any_size() {
        let text = b"one\n\nthree\nfour";
        for size in 1..=text.len() {
            let mut lines = Lines { body: Body::empty(), text: Vec::new(), line: 0, searched: 0 };
            let mut found = Vec::new();
            for part in text.chunks(size) {
                lines.add(part);
                while let Some(line) = lines.take() {
                    found.push(String::from_utf8(lines.text[line].to_vec()).unwrap());
                }
            }
            assert_eq!(found, ["one", "", "three"], "parts of {size}");
        }
    }

    #[test]
    fn a_refusal_says_what_and_for_how_long() {
        #[track_caller]
        fn check(body: &str, header_s: Option<u64>, said: &str, wait_s: Option<u64>) {
            let header = header_s.map(Duration::from_secs);
            let failure = refusal("list", 429, body.as_bytes(), header);
            let Failure::Refused { status, message, retry_after, .. } = failure else {
                panic!("{failure}")
            };
            assert_eq!((status, &*message), (429, said));
            assert_eq!(retry_after, wait_s.map(Duration::from_secs));
        }
        let status = r#"{"kind":"Status","code":429,"message":"later","reason":"TooManyRequests",
            "details":{"retryAfterSeconds":3}}"#;
        check(status, None, "later", Some(3));
        check(status, Some(5), "later", Some(5));
        check("Too many requests\n", Some(1), "Too many requests", Some(1));
        check("<html>", None, "<html>", None);
    }
}
