//! `cargo xtask render`: the single file to install from, made of the kustomizations in deploy/.
//! `kubectl kustomize` gives the same objects; this needs no kubectl.

mod kustomization;
mod object;
mod patch;

use crate::workspace;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{fs, path::PathBuf};

/// What is rendered, below [`kustomize`].
const STANDARD: &str = "overlays/standard";
/// Where to, below the top of the checkout.
const INSTALL: &str = "deploy/install.yaml";
/// What a reader meets first.
const HEADER: &str = "\
# Made by `cargo xtask render` of deploy/kustomize/overlays/standard, where the reasons are.
# Changes belong there.
";

/// Settings of the verb.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing; fail if the file is not what the kustomizations give
    #[arg(long)]
    check: bool,
}

/// The verb.
pub fn run(args: &Args) -> Result<()> {
    let (rendered, path) = (install()?, workspace::root().join(INSTALL));
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if rendered == kept {
        println!("{INSTALL} is what the kustomizations give");
        return Ok(());
    }
    if args.check {
        bail!("{INSTALL} is not what the kustomizations give: `cargo xtask render` renews it");
    }
    fs::write(&path, rendered).with_context(|| format!("cannot write {INSTALL}"))?;
    println!("{INSTALL} written");
    Ok(())
}

/// The verb with `--check`.
pub fn check() -> Result<()> {
    run(&Args { check: true })
}

fn kustomize() -> PathBuf {
    workspace::root().join("deploy/kustomize")
}

/// What the file to install from should hold.
fn install() -> Result<String> {
    let objects = kustomization::build(&kustomize().join(STANDARD))?;
    Ok(format!("{HEADER}{}", yaml(&objects)?))
}

fn yaml(objects: &[Value]) -> Result<String> {
    let options = serde_saphyr::ser_options! { compact_list_indent: false };
    Ok(serde_saphyr::to_string_multiple_with_options(objects, options)?)
}

#[cfg(test)]
mod tests {
    use super::{INSTALL, install, kustomization, kustomize, object, yaml};
    use crate::workspace;
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    #[test]
    fn the_file_to_install_from_is_what_the_kustomizations_give() {
        let kept = fs::read_to_string(workspace::root().join(INSTALL)).unwrap();
        assert_eq!(kept, install().unwrap(), "`cargo xtask render` renews it");
    }

    #[test]
    fn every_overlay_renders_and_reads_back_as_it_was() {
        let overlays = fs::read_dir(kustomize().join("overlays")).unwrap();
        let folders: Vec<_> = overlays.map(|entry| entry.unwrap().path()).collect();
        assert!(folders.len() >= 3);
        for folder in folders {
            let objects = kustomization::build(&folder).unwrap();
            let file = scratch(&folder);
            fs::write(&file, yaml(&objects).unwrap()).unwrap();
            let read = object::read(&file);
            fs::remove_file(&file).unwrap();
            assert_eq!(read.unwrap(), objects, "{}", folder.display());
        }
    }

    fn scratch(folder: &Path) -> PathBuf {
        let name = folder.file_name().unwrap().to_string_lossy();
        std::env::temp_dir().join(format!("sluice-render-{}-{name}.yaml", std::process::id()))
    }
}
