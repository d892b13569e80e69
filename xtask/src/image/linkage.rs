//! Whether a program needs anything but the kernel to run.

use anyhow::{Context as _, Result, bail};
use object::{
    Endianness, elf,
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _},
};

/// Fails if the program wants a loader or a library.
pub fn check_static(program: &[u8]) -> Result<()> {
    let header = elf::FileHeader64::<Endianness>::parse(program).context("no 64-bit program")?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, program)? {
        if segment.p_type(endian) == elf::PT_INTERP {
            bail!("it wants a loader (PT_INTERP)");
        }
        // A program that may be placed anywhere has this to move itself; it must name nobody else.
        let entries = segment.dynamic(endian, program)?.unwrap_or_default();
        if entries.iter().any(|entry| entry.d_tag(endian) == elf::DT_NEEDED) {
            bail!("it wants libraries (DT_NEEDED)");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_static;
    use object::elf;

    /// A little-endian ELF header with one program header of this type, whose content is one
    /// dynamic entry.
    fn program(kind: u32, tag: i64) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 + 16];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..58].copy_from_slice(&[56, 0, 1, 0]);
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes[72..80].copy_from_slice(&120u64.to_le_bytes());
        bytes[96..104].copy_from_slice(&16u64.to_le_bytes());
        bytes[120..128].copy_from_slice(&tag.to_le_bytes());
        bytes
    }

    #[track_caller]
    fn check(program: &[u8], complaint: Option<&str>) {
        let said = check_static(program).err().map(|error| error.to_string());
        assert_eq!(said.as_deref(), complaint);
    }

    #[test]
    fn a_program_that_wants_others_is_refused() {
        check(&program(elf::PT_LOAD, elf::DT_NEEDED), None);
        check(&program(elf::PT_DYNAMIC, elf::DT_FLAGS), None);
        check(&program(elf::PT_DYNAMIC, elf::DT_NEEDED), Some("it wants libraries (DT_NEEDED)"));
        check(&program(elf::PT_INTERP, 0), Some("it wants a loader (PT_INTERP)"));
        check(b"#!/bin/sh", Some("no 64-bit program"));
    }
}
