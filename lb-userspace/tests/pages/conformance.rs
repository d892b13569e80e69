//! docs/conformance.md: every row says how it stands, and names tests that exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::root;

/// How a row may stand.
const STANDS: [&str; 3] = ["as kube-proxy", "otherwise", "not yet"];
/// Where tests are, and what of a file's path their names leave out.
const FOLDERS: [(&str, &str); 5] = [
    ("lb-userspace/src", ""),
    ("lb-userspace/tests", ""),
    ("lb-ebpf/src", "lb-ebpf/"),
    ("lb-ebpf/tests", "lb-ebpf/"),
    ("lb-common/src", "lb-common/"),
];

/// Names of tests by the place they are in.
#[derive(Default)]
struct Tests(BTreeMap<String, BTreeSet<String>>);

impl Tests {
    fn read() -> Self {
        let mut tests = Self::default();
        for (folder, prefix) in FOLDERS {
            tests.walk(&root().join(folder), prefix);
        }
        tests
    }

    fn walk(&mut self, folder: &Path, place: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap();
            if path.is_dir() {
                self.walk(&path, &format!("{place}{stem}/"));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let own = match stem {
                    "mod" | "main" | "lib" | "tests" => place.trim_end_matches('/').to_owned(),
                    stem => format!("{place}{stem}"),
                };
                self.0.entry(own).or_default().extend(names(&fs::read_to_string(path).unwrap()));
            }
        }
    }

    /// Whether there is a test of this name, written `place::name`.
    fn has(&self, test: &str) -> bool {
        let found = test.split_once("::");
        found.is_some_and(|(place, name)| self.0.get(place).is_some_and(|all| all.contains(name)))
    }
}

/// Names of the functions that are tests.
fn names(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(rest) = line.trim_start_matches("async ").strip_prefix("fn ")
            && std::mem::take(&mut marked)
        {
            found.extend(rest.split_once('(').map(|(name, _)| name.to_owned()));
        }
    }
    found
}

/// What is wrong with a page's tables of topic, standing, words and tests.
fn faults(page: &str, tests: &Tests) -> Vec<String> {
    let mut faults = Vec::new();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    for row in rows {
        let cells: Vec<_> = row[1..].trim_end_matches('|').split('|').map(str::trim).collect();
        let [topic, stands, words, named] = cells[..] else {
            faults.push(format!("not four cells: {row}"));
            continue;
        };
        if stands == "stands" {
            continue;
        }
        if !STANDS.contains(&stands) {
            faults.push(format!("{topic}: `{stands}` is none of {STANDS:?}"));
        }
        if stands != "as kube-proxy" && words.is_empty() {
            faults.push(format!("{topic}: why is it {stands}?"));
        }
        let named: Vec<_> = named.split('`').skip(1).step_by(2).collect();
        if stands != "not yet" && named.is_empty() {
            faults.push(format!("{topic}: no test shows it"));
        }
        let missing = named.iter().filter(|test| !tests.has(test));
        faults.extend(missing.map(|test| format!("{topic}: there is no test {test}")));
    }
    faults
}

#[test]
fn every_row_says_how_it_stands_and_names_tests_that_exist() {
    let page = fs::read_to_string(root().join("docs/conformance.md")).unwrap();
    assert!(page.lines().filter(|line| line.starts_with("| ")).count() > 100, "the page is whole");
    assert_eq!(faults(&page, &Tests::read()), [""; 0]);
}

#[test]
fn a_row_that_is_wrong_is_found() {
    let mut tests = Tests::default();
    tests.0.entry("a/b".into()).or_default().extend(names("#[test]\nfn one() {}\nfn two() {}\n"));
    let check = |row: &str, expected: usize| {
        assert_eq!(faults(row, &tests).len(), expected, "{row}");
    };
    check("| topic | as kube-proxy |  | `a/b::one` |", 0);
    check("| topic | as kube-proxy |  |  |", 1);
    check("| topic | as kube-proxy |  | `a/b::two` |", 1);
    check("| topic | as kube-proxy |  | `b::one` |", 1);
    check("| topic | otherwise |  | `a/b::one` |", 1);
    check("| topic | not yet | because |  |", 0);
    check("| topic | perhaps | because | `a/b::one` |", 1);
    check("| topic | not yet | because |", 1);
    check("| topic | not yet | | |", 1);
}
