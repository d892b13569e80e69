//! What comes from Debian: the emulator, if it is missing, and kernels.

use super::{folder, machine::EMULATOR};
use crate::{command, progress};
use anyhow::{Context as _, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const EMULATOR_PACKAGE: &str = "qemu-system-x86";
/// Depends on the current kernel for machines such as ours: virtual ones.
const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
const LIMIT: Duration = Duration::from_secs(600);

/// A kernel, unpacked.
pub struct Kernel {
    /// What is booted.
    pub image: PathBuf,
    /// Its modules, in folders.
    pub modules: PathBuf,
}

/// Sees to it that there is an emulator.
pub fn get_emulator() -> Result<()> {
    if env::consts::ARCH != "x86_64" {
        bail!("the kernels are for x86_64, and run programs built here");
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|folder| folder.join(EMULATOR).is_file()) {
        return Ok(());
    }
    eprintln!("{EMULATOR} is missing");
    let install = || {
        let mut install = apt("apt-get");
        install.args(["install", "--yes", "--no-install-recommends", EMULATOR_PACKAGE]);
        progress::step(&format!("installing {EMULATOR_PACKAGE}"), &mut install, LIMIT)
    };
    with_lists(install).with_context(|| {
        format!("{EMULATOR} is missing, try as root: apt-get install {EMULATOR_PACKAGE}")
    })
}

/// The package of Debian's current kernel, as it is known here.
pub fn current_kernel() -> Result<PathBuf> {
    let name = || {
        let said = command::capture(apt("apt-cache").args(["depends", KERNEL_PACKAGE]))?;
        let name = dependency(&said).map(str::to_owned);
        name.with_context(|| format!("no package {KERNEL_PACKAGE} is known here"))
    };
    let get = || downloaded(&name()?);
    with_lists(get).context("no kernel of Debian's: name one by --kernel")
}

fn downloaded(name: &str) -> Result<PathBuf> {
    let place = folder();
    fs::create_dir_all(&place)?;
    if let Some(file) = file_of(&place, name)? {
        return Ok(file);
    }
    let mut download = apt("apt-get");
    download.current_dir(&place).args(["download", name]);
    progress::step(&format!("downloading {name}"), &mut download, LIMIT)?;
    file_of(&place, name)?.context("apt-get said it downloaded it, but there is no such file")
}

/// The package file of this name in a folder.
fn file_of(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if file.ends_with(".deb") && file.split('_').next() == Some(name) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Tries again with new lists of packages, as those here may be old, or none at all.
fn with_lists<T>(work: impl Fn() -> Result<T>) -> Result<T> {
    work().or_else(|error| {
        eprintln!("{error:#}");
        progress::step("reading Debian's lists", apt("apt-get").arg("update"), LIMIT)?;
        work()
    })
}

/// The first package that `apt-cache depends` names.
fn dependency(said: &str) -> Option<&str> {
    said.lines().find_map(|line| line.trim().strip_prefix("Depends: "))
}

/// A package's kernel, from a package that is unpacked once.
pub fn unpack(package: &Path) -> Result<Kernel> {
    let name = package.file_stem().with_context(|| package.display().to_string())?;
    let place = folder().join(name);
    if !place.is_dir() {
        fs::create_dir_all(folder())?;
        let partly = folder().join("unpacking");
        let _ = fs::remove_dir_all(&partly);
        let mut extract = command::detached("dpkg-deb");
        extract.arg("-x").args([package, &partly]);
        progress::step(&format!("unpacking {}", name.display()), &mut extract, LIMIT)?;
        fs::rename(&partly, &place)?;
    }
    let image = only(&place.join("boot"), "vmlinuz-")?;
    // As Debian 12 has it, and 13.
    let modules = ["lib/modules", "usr/lib/modules"].map(|folder| place.join(folder));
    let modules = modules.iter().find(|folder| folder.is_dir()).context("it has no modules")?;
    Ok(Kernel { image, modules: only(modules, "")? })
}

/// The one thing in a folder whose name begins so.
fn only(folder: &Path, beginning: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(beginning) {
            found.push(entry.path());
        }
    }
    match <[PathBuf; 1]>::try_from(found) {
        Ok([path]) => Ok(path),
        Err(found) => bail!("{} things in {} instead of one", found.len(), folder.display()),
    }
}

/// An apt program, which asks nobody anything.
fn apt(program: &str) -> Command {
    let mut command = command::detached(program);
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

#[cfg(test)]
mod tests {
    use super::dependency;

    #[test]
    fn the_current_kernel_is_what_the_package_depends_on() {
        let said = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n";
        assert_eq!(dependency(said), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(dependency("N: Unable to locate package\n"), None);
    }
}
