//! The object's type information (BTF): read far enough to know that every kernel takes its names,
//! and loaded into this kernel where we may.
//!
//! The agent's loader goes on without BTF if the kernel refuses it, and then fails much later on
//! something else; so it is found out here.

use anyhow::{Context as _, Result, bail};

const HEADER: usize = 24;
const MAGIC: u32 = 0xeb9f;
/// Name, kind with number of entries, size: what every type begins with.
const TYPE: usize = 12;

/// What follows the beginning of a type.
struct Tail {
    /// Bytes an entry.
    size: usize,
    entries: usize,
    /// Whether each entry begins with a name.
    named: bool,
}

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
        let name = string(strings, word(types, at)?)?;
        check_name(kind, name)?;
        at += TYPE;
        let tail = tail(kind, (info & 0xffff) as usize);
        for entry in 0..if tail.named { tail.entries } else { 0 } {
            let part = string(strings, word(types, at + entry * tail.size)?)?;
            if !part.is_empty() && !is_identifier(part) {
                bail!("BTF: `{part}` within `{name}` is not a name the kernel takes");
            }
        }
        at += tail.entries * tail.size;
        count += 1;
    }
    Ok(count)
}

fn tail(kind: u32, entries: usize) -> Tail {
    match kind {
        kind::INT | kind::VARIABLE | kind::DECLARATION_TAG => {
            Tail { size: 4, entries: 1, named: false }
        }
        kind::ARRAY => Tail { size: 12, entries: 1, named: false },
        kind::STRUCT | kind::UNION | kind::ENUM64 => Tail { size: 12, entries, named: true },
        kind::ENUM | kind::PROTOTYPE => Tail { size: 8, entries, named: true },
        kind::SECTION => Tail { size: 12, entries, named: false },
        _ => Tail { size: 0, entries: 0, named: false },
    }
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

#[cfg(test)]
mod tests {
    use super::check_names;

    /// A section with the given types (words) and strings.
    fn section(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let length = types.len() as u32 * 4;
        let header = [0x0001_eb9f, 24, 0, length, length, strings.len() as u32];
        let words = header.iter().chain(types).flat_map(|word| word.to_le_bytes());
        words.chain(strings.iter().copied()).collect()
    }

    #[track_caller]
    fn check(types: &[u32], strings: &[u8], expected: Result<usize, &str>) {
        let found = check_names(&section(types, strings)).map_err(|error| error.to_string());
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn names_are_held_to_the_strictest_kernel() {
        const UNION: u32 = 5 << 24;
        check(&[1, UNION, 8], b"\0MaybeUninit_3C_u8_3E_\0", Ok(1));
        check(&[1, UNION, 8], b"\0MaybeUninit<u8>\0", Err("`MaybeUninit<u8>`"));
        check(&[0, UNION, 8], b"\0", Ok(1));
    }

    #[test]
    fn names_of_members_count_too_and_the_walk_keeps_in_step() {
        const STRUCT_OF_TWO: u32 = 4 << 24 | 2;
        const INT: u32 = 1 << 24;
        let types = [1, STRUCT_OF_TWO, 8, 3, 2, 0, 5, 2, 32, 3, INT, 4, 32];
        check(&types, b"\0S\0a\0b\0", Ok(2));
        check(&types, b"\0S\0a\0-\0", Err("`-` within `S`"));
    }

    #[test]
    fn a_cut_off_section_is_an_error_and_not_a_panic() {
        check(&[1, 4 << 24 | 9, 8], b"\0S\0", Err("cut off"));
        check(&[99, 4 << 24, 8], b"\0S\0", Err("outside the strings"));
        assert!(check_names(&[]).is_err());
    }
}
