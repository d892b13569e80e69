//! `cargo xtask image`: the agent as a container image of one static program, in an archive that
//! podman, skopeo and containerd read. No daemon, no root, nothing but this toolchain.
//!
//! The program is linked with the C library inside (`crt-static`) for the target that every
//! toolchain here has anyway: no other target has to be fetched. Such a program still asks
//! /etc/hosts and DNS for names, as both are part of the library since glibc 2.34.

mod layout;
mod linkage;

use crate::{command, kernel_object, workspace};
use anyhow::{Context as _, Result, bail};
use layout::Description;
use std::{env, fs, path::Path, path::PathBuf, process::Command};

const NAME: &str = "localhost/sluice";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Below `target/image`.
const ARCHIVE: &str = "sluice.oci.tar";

/// Settings of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Target to build for [default: this machine's]; `rustup target add` fetches another
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Name and tag of the image
    #[arg(long, default_value_t = format!("{NAME}:{VERSION}"))]
    name: String,
    /// Build the program only, for a Dockerfile that copies it
    #[arg(long)]
    program_only: bool,
}

/// The verb.
pub fn run(args: &Args) -> Result<()> {
    kernel_object::demand()?;
    let target = args.target.clone().map_or_else(host, Ok)?;
    let architecture = architecture(&target)?;
    let program = build(&target)?;
    let bytes = fs::read(&program).with_context(|| program.display().to_string())?;
    linkage::check_static(&bytes).context("the program cannot run in an empty image")?;

    let folder = workspace::root().join("target/image");
    fs::create_dir_all(&folder)?;
    fs::copy(&program, folder.join(layout::PROGRAM))?;
    println!("program  {:>5.1} MB  {architecture}, static", megabytes(bytes.len()));
    if args.program_only {
        return Ok(());
    }
    let about = Description { name: &args.name, version: VERSION, architecture };
    let image = layout::image(&bytes, &about)?;
    let path = folder.join(ARCHIVE);
    fs::write(&path, &image.archive).with_context(|| path.display().to_string())?;
    println!("image    {:>5.1} MB  {}", megabytes(image.layer), args.name);
    println!("digest   {}", image.digest);
    println!("archive  target/image/{ARCHIVE}");
    Ok(())
}

/// Builds the agent for a target and returns where it is.
fn build(target: &str) -> Result<PathBuf> {
    let root = workspace::root();
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    // Where this machine keeps its sources is no business of the program, or of its digest.
    let renamed = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned(), renamed(root, "sluice")];
    flags.extend(cargo_home.map(|home| renamed(&home, "cargo")));
    let mut cargo = command::cargo();
    cargo.args(["build", "--locked", "--release", "--package", "lb-userspace"]);
    // Naming the target, if only our own, keeps the flags away from what runs while building.
    cargo.args(["--bin", layout::PROGRAM, "--target", target, "--target-dir"]);
    let folder = root.join("target");
    cargo.arg(&folder);
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command::run(&mut cargo)?;
    Ok(folder.join(target).join("release").join(layout::PROGRAM))
}

/// The target that the compiler makes programs for by itself.
fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = command::capture(Command::new(rustc).args(["-vV"]))?;
    let line = said.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("rustc does not name its host")
}

/// What images call a target's processor.
fn architecture(target: &str) -> Result<&'static str> {
    if !target.contains("-linux-") {
        bail!("{target}: the agent runs on Linux only");
    }
    match target.split('-').next() {
        Some("x86_64") => Ok("amd64"),
        Some("aarch64") => Ok("arm64"),
        _ => bail!("{target}: neither x86_64 nor aarch64"),
    }
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::architecture;

    #[test]
    fn an_image_is_named_for_its_processor() {
        #[track_caller]
        fn check(target: &str, expected: Option<&str>) {
            assert_eq!(architecture(target).ok(), expected, "{target}");
        }
        check("x86_64-unknown-linux-gnu", Some("amd64"));
        check("aarch64-unknown-linux-musl", Some("arm64"));
        check("riscv64gc-unknown-linux-gnu", None);
        check("x86_64-apple-darwin", None);
    }
}
