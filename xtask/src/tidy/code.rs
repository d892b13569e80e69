//! Reading Rust source just far enough: which lines are production code, and what paths it names.

/// The lines that are there when it is no test that is built: without the items below
/// `#[cfg(test)]`, as rustfmt sets them.
pub fn production(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let margin = line.trim_end().strip_suffix("#[cfg(test)]");
        let Some(margin) = margin.filter(|margin| margin.trim().is_empty()) else {
            kept.push_str(line);
            continue;
        };
        let item = lines.find(|line| !line.trim_start().starts_with("#["));
        if item.is_some_and(|item| !item.trim_end().ends_with([';', ',', '}'])) {
            // A block ends with the first brace at its own margin.
            _ = lines.find(|line| line.strip_prefix(margin).is_some_and(|l| l.starts_with('}')));
        }
    }
    kept
}

/// The code of a line: no comment, and nothing of what stands between double quotes.
pub fn code(line: &str) -> String {
    let line = line.replace("\\\"", "").replace("'\"'", "");
    let unquoted: String = line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    unquoted.split("//").next().unwrap_or_default().to_owned()
}

/// Whether `word` stands in `code` as a whole word.
pub fn has_word(code: &str, word: &str) -> bool {
    let part = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(part) && !code[at + word.len()..].starts_with(part))
}

/// All paths that begin with `root::`, without that beginning; `root::{a::b, c}` gives `a::b` and
/// `c`.
pub fn paths(text: &str, root: &str) -> Vec<String> {
    let whole: String = text.lines().map(|line| code(line) + "\n").collect();
    let start = format!("{root}::");
    let mut found = Vec::new();
    for (at, _) in whole.match_indices(&start) {
        if !whole[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
            branches(&whole[at + start.len()..], "", &mut found);
        }
    }
    found
}

/// Reads one branch of a tree of paths and gives what follows it.
fn branches<'a>(text: &'a str, before: &str, found: &mut Vec<String>) -> &'a str {
    let mut text = text.trim_start();
    if let Some(inside) = text.strip_prefix('{') {
        text = inside.trim_start();
        while !text.is_empty() && !text.starts_with('}') {
            text = branches(text, before, found).trim_start();
            text = text.strip_prefix(',').unwrap_or(text).trim_start();
        }
        return text.strip_prefix('}').unwrap_or(text);
    }
    let end =
        text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let path = format!("{before}{}", &text[..end]);
    if let Some(deeper) = text[end..].strip_prefix("::") {
        return branches(deeper, &format!("{path}::"), found);
    }
    found.push(path.trim_end_matches("::").to_owned());
    // Up to the next branch: an alias, a glob, or anything after the path in ordinary code.
    let rest = &text[end..];
    &rest[rest.find([',', '}']).unwrap_or(rest.len())..]
}

#[cfg(test)]
mod tests {
    use super::{code, has_word, paths, production};

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(paths(text, "crate"), expected);
    }

    #[test]
    fn paths_are_read_from_every_form_of_import() {
        check("use crate::model::Service;", &["model::Service"]);
        check(
            "use crate::{\n    model::{Port, node::Node as N},\n    plan::*,\n};",
            &["model::Port", "model::node::Node", "plan"],
        );
        check("let x = crate::plan::op::Op::A(1);", &["plan::op::Op::A"]);
        check("// use crate::maps::X;\nlet s = \"crate::maps\"; mycrate::y;", &[]);
    }

    #[test]
    fn only_code_counts() {
        assert_eq!(code("a(\"b // c\"); // d").trim_end(), "a(\"\");");
        assert!(has_word("unsafe { x }", "unsafe"));
        assert!(!has_word("#![deny(unsafe_code)]", "unsafe"));
    }

    #[test]
    fn tests_are_not_production() {
        assert_eq!(production("a\nb\n#[cfg(test)]\nmod tests {}\n"), "a\nb\n");
        assert_eq!(production("a\nb"), "a\nb");
        let nested = "a\n#[cfg(test)]\n#[path = \"x\"]\nmod tests;\nb {\n    #[cfg(test)]\n    \
                      fn c() {\n        {\n        }\n    }\n    d\n}\n";
        assert_eq!(production(nested), "a\nb {\n    d\n}\n");
    }
}
