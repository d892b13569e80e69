//! Which devices take XDP frames that are sent out of them: generic netlink's family `netdev` (6.3).
//!
//! A veth device takes them while its far end polls, which nothing else tells from here. A kernel
//! without the family tells of none.

use std::{collections::BTreeSet, future, io};

use rtnetlink::sys::{
    AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_GENERIC,
};

/// The family that knows the others, and the one that is asked.
const CONTROL: u16 = 16;
const FAMILY: &[u8] = b"netdev\0";
/// Its group of those who want to hear of changes.
const GROUP: &[u8] = b"mgmt\0";

/// Requests, and the attributes of what they answer.
const GET_FAMILY: u8 = 3;
const FAMILY_NUMBER: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FAMILY_GROUPS: u16 = 7;
const GROUP_NAME: u16 = 1;
const GROUP_NUMBER: u16 = 2;
const GET_DEVICES: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_FEATURES: u16 = 3;
/// What a device must be able to do: send frames of one buffer, and of several.
const SENDS: u64 = 1 << 2 | 1 << 6;

/// Kinds of messages that end an answer.
const ERROR: u16 = 2;
const DONE: u16 = 3;
const REQUEST: u16 = 1 << 0;
const ALL: u16 = 0x300;

const MESSAGE_HEADER: usize = 16;
const GENERIC_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

/// The devices, by ifindex, that take frames.
pub(super) async fn takers() -> BTreeSet<u32> {
    let asked = async {
        let socket = open()?;
        let family = family(&socket).await?;
        let answers = ask(&socket, &request(family.number, ALL, GET_DEVICES, &[])).await?;
        io::Result::Ok(answers.iter().filter_map(|list| taker(list)).collect())
    };
    asked.await.unwrap_or_else(|error| {
        tracing::debug!("nothing is known of devices that take XDP frames: {error}");
        BTreeSet::new()
    })
}

/// News of devices that take frames, or no longer.
pub(super) struct Changes(Option<TokioSocket>);

impl Changes {
    /// Subscribes, if this kernel has such news.
    pub(super) async fn subscribe() -> Self {
        let subscribed = async {
            let mut socket = open()?;
            let group = family(&socket).await?.group.ok_or(io::ErrorKind::NotFound)?;
            socket.socket_mut().add_membership(group)?;
            io::Result::Ok(socket)
        };
        Self(subscribed.await.ok())
    }

    /// Waits for some; what they say is left to [`takers`].
    pub(super) async fn next(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        match &self.0 {
            Some(socket) => socket.recv(bytes).await,
            None => future::pending().await,
        }
    }
}

fn open() -> io::Result<TokioSocket> {
    let mut socket = TokioSocket::new(NETLINK_GENERIC)?;
    socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// The numbers that the kernel gave the family when it began.
struct Family {
    number: u16,
    group: Option<u32>,
}

async fn family(socket: &TokioSocket) -> io::Result<Family> {
    let answers =
        ask(socket, &request(CONTROL, 0, GET_FAMILY, &attribute(FAMILY_NAME, FAMILY))).await?;
    let mut all = answers.iter().flat_map(|list| attributes(list));
    let number = all.find(|(kind, _)| *kind == FAMILY_NUMBER);
    let number = number.and_then(|(_, value)| value.first_chunk().copied());
    let groups = answers.iter().flat_map(|list| within(list, FAMILY_GROUPS)).flat_map(attributes);
    let ours = |group: &[u8]| within(group, GROUP_NAME).any(|name| name == GROUP);
    let group = groups.map(|(_, group)| group).find(|group| ours(group));
    let group = group.and_then(|group| within(group, GROUP_NUMBER).next()?.first_chunk().copied());
    Ok(Family {
        number: number.map(u16::from_ne_bytes).ok_or(io::ErrorKind::InvalidData)?,
        group: group.map(u32::from_ne_bytes),
    })
}

/// A device of an answer, if it takes frames.
fn taker(list: &[u8]) -> Option<u32> {
    let features = within(list, DEVICE_FEATURES).next()?.first_chunk().copied();
    let ifindex = within(list, DEVICE_INDEX).next()?.first_chunk().copied();
    let sends = u64::from_ne_bytes(features?) & SENDS == SENDS;
    ifindex.map(u32::from_ne_bytes).filter(|_| sends)
}

/// The attributes of each message of an answer.
async fn ask(socket: &TokioSocket, request: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    socket.send_to(request, &SocketAddr::new(0, 0)).await?;
    let mut answers = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full().await?;
        if gather(&bytes, &mut answers)? {
            return Ok(answers);
        }
    }
}

