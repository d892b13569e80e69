//! The source of `core`, which is compiled for the kernel along with our own code.

use super::{debian, nightly::Nightly};
use crate::{build_ebpf::sources, command, progress};
use anyhow::{Context as _, Result, bail};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(120);

/// Where the toolchain looks for it.
pub fn place(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib/src/rust/library")
}

/// Whether it is there.
pub fn find(nightly: &Nightly) -> Result<()> {
    let place = place(&nightly.sysroot);
    if !place.join("core/src/lib.rs").is_file() || !place.join("Cargo.lock").is_file() {
        bail!("the source of core is missing from {}", nightly.name);
    }
    Ok(())
}

/// Gets it from rustup, or else from Debian's package of the same version.
pub fn get(nightly: &Nightly) -> Result<()> {
    let mut add = command::detached("rustup");
    add.args(["component", "add", "rust-src", "--toolchain", &nightly.name]);
    add.env("RUST_BACKTRACE", "0");
    let added = progress::step("adding rust-src with rustup", &mut add, DOWNLOAD_LIMIT);
    if let Err(by_rustup) = added.and_then(|()| find(nightly)) {
        eprintln!("rustup gives no rust-src ({by_rustup}); trying Debian's package");
        debian::unpack(nightly.minor, |library| install(library, &nightly.sysroot)).with_context(
            || {
                format!(
                    "rust-src missing: get it with `rustup component add rust-src --toolchain {}`, \
                     or unpack Debian's package rust-src 1.{} and copy its library folder to {}",
                    nightly.name,
                    nightly.minor,
                    place(&nightly.sysroot).display()
                )
            },
        )?;
    }
    find(nightly)
}

/// SHA-256 of the parts that are compiled for the kernel.
pub fn hash(sysroot: &Path) -> Result<String> {
    let parts = ["core/src", "compiler-builtins/compiler-builtins/src", "Cargo.lock"];
    sources::hash_files(&place(sysroot), &parts).context("cannot read the source of core")
}

/// Moves an unpacked library folder to its place; half a copy is never seen there.
fn install(library: &Path, sysroot: &Path) -> Result<()> {
    let place = place(sysroot);
    let partial = place.with_extension("partial");
    let _ = fs::remove_dir_all(&partial);
    let parent = place.parent().unwrap_or(sysroot);
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // A folder cannot be moved to another file system.
    fs::rename(library, &partial)
        .or_else(|_| copy(library, &partial))
        .with_context(|| format!("cannot write to {}", partial.display()))?;
    fs::rename(&partial, &place).with_context(|| format!("cannot make {}", place.display()))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
