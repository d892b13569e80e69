//! Embeds the kernel object that `SLUICE_OBJECT` names.

fn main() {
    println!("cargo::rerun-if-env-changed=SLUICE_OBJECT");
    let object = std::env::var("SLUICE_OBJECT").unwrap_or_default();
    println!("cargo::rerun-if-changed={object}");
    println!("cargo::rustc-env=SLUICE_BPF_OBJECT={object}");
    let log = std::env::var("SLUICE_LOG_OBJECT").unwrap_or_else(|_| object.clone());
    println!("cargo::rustc-env=SLUICE_BPF_LOG_OBJECT={log}");
    println!("cargo::rustc-env=SLUICE_BPF_ORIGIN=fresh");
}
