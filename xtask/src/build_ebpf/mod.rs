//! `cargo xtask build-ebpf`: the kernel object, the same bytes from the same sources wherever and
//! by whomever it is built.
//!
//! Two objects leave here: the one people run, and one with log lines. They go to `target/bpf`,
//! where the agent's build script finds them, and with `--keep` to the repository as well.

mod btf;
mod kernel;
mod object;
pub mod sources;

use crate::{
    command,
    setup::{self, Toolchain},
    workspace::{self, OBJECTS, RECORD},
};
use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "kernel";

/// Settings of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Also put the objects into the repository (lb-ebpf/prebuilt)
    #[arg(long)]
    keep: bool,
}

/// The verb.
pub fn run(args: &Args) -> Result<()> {
    build(&setup::ensure()?)?;
    if args.keep {
        keep()?;
    }
    Ok(())
}

/// Builds, checks and records both objects.
pub fn build(toolchain: &Toolchain) -> Result<()> {
    let place = workspace::fresh_objects();
    fs::create_dir_all(&place)?;
    let sources = sources::hash_sources(workspace::root()).context("cannot read the sources")?;
    let mut record = String::new();
    for (name, value) in toolchain.described()? {
        writeln!(record, "{name}: {value}")?;
    }
    writeln!(record, "sources: {sources}")?;
    for (name, feature) in OBJECTS {
        let linked = compile(toolchain, feature)?;
        let stripped = object::without_debug_sections(&linked)?;
        println!("{name}: {} bytes, {}", stripped.len(), check(&stripped).context(name)?);
        write_if_changed(&place.join(name), &stripped)?;
        writeln!(record, "{name}: {}", digest(&stripped))?;
    }
    write_if_changed(&place.join(RECORD), record.as_bytes())
}

/// Copies the fresh objects into the repository.
fn keep() -> Result<()> {
    let (from, to) = (workspace::fresh_objects(), workspace::kept_objects());
    fs::create_dir_all(&to)?;
    for name in OBJECTS.map(|(name, _)| name).into_iter().chain([RECORD]) {
        fs::copy(from.join(name), to.join(name)).with_context(|| format!("cannot keep {name}"))?;
    }
    println!("kept in {}", to.strip_prefix(workspace::root()).unwrap_or(&to).display());
    Ok(())
}

/// SHA-256 of an object, in hexadecimal.
pub fn digest(object: &[u8]) -> String {
    format!("{:x}", Sha256::digest(object))
}

/// Nightly cargo doing `verb` on the programs for the kernel's machine.
pub fn cargo(toolchain: &Toolchain, verb: &str, feature: &str) -> Result<Command> {
    let mut cargo = toolchain.program("cargo")?;
    cargo.current_dir(workspace::root()).args([verb, "--locked"]);
    cargo.args(["-Z", "build-std=core", "--target", TARGET, "--profile", PROFILE]);
    cargo.args(["--package", "lb-ebpf", "--bin", "lb", "--features", feature]);
    cargo.arg("--target-dir").arg(target_dir());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(toolchain.sysroot()).join("\x1f"));
    Ok(cargo)
}

/// Compiles and links one object, and gives its bytes.
fn compile(toolchain: &Toolchain, feature: &str) -> Result<Vec<u8>> {
    command::run(&mut cargo(toolchain, "build", feature)?)?;
    let linked = target_dir().join(TARGET).join(PROFILE).join("lb");
    fs::read(&linked).with_context(|| format!("cannot read {}", linked.display()))
}

fn target_dir() -> PathBuf {
    workspace::root().join("target/bpf-build")
}

/// Compiler flags of the object. Paths of this machine are replaced by fixed ones; our own sources
/// are named relative to the checkout, where the linker finds them and puts their lines into BTF,
/// so that the verifier can quote them.
fn flags(sysroot: &Path) -> Vec<String> {
    let mut flags = vec![
        // One object serves every machine: nothing in it may look at a processor's registers.
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    let mut remap = |from: &Path, to: &str| {
        flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    };
    remap(workspace::root(), ".");
    remap(sysroot, "/toolchain");
    let registry = cargo_home().join("registry/src");
    for index in fs::read_dir(&registry).into_iter().flatten().flatten() {
        remap(&index.path(), "/registry");
    }
    flags
}

fn cargo_home() -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from)
}

/// Everything that can be said against an object without running it; gives a line about it.
fn check(bytes: &[u8]) -> Result<String> {
    object::check_symbols(bytes)?;
    let types = btf::check_names(object::section(bytes, ".BTF")?)?;
    Ok(match kernel::load_btf(bytes)? {
        kernel::Verdict::Loaded => format!("{types} BTF types, taken by this kernel"),
        kernel::Verdict::NotAllowed => {
            format!("{types} BTF types, names checked (asking the kernel needs CAP_BPF)")
        }
    })
}

/// Leaves a file alone that has this content already, so that nothing is rebuilt for it.
fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
