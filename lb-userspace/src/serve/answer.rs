//! Answers as all servers here give them.

use axum::{
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// A JSON document.
pub(super) fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_string(document) {
        Ok(text) => typed(status, "application/json", text),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Plain text.
pub(super) fn text(text: &'static str) -> Response {
    typed(StatusCode::OK, "text/plain; charset=utf-8", text.to_owned())
}

/// Text of a type, which nobody is to guess at.
pub(super) fn typed(status: StatusCode, content_type: &'static str, text: String) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, text).into_response()
}

/// One request a connection: a port that closes, or is another Service's, leaves nobody talking to
/// what was there before.
pub(super) async fn last(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
