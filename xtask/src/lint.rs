//! `cargo xtask lint`: formatting, and clippy for what runs here and for what the kernel runs.

use crate::{
    build_ebpf, command, setup,
    test::{API_SERVER_TESTS, PRIVILEGED_TESTS, SCTP_TESTS},
};
use anyhow::Result;

/// The verb.
pub fn run() -> Result<()> {
    command::run(command::cargo().args(["fmt", "--all", "--", "--check"]))?;

    host(&["--lib", "--bins"], &[])?;
    // A test fails by panicking, and so do the functions that only tests call.
    let panics = ["-A", "clippy::unwrap_used", "-A", "clippy::expect_used"];
    host(&["--all-targets"], &panics)?;

    match setup::find() {
        Ok(toolchain) if toolchain.sysroot().join("bin/cargo-clippy").is_file() => {
            let mut kernel = build_ebpf::cargo(&toolchain, "clippy", "log")?;
            command::run(kernel.args(["--", "-D", "warnings"]))
        }
        Ok(_) => {
            println!("kernel programs: not linted, the nightly toolchain has no clippy");
            Ok(())
        }
        Err(missing) => {
            println!("kernel programs: not linted ({missing:#})");
            Ok(())
        }
    }
}

/// Clippy on some targets of everything that runs here.
fn host(targets: &[&str], lints: &[&str]) -> Result<()> {
    let mut clippy = command::cargo();
    clippy.args(["clippy", "--locked", "--workspace"]).args(targets);
    for features in [PRIVILEGED_TESTS, API_SERVER_TESTS, SCTP_TESTS] {
        clippy.args(["--features", features]);
    }
    command::run(clippy.args(["--", "-D", "warnings"]).args(lints))
}
