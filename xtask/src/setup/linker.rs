//! The BPF linker, at exactly the version whose BTF every kernel takes.

use crate::{command, progress, workspace};
use anyhow::{Context as _, Result, bail};
use std::{path::PathBuf, time::Duration};

/// Older ones leave characters in BTF names that the kernel refuses; newer ones need another LLVM.
pub const VERSION: &str = "0.10.4";
/// Major version of the LLVM this linker is made for; the compiler must have the same.
pub const LLVM: u32 = 22;

const BUILD_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Folder of the linker: our own, or else one on the search path, if it has the version.
pub fn find() -> Result<PathBuf> {
    let mut folders = vec![workspace::tools().join("bin")];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders
        .into_iter()
        .find(|folder| {
            let linker = folder.join("bpf-linker");
            linker.is_file() && version(&linker).is_ok_and(|found| found == VERSION)
        })
        .with_context(|| format!("bpf-linker {VERSION} is missing"))
}

/// Builds the linker into our own folder.
pub fn get() -> Result<PathBuf> {
    let mut install = command::detached("cargo");
    install.args(["install", "--locked", "--force", "--root"]).arg(workspace::tools());
    install.arg(format!("bpf-linker@{VERSION}"));
    let scratch = workspace::tools().join("build");
    install.env("CARGO_TARGET_DIR", &scratch);
    progress::step(&format!("building bpf-linker {VERSION}"), &mut install, BUILD_LIMIT)
        .with_context(|| {
            format!(
                "bpf-linker {VERSION} missing: get it with `cargo install --locked bpf-linker@{VERSION}`"
            )
        })?;
    let _ = std::fs::remove_dir_all(scratch);
    find()
}

fn version(linker: &std::path::Path) -> Result<String> {
    let said = command::capture(command::detached(linker).arg("--version"))?;
    match said.split_whitespace().nth(1) {
        Some(version) => Ok(version.to_owned()),
        None => bail!("it does not tell its version"),
    }
}
