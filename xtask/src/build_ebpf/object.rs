//! What is done to an object after it was linked: debug sections out, forbidden symbols found.

use anyhow::{Context as _, Result, bail};
use object::{
    build::{
        ByteString,
        elf::{Builder, SectionData},
    },
    elf,
};

/// Parts of a symbol's name that only a reachable panic brings in. The verifier would refuse the
/// program with "last insn is not an exit or jmp", without a word on where it came from.
const PANIC_MARKS: [&str; 3] = ["panic", "unwrap_failed", "expect_failed"];

/// The object without DWARF. `.BTF` and `.BTF.ext` stay: the kernel reads them.
pub fn without_debug_sections(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object).context("the linked file is not an ELF object")?;
    for section in builder.sections.iter_mut() {
        section.delete = is_debug(&section.name);
    }
    builder.delete_orphans();
    name_sections(&mut builder);
    let mut stripped = Vec::new();
    builder.write(&mut stripped).context("cannot write the object without debug sections")?;
    Ok(stripped)
}

/// The linker keeps names of sections and symbols in one table; the writer wants one for each.
fn name_sections(builder: &mut Builder<'_>) {
    let names = builder.sections.add();
    names.name = b".shstrtab"[..].into();
    names.sh_type = elf::SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
}

/// Refuses an object with a symbol that is not defined in it, or that belongs to a panic.
pub fn check_symbols(object: &[u8]) -> Result<()> {
    let builder = Builder::read(object).context("not an ELF object")?;
    for symbol in &builder.symbols {
        let name = text(&symbol.name);
        if symbol.section.is_none() && symbol.st_shndx == elf::SHN_UNDEF {
            bail!("symbol `{name}` is used in the object but not defined in it");
        }
        if symbol.st_type() == elf::STT_FUNC && PANIC_MARKS.iter().any(|mark| name.contains(mark)) {
            bail!("function `{name}` is in the object, so some code can reach a panic");
        }
    }
    Ok(())
}

/// The bytes of one section.
pub fn section<'a>(object: &'a [u8], name: &str) -> Result<&'a [u8]> {
    use object::read::{Object as _, ObjectSection as _, elf::ElfFile64};
    let file: ElfFile64<'a> = ElfFile64::parse(object).context("not a 64-bit ELF object")?;
    let section =
        file.section_by_name(name).with_context(|| format!("the object has no {name} section"))?;
    Ok(section.data()?)
}

fn is_debug(name: &ByteString<'_>) -> bool {
    let name = text(name);
    name.strip_prefix(".rel").unwrap_or(&name).starts_with(".debug_")
}

fn text(name: &ByteString<'_>) -> String {
    String::from_utf8_lossy(name.as_slice()).into_owned()
}
