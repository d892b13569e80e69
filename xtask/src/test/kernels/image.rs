//! The files that a machine's memory begins with: programs at the places they have here, with the
//! libraries they want, as a cpio archive.

use crate::command;
use anyhow::{Context as _, Result};
use cpio::newc;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

const FOLDER: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;

/// See the module.
#[derive(Debug, Default)]
pub struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    /// Puts a program of this machine in, with its libraries.
    pub fn program(&mut self, path: &Path) -> Result<()> {
        let said = command::capture(Command::new("ldd").arg(path))?;
        for place in libraries(&said).map(Path::new).chain([path]) {
            if !self.0.contains_key(place) {
                let bytes = fs::read(place).with_context(|| place.display().to_string())?;
                self.file(place, bytes);
            }
        }
        Ok(())
    }

    /// Puts a file in.
    pub fn file(&mut self, place: &Path, bytes: Vec<u8>) {
        self.0.insert(place.to_owned(), bytes);
    }

    /// The archive, with every folder before what is in it.
    pub fn archive(&self) -> Result<Vec<u8>> {
        let mut archive = Vec::new();
        let folders: BTreeSet<&Path> = self.0.keys().flat_map(|place| parents(place)).collect();
        let folders = folders.into_iter().map(|place| (place, FOLDER, &[][..]));
        let files = self.0.iter().map(|(place, bytes)| (place.as_path(), EXECUTABLE, &bytes[..]));
        for (number, (place, mode, bytes)) in folders.chain(files).enumerate() {
            let name = place.strip_prefix("/").unwrap_or(place).to_string_lossy();
            let entry = newc::Builder::new(&name).mode(mode).ino(number as u32 + 1);
            let mut entry = entry.write(&mut archive, u32::try_from(bytes.len())?);
            entry.write_all(bytes)?;
            entry.finish()?;
        }
        newc::trailer(&mut archive)?;
        Ok(archive)
    }
}

/// The folders above a file, but the topmost.
fn parents(place: &Path) -> impl Iterator<Item = &Path> {
    place.ancestors().skip(1).filter(|folder| folder.parent().is_some())
}

/// The libraries and the loader that `ldd` names; not what the kernel itself provides.
fn libraries(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter_map(|line| {
        let path = line.split("=>").last()?.split_whitespace().next()?;
        path.starts_with('/').then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::{EXECUTABLE, FOLDER, Image, libraries};
    use cpio::newc;
    use std::{io::Read as _, path::Path};

    #[test]
    fn an_archive_has_folders_before_their_files() {
        let mut image = Image::default();
        image.file(Path::new("/lib/modules/a.ko"), b"module".to_vec());
        image.file(Path::new("/plan"), Vec::new());
        let archive = image.archive().unwrap();
        let mut rest = &archive[..];
        let mut found = Vec::new();
        loop {
            let mut entry = newc::Reader::new(rest).unwrap();
            if entry.entry().is_trailer() {
                break;
            }
            let (name, mode) = (entry.entry().name().to_owned(), entry.entry().mode());
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.push((name, mode, bytes));
            rest = entry.finish().unwrap();
        }
        let expected = [
            ("lib", FOLDER, &b""[..]),
            ("lib/modules", FOLDER, b""),
            ("lib/modules/a.ko", EXECUTABLE, b"module"),
            ("plan", EXECUTABLE, b""),
        ];
        let expected = expected.map(|(name, mode, bytes)| (name.to_owned(), mode, bytes.to_vec()));
        assert_eq!(found, expected);
    }

    #[test]
    fn libraries_are_read_as_they_are_listed() {
        let said = "\tlinux-vdso.so.1 (0x00007ff4)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007ff4)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007ff4)\n";
        let found: Vec<_> = libraries(said).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(libraries("\tstatically linked\n").count(), 0);
    }
}
