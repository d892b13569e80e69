//! `cargo xtask ci`: everything that must hold before a change is taken, cheapest first.

use crate::{kernel_object, lint, test, tidy};
use anyhow::{Context as _, Result};

/// A name for people, and what is done.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 4] = [
    ("tidy", tidy::run),
    ("lint", lint::run),
    ("kept kernel object", kernel_object::check_kept),
    ("test", test::run_all),
];

/// The verb.
pub fn run() -> Result<()> {
    for (name, step) in STEPS {
        println!("\n== {name}");
        step().with_context(|| name.to_owned())?;
    }
    println!("\nall {} steps hold", STEPS.len());
    Ok(())
}
