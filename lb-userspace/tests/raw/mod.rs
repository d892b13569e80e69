//! Programs written in the kernel's own instructions, so that nothing but what stands in them runs:
//! what measurements hold ours against, and what makes packets and takes them in.

pub mod generator;
pub mod sink;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    programs::{Program, SchedClassifier, Xdp},
};
use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{Object, Symbol, SymbolSection},
};

/// A loaded program.
pub struct Raw(Ebpf);

impl Raw {
    /// A program at XDP.
    pub fn at_xdp(code: &[Instruction]) -> Result<Self> {
        Self::load("xdp", code)
    }

    /// A program at tc.
    pub fn at_tc(code: &[Instruction]) -> Result<Self> {
        Self::load("classifier", code)
    }

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

    /// The same, to be attached; it stays so while this value lives.
    pub fn xdp_mut(&mut self) -> Result<&mut Xdp> {
        Ok(self.0.program_mut(NAME).context("no program")?.try_into()?)
    }

    /// As a program at tc.
    pub fn tc(&self) -> Result<&SchedClassifier> {
        Ok(self.0.program(NAME).context("no program")?.try_into()?)
    }
}

const NAME: &str = "raw";

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
pub type Instruction = [u8; 8];

const fn instruction(operation: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
    let [o0, o1] = offset.to_le_bytes();
    let [v0, v1, v2, v3] = value.to_le_bytes();
    [operation, from << 4 | to, o0, o1, v0, v1, v2, v3]
}

/// Sizes of loads and stores.
pub const WORD: u8 = 0x00;
pub const HALF: u8 = 0x08;
pub const BYTE: u8 = 0x10;
pub const LONG: u8 = 0x18;

pub const fn load(size: u8, to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x61 | size, to, from, offset, 0)
}

pub const fn store(size: u8, to: u8, offset: i16, from: u8) -> Instruction {
    instruction(0x63 | size, to, from, offset, 0)
}

pub const fn write(size: u8, to: u8, offset: i16, value: i32) -> Instruction {
    instruction(0x62 | size, to, 0, offset, value)
}

pub const fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbf, to, from, 0, 0)
}

pub const fn set(to: u8, value: i32) -> Instruction {
    instruction(0xb7, to, 0, 0, value)
}

pub const fn add(to: u8, value: i32) -> Instruction {
    instruction(0x07, to, 0, 0, value)
}

/// Jumps count from the instruction behind them.
pub const fn jump(by: i16) -> Instruction {
    instruction(0x05, 0, 0, by, 0)
}

pub const fn jump_if_greater(a: u8, b: u8, by: i16) -> Instruction {
    instruction(0x2d, a, b, by, 0)
}

pub const fn jump_if_equal(a: u8, value: i32, by: i16) -> Instruction {
    instruction(0x15, a, 0, by, value)
}

pub const fn jump_unless_equal(a: u8, value: i32, by: i16) -> Instruction {
    instruction(0x55, a, 0, by, value)
}

pub const fn multiply(to: u8, value: i32) -> Instruction {
    instruction(0x27, to, 0, 0, value)
}

pub const fn and(to: u8, value: i32) -> Instruction {
    instruction(0x57, to, 0, 0, value)
}

pub const fn exclusive_or(to: u8, value: i32) -> Instruction {
    instruction(0xa7, to, 0, 0, value)
}

pub const fn shift_right(to: u8, bits: i32) -> Instruction {
    instruction(0x77, to, 0, 0, bits)
}

/// Turns the lower sixteen bits into the order of the network, and clears the others.
pub const fn network_order(to: u8) -> Instruction {
    instruction(0xdc, to, 0, 0, 16)
}

/// Calls one of the kernel's functions, by its number.
pub const fn call(function: i32) -> Instruction {
    instruction(0x85, 0, 0, 0, function)
}

pub const EXIT: Instruction = instruction(0x95, 0, 0, 0, 0);

/// Numbers of functions of the kernel.
pub const RANDOM: i32 = 7;
pub const REDIRECT: i32 = 23;

pub const XDP_DROP: i32 = 1;
pub const XDP_PASS: i32 = 2;
pub const XDP_TX: i32 = 3;
pub const TC_ACT_UNSPEC: i32 = -1;

/// Protocol numbers as a little-endian processor loads them.
pub const IPV4: i32 = 0x0008;
pub const IPV6: i32 = 0xdd86;
pub const TCP: i32 = 6;
pub const UDP: i32 = 17;