/// Adds the messages of one datagram to `answers`; whether they were the last ones.
fn gather(mut bytes: &[u8], answers: &mut Vec<Vec<u8>>) -> io::Result<bool> {
    /// Of a message that more follow.
    const MULTI: u16 = 1 << 1;

    let mut last = true;
    while let Some(([l0, l1, l2, l3, k0, k1, f0, f1], _)) = bytes.split_first_chunk() {
        let length = u32::from_ne_bytes([*l0, *l1, *l2, *l3]) as usize;
        let message = bytes.get(MESSAGE_HEADER..length).ok_or(io::ErrorKind::InvalidData)?;
        match u16::from_ne_bytes([*k0, *k1]) {
            DONE => return Ok(true),
            ERROR => {
                let code = message.first_chunk().copied().map_or(0, i32::from_ne_bytes);
                return Err(io::Error::from_raw_os_error(-code));
            }
            _ => answers.extend(message.get(GENERIC_HEADER..).map(<[u8]>::to_vec)),
        }
        last = u16::from_ne_bytes([*f0, *f1]) & MULTI == 0;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(last)
}

fn request(family: u16, flags: u16, command: u8, list: &[u8]) -> Vec<u8> {
    let length = (MESSAGE_HEADER + GENERIC_HEADER + list.len()) as u32;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(family.to_ne_bytes());
    bytes.extend((REQUEST | flags).to_ne_bytes());
    // Sequence number and sender are the kernel's to fill in; then command and version.
    bytes.extend([0; 8]);
    bytes.extend([command, 1, 0, 0]);
    bytes.extend(list);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (ATTRIBUTE_HEADER + value.len()) as u16;
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Kind and value of each attribute of a list, up to one that is cut short.
fn attributes(mut list: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// The others say how a value is to be read.
    const KIND: u16 = 0x3fff;

    std::iter::from_fn(move || {
        let ([l0, l1, k0, k1], _) = list.split_first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = list.get(ATTRIBUTE_HEADER..length)?;
        list = list.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([*k0, *k1]) & KIND, value))
    })
}

/// Values of the attributes of one kind.
fn within(list: &[u8], wanted: u16) -> impl Iterator<Item = &[u8]> {
    attributes(list).filter(move |(kind, _)| *kind == wanted).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device as the kernel tells of it.
    fn device(ifindex: u32, features: u64) -> Vec<u8> {
        let padding = attribute(2, &[]);
        let ifindex = attribute(DEVICE_INDEX, &ifindex.to_ne_bytes());
        [ifindex, padding, attribute(DEVICE_FEATURES, &features.to_ne_bytes())].concat()
    }

    #[test]
    fn devices_that_take_frames_of_any_length_are_found() {
        for (features, expected) in [(0x7f, Some(7)), (0x44, Some(7)), (0x04, None), (0x23, None)] {
            assert_eq!(taker(&device(7, features)), expected, "{features:#x}");
        }
        let cut_short = &device(7, 0x7f)[..20];
        assert_eq!(taker(cut_short), None);
    }

    #[test]
    fn an_answer_is_gathered_until_its_end() {
        let message = |kind: u16, flags: u16, list: &[u8]| {
            let mut bytes = request(kind, flags, GET_DEVICES, list);
            bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
            bytes
        };
        let (multi, list) = (1 << 1, device(7, 0x7f));
        let two = [message(20, multi, &list), message(20, multi, &list)].concat();
        let mut answers = Vec::new();
        assert!(!gather(&two, &mut answers).unwrap(), "more follow");
        assert!(gather(&message(DONE, multi, &[]), &mut answers).unwrap());
        assert_eq!(answers, [list.clone(), list.clone()]);
        assert!(gather(&message(20, 0, &list), &mut answers).unwrap(), "one message alone");
        assert!(gather(&two[..30], &mut answers).is_err(), "cut short");
        let mut refusal = message(ERROR, 0, &[]);
        refusal[16..20].copy_from_slice(&(-libc::ENOENT).to_ne_bytes());
        let error = gather(&refusal, &mut answers).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
