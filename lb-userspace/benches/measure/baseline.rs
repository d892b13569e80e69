//! Programs to hold ours against, written in the kernel's own instructions so that nothing but
//! what stands here runs: one that does nothing, at XDP and at tc, and one at XDP that does what
//! any load balancer must: read addresses and ports, swap the Ethernet addresses, send the frame
//! back.

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{Program, SchedClassifier, Xdp},
};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object, Symbol, SymbolSection},
};

const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;
const TC_ACT_UNSPEC: i32 = -1;

/// Does nothing at XDP.
pub fn empty_xdp() -> Result<Baseline> {
    Baseline::load("xdp", &[set(0, XDP_PASS), EXIT])
}

/// Does nothing at tc.
pub fn empty_tc() -> Result<Baseline> {
    Baseline::load("classifier", &[set(0, TC_ACT_UNSPEC), EXIT])
}

/// Reads the 5-tuple of a TCP packet of either family and sends the frame back.
pub fn parse_and_send() -> Result<Baseline> {
    Baseline::load("xdp", &PARSE_AND_SEND)
}

/// A loaded program.
pub struct Baseline(Ebpf);

impl Baseline {
    fn load(section: &str, code: &[Instruction]) -> Result<Self> {
        let mut ebpf = Ebpf::load(&elf(section, &code.concat())?)?;
        match ebpf.program_mut(NAME).context("no program in the object")? {
            Program::Xdp(program) => program.load()?,
            Program::SchedClassifier(program) => program.load()?,
            other => anyhow::bail!("a program of type {:?}", other.prog_type()),
        }
        Ok(Self(ebpf))
    }

    /// As a program at XDP.
    pub fn xdp(&self) -> Result<&Xdp> {
        Ok(self.0.program(NAME).context("no program")?.try_into()?)
    }

    /// As a program at tc.
    pub fn tc(&self) -> Result<&SchedClassifier> {
        Ok(self.0.program(NAME).context("no program")?.try_into()?)
    }
}

const NAME: &str = "baseline";

/// An object file with one program in it, as the loader wants it.
fn elf(section: &str, code: &[u8]) -> Result<Vec<u8>> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let license = object.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    object.append_section_data(license, b"Dual MIT/GPL\0", 1);
    let text = object.add_section(Vec::new(), section.into(), SectionKind::Text);
    let value = object.append_section_data(text, code, 8);
    object.add_symbol(Symbol {
        name: NAME.into(),
        value,
        size: code.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    });
    Ok(object.write()?)
}

/// Operation, registers (source in the upper half), 16-bit offset, 32-bit value.
type Instruction = [u8; 8];

const fn instruction(operation: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    let [o0, o1] = offset.to_le_bytes();
    let [v0, v1, v2, v3] = value.to_le_bytes();
    [operation, from << 4 | to, o0, o1, v0, v1, v2, v3]
}

/// Sizes of loads and stores.
const WORD: u8 = 0x00;
const HALF: u8 = 0x08;
const BYTE: u8 = 0x10;
const LONG: u8 = 0x18;

const fn load(size: u8, to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x61 | size, to, from, offset, 0)
}

const fn store(size: u8, to: u8, offset: i16, from: u8) -> Instruction {
    instruction(0x63 | size, to, from, offset, 0)
}

const fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbf, to, from, 0, 0)
}

const fn set(to: u8, value: i32) -> Instruction {
    instruction(0xb7, to, 0, 0, value)
}

const fn add(to: u8, value: i32) -> Instruction {
    instruction(0x07, to, 0, 0, value)
}

/// Jumps count from the instruction behind them.
const fn jump(by: i16) -> Instruction {
    instruction(0x05, 0, 0, by, 0)
}

const fn jump_if_greater(a: u8, b: u8, by: i16) -> Instruction {
    instruction(0x2d, a, b, by, 0)
}

const fn jump_if_equal(a: u8, value: i32, by: i16) -> Instruction {
    instruction(0x15, a, 0, by, value)
}

const fn jump_unless_equal(a: u8, value: i32, by: i16) -> Instruction {
    instruction(0x55, a, 0, by, value)
}

const EXIT: Instruction = instruction(0x95, 0, 0, 0, 0);

/// Protocol numbers as a little-endian processor loads them.
const IPV4: i32 = 0x0008;
const IPV6: i32 = 0xdd86;
const TCP: i32 = 6;

/// Register 1 is the context, 2 the frame, 3 its end. Loads whose value nobody uses are executed
/// all the same: the kernel removes only code that cannot be reached.
const PARSE_AND_SEND: [Instruction; 36] = [
    load(WORD, 2, 1, 0),
    load(WORD, 3, 1, 4),
    copy(4, 2),
    add(4, 14 + 20 + 20),
    jump_if_greater(4, 3, 29),
    load(HALF, 5, 2, 12),
    jump_if_equal(5, IPV6, 7),
    jump_unless_equal(5, IPV4, 26),
    load(BYTE, 5, 2, 14 + 9),
    jump_unless_equal(5, TCP, 24),
    load(WORD, 5, 2, 14 + 12),
    load(WORD, 5, 2, 14 + 16),
    load(WORD, 5, 2, 14 + 20),
    jump(10),
    // IPv6:
    copy(4, 2),
    add(4, 14 + 40 + 20),
    jump_if_greater(4, 3, 17),
    load(BYTE, 5, 2, 14 + 6),
    jump_unless_equal(5, TCP, 15),
    load(LONG, 5, 2, 14 + 8),
    load(LONG, 5, 2, 14 + 16),
    load(LONG, 5, 2, 14 + 24),
    load(LONG, 5, 2, 14 + 32),
    load(WORD, 5, 2, 14 + 40),
    // Swap and send:
    load(WORD, 5, 2, 0),
    load(HALF, 6, 2, 4),
    load(WORD, 7, 2, 6),
    load(HALF, 8, 2, 10),
    store(WORD, 2, 0, 7),
    store(HALF, 2, 4, 8),
    store(WORD, 2, 6, 5),
    store(HALF, 2, 10, 6),
    set(0, XDP_TX),
    EXIT,
    // Not for us:
    set(0, XDP_PASS),
    EXIT,
];
