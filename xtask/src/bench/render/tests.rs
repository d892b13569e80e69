use super::{docs, drawings, pages, read, svg_name};
use std::{collections::BTreeSet, fs};

#[test]
fn the_pages_of_docs_are_what_the_figures_give() {
    let report = read(&docs().join(super::JSON)).unwrap();
    let pages = pages(&docs(), &report).unwrap();
    for (path, text) in &pages {
        let kept = fs::read_to_string(path).unwrap_or_default();
        let how = "`cargo xtask bench --render docs/bench.json` makes it anew";
        assert!(kept == *text, "{} is out of date: {how}", path.display());
    }
    let drawn = pages.keys().filter(|path| path.extension().is_some_and(|ending| ending == "svg"));
    let drawn: BTreeSet<_> = drawn.cloned().collect();
    assert_eq!(BTreeSet::from_iter(drawings(&docs()).unwrap()), drawn);
}

#[test]
fn a_plot_is_filed_under_the_words_of_its_title() {
    for (title, expected) in [
        ("NodePort, backend there (IPv4)", "bench/nodeport-backend-there-ipv4.svg"),
        ("A node of 5,000: memory", "bench/a-node-of-5000-memory.svg"),
    ] {
        assert_eq!(svg_name(title), expected);
    }
}
