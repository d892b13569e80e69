//! The system calls that aya lacks, behind safe functions: links, batches, shared memory and
//! grace periods; a packet filter's tables, to look at; and a word with the allocator. The only
//! unsafe code of this crate; nothing here decides anything.

#![expect(unsafe_code, reason = "raw system calls and shared memory")]

mod batch;
mod iptables;
mod link;
mod mapped;
mod probe;
mod run;

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

pub use batch::{delete_batch, read_all, update_batch};
pub use iptables::iptables_entries;
pub use link::{LinkInfo, LinkTarget, link_create, link_detach, link_info, link_update};
pub use mapped::{Access, Mapped, RowError};
pub use probe::{batch_supported, links_supported, program_loads};
pub use run::run_program;

/// Commands of bpf(2).
mod command {
    pub const PROG_LOAD: libc::c_int = 5;
    pub const OBJ_PIN: libc::c_int = 6;
    pub const OBJ_GET: libc::c_int = 7;
    pub const PROG_TEST_RUN: libc::c_int = 10;
    pub const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
    pub const MAP_LOOKUP_BATCH: libc::c_int = 24;
    pub const MAP_UPDATE_BATCH: libc::c_int = 26;
    pub const MAP_DELETE_BATCH: libc::c_int = 27;
    pub const LINK_CREATE: libc::c_int = 28;
    pub const LINK_UPDATE: libc::c_int = 29;
    pub const LINK_DETACH: libc::c_int = 34;
}

/// Calls bpf(2) with the attributes of one command.
///
/// # Safety
///
/// `A` is `repr(C)`, without padding, and laid out as the kernel's attributes of `command`; every
/// address in it is valid for what the command does with it, for the length of the call.
unsafe fn bpf<A>(command: libc::c_int, attributes: &mut A) -> io::Result<libc::c_long> {
    let attributes = std::ptr::from_mut(attributes);
    // SAFETY: the kernel reads and writes no more than the size it is told; the caller vouches
    // for what the attributes point to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<A>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Takes over a descriptor that bpf(2) has just returned.
fn own(descriptor: libc::c_long) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us, nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(descriptor as libc::c_int) }
}

/// Attributes of `OBJ_PIN` and `OBJ_GET`.
#[repr(C)]
struct Object {
    path: u64,
    descriptor: u32,
    flags: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|source| io::Error::new(io::ErrorKind::InvalidInput, source))
}

/// Opens what is pinned at `path`.
pub fn object_get(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attributes = Object { path: path.as_ptr() as u64, descriptor: 0, flags: 0 };
    // SAFETY: `Object` is laid out as these attributes are, and the path outlives the call.
    unsafe { bpf(command::OBJ_GET, &mut attributes) }.map(own)
}

/// Pins an object at `path`.
pub fn object_pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let descriptor = object.as_raw_fd() as u32;
    let mut attributes = Object { path: path.as_ptr() as u64, descriptor, flags: 0 };
    // SAFETY: as in `object_get`.
    unsafe { bpf(command::OBJ_PIN, &mut attributes) }.map(|_| ())
}

/// The command of membarrier(2) that waits until every CPU has passed through the scheduler: an
/// RCU grace period, after which no program that ran before the call is still running.
const MEMBARRIER_QUERY: libc::c_int = 0;
const MEMBARRIER_GLOBAL: libc::c_int = 1;

/// Whether [`wait_for_readers`] is offered by this kernel.
pub fn grace_periods_supported() -> bool {
    // SAFETY: membarrier(2) takes plain numbers and touches no memory of ours.
    let offered = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_QUERY, 0, 0) };
    offered > 0 && offered & libc::c_long::from(MEMBARRIER_GLOBAL) != 0
}

/// Waits until every program that may have read a table before this call has finished. Takes
/// milliseconds.
pub fn wait_for_readers() -> io::Result<()> {
    // SAFETY: as above.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_GLOBAL, 0, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives memory that the allocator holds free back to the kernel. What a start takes for a moment,
/// most of it for parsing and planning everything at once, would stay resident for good: the
/// allocator keeps what lies between pieces in use. Takes milliseconds.
pub fn give_memory_back() {
    // Other C libraries have no such call.
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) may be called at any time, and touches only what is free.
    unsafe {
        libc::malloc_trim(0)
    };
}
