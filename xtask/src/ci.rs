//! `cargo xtask ci`: everything that must hold before a change is taken, cheapest first.

use crate::{command, kernel_object, lint, render, test, tidy};
use anyhow::{Context as _, Result};
use std::{env, process::Command};

/// A name for people, and what is done.
type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 6] = [
    ("tidy", tidy::run),
    ("lint", lint::run),
    ("rendered manifests", render::check),
    ("kept kernel object", kernel_object::check_kept),
    ("test", test::run_all),
    ("demo", demo),
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

/// The tour with the settings a newcomer meets.
fn demo() -> Result<()> {
    command::run(Command::new(env::current_exe()?).arg("demo"))
}
