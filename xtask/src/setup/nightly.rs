//! The compiler of the kernel object: a nightly whose LLVM is the BPF linker's.

use super::linker;
use crate::{command, progress};
use anyhow::{Context as _, Result, bail};
use std::{path::PathBuf, process::Command, time::Duration};

/// The nightly the kept object is built with, as rustup names it.
const PINNED: &str = "nightly-2026-05-20";
/// A toolchain is a few hundred megabytes.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(15 * 60);

/// A nightly compiler that rustup knows.
pub struct Nightly {
    /// Name as rustup has it.
    pub name: String,
    /// Its folder.
    pub sysroot: PathBuf,
    /// First line of `rustc -V`.
    pub version: String,
    /// The y of version x.y.z.
    pub minor: u32,
}

impl Nightly {
    /// A program of this toolchain, started through rustup.
    pub fn program(&self, name: &str) -> Command {
        let mut command = command::detached("rustup");
        command.args(["run", &self.name, name]).env("LD_LIBRARY_PATH", self.sysroot.join("lib"));
        command
    }
}

/// The pinned nightly, or else any installed one that fits.
pub fn find() -> Result<Nightly> {
    let listed = command::capture(command::detached("rustup").args(["toolchain", "list"]))
        .context(
            "rustup is missing; it brings the nightly compiler that the kernel object needs",
        )?;
    let mut names: Vec<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.retain(|name| name.starts_with("nightly"));
    names.sort_by_key(|name| !name.starts_with(PINNED));
    let mut unfit = Vec::new();
    for name in names {
        match inspect(name) {
            Ok(nightly) => return Ok(nightly),
            Err(error) => unfit.push(format!("{name}: {error}")),
        }
    }
    if unfit.is_empty() {
        bail!("no nightly toolchain is installed");
    }
    bail!("no installed nightly fits ({})", unfit.join("; "));
}

/// Installs the pinned nightly, with the source of `core`.
pub fn get() -> Result<Nightly> {
    if command::capture(command::detached("rustup").arg("--version")).is_err() {
        bail!("rustup missing: install it; it brings the nightly compiler of the kernel object");
    }
    let mut install = command::detached("rustup");
    install.args(["toolchain", "install", PINNED, "--profile", "minimal"]);
    install.args(["--component", "rust-src", "--component", "clippy", "--no-self-update"]);
    install.env("RUST_BACKTRACE", "0");
    progress::step(&format!("installing {PINNED}"), &mut install, DOWNLOAD_LIMIT).with_context(
        || format!("nightly compiler missing: get it with `rustup toolchain install {PINNED} --component rust-src`"),
    )?;
    inspect(PINNED)
}

fn inspect(name: &str) -> Result<Nightly> {
    let rustc = |argument: &[&str]| {
        command::capture(command::detached("rustup").args(["run", name, "rustc"]).args(argument))
    };
    let (release, llvm) = versions(&rustc(&["-vV"])?)?;
    if llvm != linker::LLVM {
        bail!("its LLVM is {llvm}, the BPF linker's is {}", linker::LLVM);
    }
    Ok(Nightly {
        name: name.to_owned(),
        sysroot: rustc(&["--print", "sysroot"])?.into(),
        version: rustc(&["-V"])?,
        minor: release,
    })
}

/// Minor version of the compiler and major version of its LLVM, from `rustc -vV`.
fn versions(text: &str) -> Result<(u32, u32)> {
    let part = |label: &str, index: usize| -> Option<u32> {
        let line = text.lines().find_map(|line| line.strip_prefix(label))?;
        line.trim().split('.').nth(index)?.parse().ok()
    };
    let release = part("release:", 1).context("rustc does not tell its version")?;
    let llvm = part("LLVM version:", 0).context("rustc does not tell its LLVM's version")?;
    Ok((release, llvm))
}

#[cfg(test)]
mod tests {
    use super::versions;

    #[track_caller]
    fn check(text: &str, expected: Option<(u32, u32)>) {
        assert_eq!(versions(text).ok(), expected);
    }

    #[test]
    fn minor_and_llvm_are_read_from_the_long_version() {
        check(
            "rustc 1.97.0-nightly\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4",
            Some((97, 22)),
        );
        check("release: 1.97.0-nightly", None);
        check("LLVM version: 22.1.4", None);
    }
}
