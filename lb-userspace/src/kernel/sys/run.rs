//! Running a program that sits on no hook.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use super::{bpf, command};

/// Attributes of `PROG_TEST_RUN`; what follows in the kernel's structure is zero for us.
#[repr(C)]
struct Run {
    program: u32,
    result: u32,
    packet_length: u32,
    output_length: u32,
    packet: u64,
    output: u64,
    repeat: u32,
    duration: u32,
}

/// Runs a program of traffic control `times` over on a packet of zeros that goes nowhere. Gives what
/// the last run returned.
pub fn run_program(program: BorrowedFd<'_>, times: u32) -> io::Result<u32> {
    /// As short as an Ethernet header may be.
    const PACKET: [u8; 14] = [0; 14];

    let mut attributes = Run {
        program: program.as_raw_fd() as u32,
        result: 0,
        packet_length: PACKET.len() as u32,
        output_length: 0,
        packet: PACKET.as_ptr() as u64,
        output: 0,
        repeat: times,
        duration: 0,
    };
    // SAFETY: `Run` is laid out as the head of these attributes; the kernel reads the packet, which
    // outlives the call, and nothing is asked to be written.
    unsafe { bpf(command::PROG_TEST_RUN, &mut attributes) }?;
    Ok(attributes.result)
}
