//! One number for the sources of the kernel object, and the record that carries it.
//!
//! Used by `xtask`, which writes the record, and by the agent's build script, which includes this
//! very file and chooses the object that fits. It therefore uses nothing but the standard library
//! and SHA-256.

use sha2::{Digest as _, Sha256};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Everything the kernel object is made of, relative to the top of the workspace.
pub const SOURCES: [&str; 4] =
    ["lb-common/Cargo.toml", "lb-common/src", "lb-ebpf/Cargo.toml", "lb-ebpf/src"];

/// SHA-256 over names and contents of all [`SOURCES`], in hexadecimal.
pub fn hash_sources(root: &Path) -> io::Result<String> {
    hash_files(root, &SOURCES)
}

/// SHA-256 over names and contents of the files in `places` (files, or folders with all they
/// hold), in hexadecimal. Neither the place of `root` nor times enter into it.
pub fn hash_files(root: &Path, places: &[&str]) -> io::Result<String> {
    let mut files = Vec::new();
    for place in places {
        collect(root.join(place), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        let content = fs::read(&file)?;
        hash.update(name.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(&content);
    }
    Ok(hex(&hash.finalize()))
}

/// The value of one `name: value` line of a record.
pub fn recorded<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    record.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn collect(place: PathBuf, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !place.is_dir() {
        files.push(place);
        return Ok(());
    }
    for entry in fs::read_dir(&place)? {
        collect(entry?.path(), files)?;
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
