//! Names of nf_tables' tables and chains, over netlink. Newer iptables makes its chains there too.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

/// nf_tables' number among nfnetlink's subsystems, in the upper byte of a message's type.
const NF_TABLES: u16 = 10 << 8;
const GET_TABLE: u16 = NF_TABLES | 1;
const GET_CHAIN: u16 = NF_TABLES | 4;
/// Attributes of a table, and of a chain.
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;

/// Bytes of netlink's header, of nfnetlink's after it, and of an attribute's.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
/// A request for everything there is.
const REQUEST_DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Room for what the kernel sends at a time.
const RECEIVE_BYTES: usize = 64 * 1024;

/// A chain.
pub(super) struct Chain {
    pub(super) family: &'static str,
    pub(super) table: String,
    pub(super) name: String,
}

/// Family and name of each table in this thread's network namespace.
pub(super) fn tables() -> io::Result<Vec<(&'static str, String)>> {
    let objects = dump(GET_TABLE)?;
    Ok(objects.iter().filter_map(|table| Some((table.family?, table.text(TABLE_NAME)?))).collect())
}

/// Each chain in this thread's network namespace.
pub(super) fn chains() -> io::Result<Vec<Chain>> {
    let chain = |object: &Object| {
        let (table, name) = (object.text(CHAIN_TABLE)?, object.text(CHAIN_NAME)?);
        Some(Chain { family: object.family?, table, name })
    };
    Ok(dump(GET_CHAIN)?.iter().filter_map(chain).collect())
}

struct Object {
    /// `None`: none that Services have to do with.
    family: Option<&'static str>,
    attributes: Vec<u8>,
}

impl Object {
    fn text(&self, wanted: u16) -> Option<String> {
        let mut rest = self.attributes.as_slice();
        loop {
            let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
            let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
            let value = rest.get(ATTRIBUTE_HEADER..length)?;
            if kind == wanted {
                return Some(String::from_utf8_lossy(value).trim_end_matches('\0').to_owned());
            }
            rest = rest.get(length.next_multiple_of(4)..)?;
        }
    }
}

fn dump(request: u16) -> io::Result<Vec<Object>> {
    let family = SockProtocol::NetlinkNetFilter;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, family)?;
    let length = (HEADER + FAMILY_HEADER) as u32;
    let mut message = Vec::with_capacity(length as usize);
    message.extend(length.to_ne_bytes());
    message.extend(request.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    // Sequence number, the sender's port, and objects of all families.
    message.extend([0; 8 + FAMILY_HEADER]);
    sendto(socket.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    answers(&socket)
}

fn answers(socket: &OwnedFd) -> io::Result<Vec<Object>> {
    let mut objects = Vec::new();
    let mut buffer = vec![0; RECEIVE_BYTES];
    loop {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            let (kind, payload, after) =
                message(rest).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
            match kind {
                DONE => return Ok(objects),
                ERROR => return Err(refusal(payload)),
                _ => objects.extend(object(payload)),
            }
            rest = after;
        }
    }
}

/// The first message: its type, its payload and what comes after.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some((kind, bytes.get(HEADER..length)?, after))
}

fn object(payload: &[u8]) -> Option<Object> {
    let family = match payload.first()? {
        1 => Some("inet"),
        2 => Some("ip"),
        10 => Some("ip6"),
        _ => None,
    };
    Some(Object { family, attributes: payload.get(FAMILY_HEADER..)?.to_vec() })
}

/// An error starts with its number, negative.
fn refusal(payload: &[u8]) -> io::Error {
    let number = payload.first_chunk().map_or(0, |number| i32::from_ne_bytes(*number));
    io::Error::from_raw_os_error(-number)
}
