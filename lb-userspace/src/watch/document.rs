//! A file's text cut into documents, before anything is parsed.
//!
//! Cutting first is what makes a change cheap: a document whose text is the same as before need not
//! be parsed again. It also gives every document its number and line.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::IgnoredAny;

/// How a file is written, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// `.yaml`, `.yml`.
    Yaml,
    /// `.json`.
    Json,
}

/// A document's text and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Text<'a> {
    /// Counts from 1.
    pub number: usize,
    /// Line of its first character, from 1.
    pub line: usize,
    pub text: &'a str,
}

impl Text<'_> {
    /// Tells documents of one file apart by their text.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        hasher.finish()
    }
}

/// Cuts YAML at its document markers. YAML forbids a line that starts with a marker anywhere
/// inside a document, quoted or not, so looking at line starts is enough.
pub(super) fn split_yaml(text: &str) -> Vec<Text<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    let mut start = (0, 1);
    let mut offset = 0;
    let mut push = |(from, line), to| {
        let text = &text[from..to];
        // What stands before the first marker is a document only if it says something.
        let is_preamble = line == 1 && !text.starts_with("---") && !has_content(text);
        if !is_preamble {
            documents.push(Text { number: documents.len() + 1, line, text });
        }
    };
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if index > 0 && is_marker(line) {
            push(start, offset);
            start = (offset, index + 1);
        }
        offset += line.len();
    }
    push(start, text.len());
    documents
}

/// Cuts JSON values that follow each other.
pub(super) fn split_json(text: &str) -> Result<Vec<Text<'_>>, serde_json::Error> {
    let mut documents = Vec::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut end, mut line) = (0, 1);
    while let Some(value) = values.next() {
        value?;
        let whole = &text[end..values.byte_offset()];
        let text = whole.trim_start();
        let blanks = &whole[..whole.len() - text.len()];
        line += newlines(blanks);
        documents.push(Text { number: documents.len() + 1, line, text });
        line += newlines(text);
        end = values.byte_offset();
    }
    Ok(documents)
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn has_content(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| !line.is_empty() && !line.starts_with(['#', '%']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places<'a>(documents: &[Text<'a>]) -> Vec<(usize, usize, &'a str)> {
        documents.iter().map(|d| (d.number, d.line, d.text)).collect()
    }

    #[test]
    fn yaml_is_cut_at_markers_only() {
        #[track_caller]
        fn check(text: &str, expected: &[(usize, usize, &str)]) {
            assert_eq!(places(&split_yaml(text)), expected, "{text:?}");
        }
        check("a: 1\n", &[(1, 1, "a: 1\n")]);
        check("---\na: 1\n", &[(1, 1, "---\na: 1\n")]);
        check("# note\n\n---\na: 1\n", &[(1, 3, "---\na: 1\n")]);
        check("%YAML 1.2\n---\na: 1", &[(1, 2, "---\na: 1")]);
        check(
            "a: 1\n--- # two\nb: 2\n---",
            &[(1, 1, "a: 1\n"), (2, 2, "--- # two\nb: 2\n"), (3, 4, "---")],
        );
        check("a: 1\r\n---\r\nb: 2\r\n", &[(1, 1, "a: 1\r\n"), (2, 2, "---\r\nb: 2\r\n")]);
        check("a: |\n  ---\n  x\n---x: 1\n", &[(1, 1, "a: |\n  ---\n  x\n---x: 1\n")]);
        check("\u{feff}---\na: 1\n", &[(1, 1, "---\na: 1\n")]);
        check("", &[]);
        check("# nothing\n", &[]);
    }

    #[test]
    fn json_values_may_follow_each_other() {
        let text = "{\"a\":\n1}\n\n{\"b\": 2} [3]\n";
        let expected = [(1, 1, "{\"a\":\n1}"), (2, 4, "{\"b\": 2}"), (3, 4, "[3]")];
        assert_eq!(places(&split_json(text).unwrap()), expected);
        assert_eq!(split_json("{\"a\": 1}\n{\"b\" 2}").unwrap_err().line(), 2);
    }
}
