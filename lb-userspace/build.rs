//! Chooses the kernel object that the agent carries: the one `cargo xtask build-ebpf` made of these
//! very sources, or else the one kept in the repository. Needs no nightly toolchain.
//!
//! The agent reads three variables: `SLUICE_BPF_OBJECT` and `SLUICE_BPF_LOG_OBJECT` are paths,
//! `SLUICE_BPF_ORIGIN` is `fresh` or `kept`.

#[path = "../xtask/src/build_ebpf/sources.rs"]
mod sources;

use std::{fs, path::Path};

const OBJECT: &str = "sluice.bpf.o";
const LOG_OBJECT: &str = "sluice-log.bpf.o";
const RECORD: &str = "TOOLCHAIN";

fn main() {
    if let Err(message) = choose() {
        println!("cargo::error={message}");
    }
}

fn choose() -> Result<(), String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().ok_or("the agent is not in a workspace")?;
    let fresh = root.join("target/bpf");
    let kept = root.join("lb-ebpf/prebuilt");
    watch(root, &fresh, &kept);

    let wanted = sources::hash_sources(root)
        .map_err(|error| format!("cannot read the sources of the kernel object: {error}"))?;
    let (folder, origin) = if made_of(&fresh, &wanted) {
        (fresh, "fresh")
    } else if kept.join(OBJECT).is_file() {
        if !made_of(&kept, &wanted) {
            println!(
                "cargo::warning=the kept kernel object is not of these sources; \
                 `cargo xtask build-ebpf` makes one that is"
            );
        }
        (kept, "kept")
    } else {
        return Err("there is no kernel object: `cargo xtask build-ebpf` makes it".to_owned());
    };
    println!("cargo::rustc-env=SLUICE_BPF_OBJECT={}", folder.join(OBJECT).display());
    println!("cargo::rustc-env=SLUICE_BPF_LOG_OBJECT={}", folder.join(LOG_OBJECT).display());
    println!("cargo::rustc-env=SLUICE_BPF_ORIGIN={origin}");
    Ok(())
}

/// Has this script run again when the choice may come out differently.
fn watch(root: &Path, fresh: &Path, kept: &Path) {
    // A path that is not there would count as changed at every build.
    let _ = fs::create_dir_all(fresh);
    println!("cargo::rerun-if-changed={}", fresh.display());
    println!("cargo::rerun-if-changed={}", kept.display());
    for source in sources::SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
}

/// Whether both objects are there, and the record beside them names these sources.
fn made_of(folder: &Path, wanted: &str) -> bool {
    let record = fs::read_to_string(folder.join(RECORD)).unwrap_or_default();
    let whole = [OBJECT, LOG_OBJECT].iter().all(|object| folder.join(object).is_file());
    whole && sources::recorded(&record, "sources") == Some(wanted)
}
