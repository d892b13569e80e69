//! Pages of docs/ that are made from the code, or that speak of it by name: they stay true.
//! `BLESS=1 cargo test -p lb-userspace --test pages` writes the former anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod configuration;

use std::{fs, path::PathBuf};

/// The top of the checkout.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Insists that a page is as it would be made now.
#[track_caller]
fn made(page: &str, text: &str) {
    let path = root().join("docs").join(page);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "docs/{page} is out of date: BLESS=1 writes it anew");
}
