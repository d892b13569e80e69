//! `cargo xtask lint`: formatting, and clippy for what runs here and for what the kernel runs.

use crate::{build_ebpf, command, setup, workspace};
use anyhow::Result;
use std::fs;

/// The verb.
pub fn run() -> Result<()> {
    command::run(command::cargo().args(["fmt", "--all", "--", "--check"]))?;

    let mut host = command::cargo();
    host.args(["clippy", "--locked", "--workspace", "--all-targets"]);
    host.args(privileged_tests()?).args(["--", "-D", "warnings"]);
    command::run(&mut host)?;

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

/// The features that make cargo look at privileged test targets too.
fn privileged_tests() -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    for (package, folder) in [("lb-userspace", "lb-userspace"), ("lb-testbed", "xtask/testbed")] {
        let manifest = fs::read_to_string(workspace::root().join(folder).join("Cargo.toml"))?;
        if manifest.lines().any(|line| line.starts_with("privileged =")) {
            arguments.push(format!("--features={package}/privileged"));
        }
    }
    Ok(arguments)
}
