//! An image as the Open Container Initiative's layout in one archive, from the bytes of one program.
//! The same bytes give the same archive: no clock, no user, no machine goes into it.

use anyhow::Result;
use flate2::{Compression, GzBuilder, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Where the program is in the image; it is all there is.
pub const PROGRAM: &str = "sluice";
/// The time that stands wherever one is asked for.
const CREATED: &str = "1970-01-01T00:00:00Z";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What is said of an image beside its program.
pub struct Description<'a> {
    /// Name and tag, as `localhost/sluice:1.0`.
    pub name: &'a str,
    /// The version alone.
    pub version: &'a str,
    /// The processor as images name it.
    pub architecture: &'a str,
}

/// An archive, and what the image in it is known by.
pub struct Image {
    /// The file.
    pub archive: Vec<u8>,
    /// Digest of the manifest, as `sha256:…`.
    pub digest: String,
    /// Bytes of the compressed program.
    pub layer: usize,
}

/// Makes the archive.
pub fn image(program: &[u8], about: &Description<'_>) -> Result<Image> {
    let files = tar(&[(PROGRAM.to_owned(), program, 0o755)])?;
    let layer = compressed(&files)?;
    let config = serde_json::to_vec(&config(about, &digest(&files)))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
    }))?;
    let mut entry = descriptor(MANIFEST, &manifest);
    entry["platform"] = json!({"architecture": about.architecture, "os": "linux"});
    // The first is what podman and skopeo take for the image's name, the second what containerd does.
    entry["annotations"] = json!({
        "org.opencontainers.image.ref.name": about.name,
        "io.containerd.image.name": about.name,
    });
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    }))?;
    let mark = serde_json::to_vec(&json!({"imageLayoutVersion": "1.0.0"}))?;
    let archive = tar(&[
        ("oci-layout".to_owned(), &mark, 0o644),
        ("index.json".to_owned(), &index, 0o644),
        (blob(&manifest), &manifest, 0o644),
        (blob(&config), &config, 0o644),
        (blob(&layer), &layer, 0o644),
    ])?;
    Ok(Image { archive, digest: digest(&manifest), layer: layer.len() })
}

fn config(about: &Description<'_>, files: &str) -> Value {
    json!({
        "created": CREATED,
        "architecture": about.architecture,
        "os": "linux",
        "config": {
            "Entrypoint": [format!("/{PROGRAM}")],
            "Cmd": ["agent"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "sluice",
                "org.opencontainers.image.description":
                    "Service load balancing in eBPF, for any CNI and without one",
                "org.opencontainers.image.version": about.version,
                "org.opencontainers.image.licenses": "(Apache-2.0 OR MIT) AND (MIT OR GPL-2.0)",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [files]},
        "history": [{"created": CREATED, "created_by": "cargo xtask image"}],
    })
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn blob(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An archive of files, by name and mode.
fn tar(files: &[(String, &[u8], u32)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes)?;
    }
    Ok(builder.into_inner()?)
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder: GzEncoder<Vec<u8>> =
        GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut encoder, bytes)?;
    Ok(encoder.finish()?)
}

#[cfg(test)]
mod tests {
    use super::{Description, Image, PROGRAM, blob, digest, image};
    use flate2::read::GzDecoder;
    use serde_json::Value;
    use std::{collections::BTreeMap, io::Read};

    const ABOUT: Description<'static> =
        Description { name: "localhost/sluice:1.2", version: "1.2", architecture: "arm64" };

    fn made(program: &[u8]) -> Image {
        image(program, &ABOUT).unwrap()
    }

    /// Files of an archive with their modes.
    fn files(archive: &[u8]) -> BTreeMap<String, (Vec<u8>, u32)> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (name, (bytes, entry.header().mode().unwrap()))
        };
        archive.entries().unwrap().map(read).collect()
    }

    /// What a descriptor points to, with its size and digest seen to be right.
    fn follow(files: &BTreeMap<String, (Vec<u8>, u32)>, descriptor: &Value) -> Vec<u8> {
        let sum = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/sha256/{}", sum.strip_prefix("sha256:").unwrap());
        let (bytes, _) = &files[&path];
        assert_eq!(descriptor["size"], bytes.len());
        assert_eq!((digest(bytes).as_str(), blob(bytes)), (sum, path));
        bytes.clone()
    }

    fn parsed(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_reader_of_the_layout_finds_the_program() {
        let program = vec![7; 100_000];
        let made = made(&program);
        let files_of_archive = files(&made.archive);
        assert_eq!(files_of_archive.len(), 5);
        assert_eq!(parsed(&files_of_archive["oci-layout"].0)["imageLayoutVersion"], "1.0.0");
        let index = parsed(&files_of_archive["index.json"].0);
        let entry = &index["manifests"][0];
        assert_eq!(entry["digest"], made.digest);
        assert_eq!(entry["platform"]["architecture"], "arm64");
        for name in ["org.opencontainers.image.ref.name", "io.containerd.image.name"] {
            assert_eq!(entry["annotations"][name], "localhost/sluice:1.2");
        }

        let manifest = parsed(&follow(&files_of_archive, entry));
        let config = parsed(&follow(&files_of_archive, &manifest["config"]));
        assert_eq!(config["config"]["Entrypoint"][0], format!("/{PROGRAM}"));
        assert_eq!(config["config"]["Cmd"][0], "agent");
        assert_eq!(config["architecture"], "arm64");

        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        let layer = follow(&files_of_archive, &manifest["layers"][0]);
        assert_eq!(layer.len(), made.layer);
        let mut unpacked = Vec::new();
        GzDecoder::new(layer.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], digest(&unpacked));
        let inside = files(&unpacked);
        assert_eq!(inside.len(), 1);
        assert_eq!(inside[PROGRAM], (program, 0o755));
    }

    #[test]
    fn the_same_program_gives_the_same_archive_and_another_another() {
        let (one, again, other) = (made(b"one"), made(b"one"), made(b"two"));
        assert!(one.archive == again.archive && one.digest == again.digest);
        assert_ne!(one.digest, other.digest);
    }
}
