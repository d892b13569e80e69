//! As much of netlink as is needed for families that rtnetlink does not speak: messages built and
//! taken apart attribute by attribute, and one request at a time.

mod message;

use std::io;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use std::os::fd::{AsRawFd, OwnedFd};

pub(crate) use message::{Attributes, Message, attributes, text};

use crate::error::{During, Error, Result};

/// Message types below this one are netlink's own.
const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;
/// Room for what the kernel sends at a time.
const RECEIVE_BYTES: usize = 64 * 1024;

/// A socket of one netlink family, in the namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
}

/// What came back for a request: type and payload of each message.
pub(crate) type Answers = Vec<(u16, Vec<u8>)>;

impl Netlink {
    pub(crate) fn open(family: SockProtocol) -> Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, family)
            .during("open", format_args!("a netlink socket for {family:?}"))?;
        Ok(Self { socket })
    }

    /// Sends messages that each ask for an acknowledgement or a dump, and returns what was
    /// answered. `last` is the number of the message whose acknowledgement ends the exchange.
    pub(crate) fn request(
        &self,
        operation: &'static str,
        messages: &[Message],
        last: u32,
    ) -> Result<Answers> {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| message.bytes()).collect();
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.socket.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())
            .during("ask the kernel to", operation)?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; RECEIVE_BYTES];
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .during("hear the kernel about", operation)?;
            for part in message::split(&buffer[..length]) {
                let part = part.ok_or(Error::ShortAnswer { operation })?;
                match part.kind {
                    TYPE_ERROR => {
                        succeeded(part.payload, operation)?;
                        if part.sequence == last {
                            return Ok(answers);
                        }
                    }
                    TYPE_DONE => return Ok(answers),
                    kind => answers.push((kind, part.payload.to_vec())),
                }
            }
        }
    }
}

/// An acknowledgement starts with a negative error number, or zero.
fn succeeded(payload: &[u8], operation: &'static str) -> Result<()> {
    let number = payload.first_chunk().ok_or(Error::ShortAnswer { operation })?;
    match i32::from_ne_bytes(*number) {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(-number)).during("let the kernel", operation),
    }
}
