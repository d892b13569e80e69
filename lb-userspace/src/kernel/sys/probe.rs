//! Questions to the kernel whose answer is an error number.

use std::io;

use super::{bpf, command};

/// No open file has this descriptor.
const NO_FILE: u32 = u32::MAX;

/// Whether links exist: a command that the kernel does not know is an invalid argument, one that
/// it knows misses its file.
pub fn links_supported() -> bool {
    let mut attributes = [NO_FILE, 0, 0, 0];
    // SAFETY: the head of `LINK_CREATE`'s attributes, without any address.
    let result = unsafe { bpf(command::LINK_CREATE, &mut attributes) };
    is_bad_file(result)
}

/// Whether batches exist.
pub fn batch_supported() -> bool {
    let mut attributes = [0u64, 0, 0, 0, u64::from(NO_FILE) << 32 | 1, 0, 0];
    // SAFETY: shaped as the batch attributes; the map does not exist, so no address is used.
    let result = unsafe { bpf(command::MAP_UPDATE_BATCH, &mut attributes) };
    is_bad_file(result)
}

fn is_bad_file(result: io::Result<libc::c_long>) -> bool {
    matches!(result, Err(error) if error.raw_os_error() == Some(libc::EBADF))
}

/// Attributes of `PROG_LOAD`, up to the attach type.
#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    attach_type: u32,
}

/// Whether the kernel accepts a program of this kind for this hook, with these program
/// flags. `code` is in the encoding of
/// BPF, one word an instruction.
pub fn program_loads(kind: u32, attach_type: u32, flags: u32, code: &[u64]) -> bool {
    let mut attributes = Load {
        kind,
        instruction_count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        licence: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags,
        name: [0; 16],
        ifindex: 0,
        attach_type,
    };
    // SAFETY: `Load` is laid out as these attributes are; code and licence outlive the call and
    // are only read.
    unsafe { bpf(command::PROG_LOAD, &mut attributes) }.map(super::own).is_ok()
}
