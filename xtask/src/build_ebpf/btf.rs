//! The object's type information (BTF): read far enough to know that every kernel takes its names,
//! and loaded into this kernel where we may.
//!
//! The agent's loader goes on without BTF if the kernel refuses it, and then fails much later on
//! something else; so it is found out here.

use anyhow::{Context as _, Result, bail};

const HEADER: usize = 24;
const MAGIC: u32 = 0xeb9f;
const MEMBER: usize = 12;
const PARAMETER: usize = 8;

/// The kinds of the format, as far as their names or sizes differ.
mod kind {
    pub const INT: u32 = 1;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FORWARD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const FUNCTION: u32 = 12;
    pub const PROTOTYPE: u32 = 13;
    pub const VARIABLE: u32 = 14;
    pub const SECTION: u32 = 15;
    pub const DECLARATION_TAG: u32 = 17;
    pub const ENUM64: u32 = 19;
}

/// Walks the `.BTF` section and refuses a name that the kernel would refuse. Gives the number of
/// types.
pub fn check_names(btf: &[u8]) -> Result<usize> {
    let (types, strings) = parts(btf)?;
    let mut at = 0;
    let mut count = 0;
    while at < types.len() {
        let info = word(types, at + 4)?;
        let kind = info >> 24 & 0x1f;
        let entries = (info & 0xffff) as usize;
        let name = string(strings, word(types, at)?)?;
        check_name(kind, name)?;
        at += 12;
        let (size, named) = match kind {
            kind::INT | kind::VARIABLE | kind::DECLARATION_TAG => (4, false),
            kind::ARRAY => (12, false),
            kind::STRUCT | kind::UNION => (MEMBER, true),
            kind::PROTOTYPE => (PARAMETER, true),
            kind::ENUM => (8, true),
            kind::ENUM64 => (12, true),
            kind::SECTION => (12, false),
            _ => (0, false),
        };
        let listed =
            if matches!(kind, kind::INT | kind::VARIABLE | kind::DECLARATION_TAG | kind::ARRAY) {
                1
            } else {
                entries
            };
        if named {
            for entry in 0..listed {
                let part = string(strings, word(types, at + entry * size)?)?;
                if !part.is_empty() && !is_identifier(part) {
                    bail!("BTF: `{part}` within `{name}` is not a name the kernel takes");
                }
            }
        }
        at += listed * size;
        count += 1;
    }
    Ok(count)
}

/// Type and string parts of a `.BTF` section.
fn parts(btf: &[u8]) -> Result<(&[u8], &[u8])> {
    if word(btf, 0)? & 0xffff != MAGIC {
        bail!("BTF: no little-endian BTF header");
    }
    let part = |from: usize| -> Result<&[u8]> {
        let start = HEADER + word(btf, from)? as usize;
        let length = word(btf, from + 4)? as usize;
        btf.get(start..start + length).context("BTF: a part lies outside the section")
    };
    Ok((part(8)?, part(16)?))
}

fn check_name(kind: u32, name: &str) -> Result<()> {
    let fits = match kind {
        kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => {
            name.is_empty() || is_identifier(name)
        }
        kind::FORWARD | kind::TYPEDEF | kind::FUNCTION | kind::VARIABLE => is_identifier(name),
        kind::SECTION => !name.is_empty(),
        _ => true,
    };
    if !fits {
        bail!("BTF: `{name}` (kind {kind}) is not a name the kernel takes");
    }
    Ok(())
}

/// The strictest rule of all supported kernels: a C identifier.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn word(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..at + 4).context("BTF: cut off")?;
    Ok(u32::from_le_bytes(four.try_into()?))
}

fn string(strings: &[u8], at: u32) -> Result<&str> {
    let rest = strings.get(at as usize..).context("BTF: a name lies outside the strings")?;
    let end = rest.iter().position(|byte| *byte == 0).context("BTF: a name has no end")?;
    Ok(std::str::from_utf8(&rest[..end])?)
}
