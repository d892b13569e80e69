//! Embeds the kernel object that `SLUICE_OBJECT` names; an empty one without it.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-env-changed=SLUICE_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let object = env::var_os("SLUICE_OBJECT").map(PathBuf::from);
    if let Some(object) = &object {
        println!("cargo::rerun-if-changed={}", object.display());
    }
    let bytes = object.map(fs::read).transpose().unwrap_or_default().unwrap_or_default();
    for name in ["lb", "lb-log"] {
        if let Err(error) = fs::write(out.join(name), &bytes) {
            println!("cargo::error=writing the kernel object: {error}");
        }
    }
    println!("cargo::rustc-env=SLUICE_OBJECT_ORIGIN=given by SLUICE_OBJECT");
}
