//! What the API server sends, taken apart no further than needed: lines of a watch and pages of a
//! list, with the objects in them still as text, so that each can fail by itself.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    /// ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.
    #[serde(rename = "type", borrow)]
    pub what: Cow<'a, str>,
    /// An object, or a Status if it is an error.
    #[serde(borrow)]
    pub object: &'a RawValue,
}

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub metadata: PageMetadata,
    /// Null where a server has none.
    #[serde(default, borrow)]
    pub items: Option<Vec<&'a RawValue>>,
}

/// What a page says of itself.
#[derive(Deserialize, Default)]
pub(super) struct PageMetadata {
    #[serde(default, rename = "resourceVersion")]
    resource_version: Option<String>,
    #[serde(default, rename = "continue")]
    continuation: Option<String>,
}

/// What a bookmark says.
#[derive(Deserialize)]
pub(super) struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Deserialize)]
struct BookmarkMetadata {
    #[serde(rename = "resourceVersion")]
    resource_version: String,
    #[serde(default)]
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// The annotation of the bookmark after the last of the initial events.
const END_OF_LIST: &str = "k8s.io/initial-events-end";

impl PageMetadata {
    /// The version to watch from.
    pub(super) fn version(&self) -> Option<&str> {
        self.resource_version.as_deref().filter(|version| !version.is_empty())
    }

    /// The token of the next page.
    pub(super) fn next_page(self) -> Option<String> {
        self.continuation.filter(|token| !token.is_empty())
    }
}

impl Bookmark {
    /// Everything up to this version has been sent.
    pub(super) fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// It ends the initial list.
    pub(super) fn ends_list(&self) -> bool {
        let annotations = self.metadata.annotations.as_ref();
        annotations.is_some_and(|annotations| annotations.contains_key(END_OF_LIST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_a_lines_fields_does_not_matter() {
        for text in [r#"{"type":"ADDED","object":{"a":1}}"#, r#"{"object":{"a":1},"type":"ADDED"}"#]
        {
            let line: Line<'_> = serde_json::from_str(text).unwrap();
            assert_eq!((&*line.what, line.object.get()), ("ADDED", r#"{"a":1}"#));
        }
    }

    #[test]
    fn a_page_may_be_the_last_or_empty() {
        #[track_caller]
        fn check(text: &str, items: usize, version: Option<&str>, next: Option<&str>) {
            let page: Page<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(page.items.unwrap_or_default().len(), items, "{text}");
            assert_eq!(page.metadata.version(), version, "{text}");
            assert_eq!(page.metadata.next_page().as_deref(), next, "{text}");
        }
        check(r#"{"metadata":{"resourceVersion":"7"},"items":[{}, 1]}"#, 2, Some("7"), None);
        check(
            r#"{"metadata":{"resourceVersion":"7","continue":"x"},"items":[]}"#,
            0,
            Some("7"),
            Some("x"),
        );
        check(r#"{"metadata":{"resourceVersion":"","continue":""},"items":null}"#, 0, None, None);
        check("{}", 0, None, None);
    }

    #[test]
    fn one_bookmark_ends_the_list() {
        let with = |annotations: &str| {
            let text = format!(r#"{{"metadata":{{"resourceVersion":"9",{annotations}}}}}"#);
            let bookmark: Bookmark = serde_json::from_str(&text).unwrap();
            (bookmark.version().to_owned(), bookmark.ends_list())
        };
        let ends = r#""annotations":{"k8s.io/initial-events-end":"true"}"#;
        assert_eq!(with(ends), ("9".to_owned(), true));
        assert_eq!(with(r#""annotations":null"#), ("9".to_owned(), false));
        assert_eq!(with(r#""creationTimestamp":null"#), ("9".to_owned(), false));
    }
}
