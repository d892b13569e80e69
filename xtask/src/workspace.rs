//! Where things are in this checkout. Every path that more than one verb uses has its home here.

use std::path::{Path, PathBuf};

/// Names of the two objects in every folder that holds them, with the cargo feature that gives
/// each.
pub const OBJECTS: [(&str, &str); 2] = [("sluice.bpf.o", "kernel"), ("sluice-log.bpf.o", "log")];

/// What stands beside the objects and tells what they were made of and with.
pub const RECORD: &str = "TOOLCHAIN";

/// The top folder of the checkout this program was built from.
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Objects of the last `build-ebpf`, with their record.
pub fn fresh_objects() -> PathBuf {
    root().join("target/bpf")
}

/// Objects kept in the repository, with their record.
pub fn kept_objects() -> PathBuf {
    root().join("lb-ebpf/prebuilt")
}

/// Tools that `setup` built for itself, and its scratch space.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}
