//! `cargo xtask setup`: makes this machine able to build the kernel object.
//!
//! Three things are needed beyond the stable toolchain: a nightly compiler with the right LLVM,
//! the source of `core` for it, and the BPF linker. Each has a file that looks for it and one way
//! or several to get it. Where all are there, nothing is done.

mod debian;
mod linker;
mod nightly;
mod rust_src;

use anyhow::Result;
use std::{path::PathBuf, process::Command};

/// All that building the kernel object takes.
pub struct Toolchain {
    nightly: nightly::Nightly,
    linker: PathBuf,
}

impl Toolchain {
    /// Folder of the nightly compiler.
    pub fn sysroot(&self) -> &std::path::Path {
        &self.nightly.sysroot
    }

    /// A program of the nightly toolchain, with the BPF linker first on its search path.
    pub fn program(&self, name: &str) -> Result<Command> {
        let mut command = self.nightly.program(name);
        let mut path = vec![self.linker.clone()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        command.env("PATH", std::env::join_paths(path)?);
        Ok(command)
    }

    /// What a record says of the tools: a name and a value each.
    pub fn described(&self) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("rustc", self.nightly.version.clone()),
            ("core", rust_src::hash(&self.nightly.sysroot)?),
            ("bpf-linker", linker::VERSION.to_owned()),
        ])
    }
}

/// The verb.
pub fn run() -> Result<()> {
    let toolchain = ensure()?;
    println!("nightly     {}", toolchain.nightly.version);
    println!("core source {}", rust_src::place(&toolchain.nightly.sysroot).display());
    println!("bpf-linker  {} in {}", linker::VERSION, toolchain.linker.display());
    Ok(())
}

/// The toolchain if all of it is here already; the error says what is missing.
pub fn find() -> Result<Toolchain> {
    let nightly = nightly::find()?;
    rust_src::find(&nightly)?;
    Ok(Toolchain { nightly, linker: linker::find()? })
}

/// The toolchain, after getting whatever of it is missing.
pub fn ensure() -> Result<Toolchain> {
    let nightly = nightly::find().or_else(|missing| told(&missing, nightly::get))?;
    rust_src::find(&nightly).or_else(|missing| told(&missing, || rust_src::get(&nightly)))?;
    let linker = linker::find().or_else(|missing| told(&missing, linker::get))?;
    Ok(Toolchain { nightly, linker })
}

/// Says what is missing, then gets it.
fn told<T>(missing: &anyhow::Error, get: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("{missing:#}");
    get()
}
