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
    if builder.sections.iter().any(|one| matches!(one.data, SectionData::SectionString)) {
        return;
    }
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

#[cfg(test)]
mod tests {
    use super::{check_symbols, is_debug, without_debug_sections};
    use object::{
        build::elf::{Builder, SectionData},
        elf,
    };

    /// An object with one program section, one debug section, and one symbol of this name, which
    /// is defined in it or not.
    fn object(symbol: &'static str, defined: bool) -> Vec<u8> {
        let mut builder = Builder::new(object::Endianness::Little, true);
        builder.header.e_type = elf::ET_REL;
        builder.header.e_machine = elf::EM_BPF;
        let mut add = |name: &'static str, kind, data| {
            let section = builder.sections.add();
            section.name = name.as_bytes().into();
            section.sh_type = kind;
            section.data = data;
            section.id()
        };
        let program = add("xdp", elf::SHT_PROGBITS, SectionData::Data(b"code"[..].into()));
        add(".debug_info", elf::SHT_PROGBITS, SectionData::Data(b"dwarf"[..].into()));
        let strings = add(".strtab", elf::SHT_STRTAB, SectionData::String);
        let symbols = add(".symtab", elf::SHT_SYMTAB, SectionData::Symbol);
        builder.sections.get_mut(symbols).sh_link_section = Some(strings);
        super::name_sections(&mut builder);
        let entry = builder.symbols.add();
        entry.name = symbol.as_bytes().into();
        entry.set_st_info(elf::STB_GLOBAL, elf::STT_FUNC);
        entry.section = defined.then_some(program);
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        bytes
    }

    #[track_caller]
    fn check(symbol: &'static str, defined: bool, expected: Option<&str>) {
        let found = check_symbols(&object(symbol, defined)).err().map(|error| error.to_string());
        match expected {
            Some(part) => {
                assert!(found.as_ref().is_some_and(|text| text.contains(part)), "{found:?}")
            }
            None => assert_eq!(found, None),
        }
    }

    #[test]
    fn symbols_from_elsewhere_and_panics_are_refused() {
        check("xdp_ingress", true, None);
        check("memcpy", false, Some("`memcpy` is used in the object but not defined"));
        check("_RN4core9panicking18panic_bounds_check", true, Some("can reach a panic"));
    }

    #[test]
    fn debug_sections_go_and_the_rest_stays() {
        let stripped = without_debug_sections(&object("xdp_ingress", true)).unwrap();
        assert_eq!(super::section(&stripped, "xdp").unwrap(), b"code");
        assert!(super::section(&stripped, ".debug_info").is_err());
        check_symbols(&stripped).unwrap();
        assert!(is_debug(&b".rel.debug_line"[..].into()) && !is_debug(&b".rel.BTF"[..].into()));
    }
}
