//! Reading a table of the older packet filter.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Options of getsockopt(2); the same numbers for both families.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// Bytes of a table's name, its terminating zero included.
const NAME: usize = 32;
/// The answer to `GET_INFO`, and where in it the size of all entries stands.
const INFO: usize = 84;
const INFO_SIZE: usize = 80;
/// What stands before the entries in the answer to `GET_ENTRIES`: name, size, padding.
const ENTRIES: usize = 40;

/// The entries of a table, as the kernel has them. A table that does not exist is made by asking.
///
/// # Errors
///
/// The kernel has no such table, or it changed in between.
pub fn iptables_entries(ipv6: bool, table: &str) -> io::Result<Vec<u8>> {
    let (family, level) = match ipv6 {
        false => (AddressFamily::Inet, libc::SOL_IP),
        true => (AddressFamily::Inet6, libc::SOL_IPV6),
    };
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut info = vec![0; INFO];
    name(&mut info, table)?;
    option(&socket, level, GET_INFO, &mut info)?;
    let size = info[INFO_SIZE..].first_chunk().map_or(0, |size| u32::from_ne_bytes(*size));
    let mut entries = vec![0; ENTRIES + size as usize];
    name(&mut entries, table)?;
    entries[NAME..NAME + 4].copy_from_slice(&size.to_ne_bytes());
    option(&socket, level, GET_ENTRIES, &mut entries)?;
    Ok(entries.split_off(ENTRIES))
}

fn name(request: &mut [u8], table: &str) -> io::Result<()> {
    let bytes = table.as_bytes();
    if bytes.len() >= NAME {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    request[..bytes.len()].copy_from_slice(bytes);
    Ok(())
}

/// getsockopt(2), which here reads a request from the buffer and writes the answer over it.
fn option(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    buffer: &mut [u8],
) -> io::Result<()> {
    let mut length = buffer.len() as libc::socklen_t;
    let place = buffer.as_mut_ptr().cast();
    // SAFETY: the kernel reads and writes no more of the buffer than the length it is told.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, place, &raw mut length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
