//! Which kernel object the agent is going to carry: one built of these sources where the toolchain
//! is to be had, else the kept one. Verbs that run the agent call [`prepare`] first.

use crate::{
    build_ebpf::{self, sources},
    setup,
    workspace::{self, OBJECTS, RECORD},
};
use anyhow::{Context as _, Result, bail};
use std::{fs, path::Path};

/// Sees to it that there is an object, and says which it is and why.
pub fn prepare() -> Result<()> {
    let wanted = sources::hash_sources(workspace::root()).context("cannot read the sources")?;
    if made_of(&workspace::fresh_objects(), &wanted) {
        println!("kernel object: built of these sources");
        return Ok(());
    }
    match setup::ensure() {
        Ok(toolchain) => {
            build_ebpf::build(&toolchain)?;
            println!("kernel object: built of these sources just now");
        }
        Err(reason) if made_of(&workspace::kept_objects(), &wanted) => {
            println!("kernel object: the kept one, which is of these sources ({reason:#})");
        }
        Err(reason) if workspace::kept_objects().join(OBJECTS[0].0).is_file() => {
            println!("kernel object: the kept one, which is NOT of these sources ({reason:#})");
        }
        Err(reason) => return Err(reason.context("there is no kernel object and no way to it")),
    }
    Ok(())
}

/// Fails if neither object is of these sources. Gets nothing: what is published must not depend on
/// what a machine happened to find.
pub fn demand() -> Result<()> {
    let wanted = sources::hash_sources(workspace::root()).context("cannot read the sources")?;
    let folders = [workspace::fresh_objects(), workspace::kept_objects()];
    if !folders.iter().any(|folder| made_of(folder, &wanted)) {
        bail!("no kernel object is of these sources: `cargo xtask build-ebpf` makes one");
    }
    Ok(())
}

/// Fails if the kept object is not what the sources give, as far as this machine can tell.
pub fn check_kept() -> Result<()> {
    let kept = workspace::kept_objects();
    let wanted = sources::hash_sources(workspace::root()).context("cannot read the sources")?;
    if !made_of(&kept, &wanted) {
        bail!("the kept object is not of these sources: `cargo xtask build-ebpf --keep` renews it");
    }
    let record = fs::read_to_string(kept.join(RECORD))?;
    for (name, _) in OBJECTS {
        let found = build_ebpf::digest(&fs::read(kept.join(name))?);
        if sources::recorded(&record, name) != Some(&found) {
            bail!("the kept {name} is not the one its record speaks of");
        }
    }
    let toolchain = match setup::ensure() {
        Ok(toolchain) => toolchain,
        Err(reason) => {
            println!("kept object: of these sources by its record; not rebuilt ({reason:#})");
            return Ok(());
        }
    };
    build_ebpf::build(&toolchain)?;
    let fresh = workspace::fresh_objects();
    let mut compared = true;
    for (name, _) in OBJECTS {
        if fs::read(fresh.join(name))? == fs::read(kept.join(name))? {
            continue;
        }
        if let Some(tool) = other_tool(&fs::read_to_string(fresh.join(RECORD))?, &record) {
            println!("kept {name}: not compared, as {tool} here is not the one it was built with");
            compared = false;
            continue;
        }
        bail!("the kept {name} differs from what the same tools make of the same sources");
    }
    if compared {
        println!("kept object: what these sources give");
    }
    Ok(())
}

/// The first tool on which two records differ.
fn other_tool<'a>(fresh: &'a str, kept: &str) -> Option<&'a str> {
    let lines = fresh.lines().take_while(|line| !line.starts_with("sources: "));
    lines
        .filter_map(|line| line.split_once(": "))
        .find(|(name, value)| sources::recorded(kept, name) != Some(value))
        .map(|(name, _)| name)
}

/// Whether a folder holds both objects, made of the sources with this hash.
fn made_of(folder: &Path, wanted: &str) -> bool {
    let record = fs::read_to_string(folder.join(RECORD)).unwrap_or_default();
    OBJECTS.iter().all(|(name, _)| folder.join(name).is_file())
        && sources::recorded(&record, "sources") == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::other_tool;

    #[track_caller]
    fn check(fresh: &str, expected: Option<&str>) {
        let kept = "rustc: one\nbpf-linker: 0.10.4\nsources: ab\nsluice.bpf.o: cd\n";
        assert_eq!(other_tool(fresh, kept), expected);
    }

    #[test]
    fn only_a_difference_in_tools_excuses_a_difference_in_bytes() {
        check("rustc: one\nbpf-linker: 0.10.4\nsources: ab\nsluice.bpf.o: ef\n", None);
        check("rustc: two\nbpf-linker: 0.10.4\nsources: ab\n", Some("rustc"));
        check("rustc: one\nbpf-linker: 0.10.5\nsources: ab\n", Some("bpf-linker"));
    }
}
