//! Links: programs held at a hook by a descriptor, with their atomic replacement.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use super::{bpf, command, own};

/// Where a link holds its program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkTarget {
    /// A cgroup, by the inode number of its folder; 0 when the cgroup is gone.
    Cgroup(u64),
    /// A device, by its ifindex; 0 when the device is gone.
    Device(u32),
    /// A kind of link that is none of ours.
    Other,
}

impl LinkTarget {
    /// Whether what the program was attached to no longer exists.
    pub fn is_severed(self) -> bool {
        matches!(self, Self::Cgroup(0) | Self::Device(0))
    }
}

/// What the kernel tells of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkInfo {
    /// The link's own number.
    pub id: u32,
    /// The program it holds now.
    pub program: u32,
    /// Where.
    pub target: LinkTarget,
}

/// Attributes of `LINK_CREATE`; what follows in the kernel's structure is zero for our hooks: last
/// in the hook's order, whatever its revision.
#[repr(C)]
struct Create {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches a program. `target` is the descriptor of a cgroup or an ifindex, as the attach type
/// wants it.
pub fn link_create(
    program: BorrowedFd<'_>,
    target: u32,
    attach_type: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd() as u32;
    let mut attributes = Create { program, target, attach_type, flags };
    // SAFETY: `Create` is the head of these attributes and holds no address.
    unsafe { bpf(command::LINK_CREATE, &mut attributes) }.map(own)
}

/// Attributes of `LINK_UPDATE`.
#[repr(C)]
struct Update {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Puts another program in the place of the one that the link holds. No packet and no call meets
/// neither of the two.
pub fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let (link, program) = (link.as_raw_fd() as u32, program.as_raw_fd() as u32);
    let mut attributes = Update { link, program, flags: 0, old_program: 0 };
    // SAFETY: `Update` is laid out as these attributes are and holds no address.
    unsafe { bpf(command::LINK_UPDATE, &mut attributes) }.map(|_| ())
}

/// Takes the program off its hook now. Closing or unpinning a link does so too, but some time
/// later.
pub fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut link = link.as_raw_fd() as u32;
    // SAFETY: the attributes of this command are the link's descriptor.
    unsafe { bpf(command::LINK_DETACH, &mut link) }.map(|_| ())
}

/// Attributes of `OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct GetInfo {
    object: u32,
    length: u32,
    info: u64,
}

/// The start of the kernel's `bpf_link_info`. The union after `pad` begins with the cgroup's
/// 64-bit number, or with a device's 32-bit one.
#[repr(C)]
#[derive(Default)]
struct RawInfo {
    kind: u32,
    id: u32,
    program: u32,
    pad: u32,
    target: [u32; 4],
}

mod kind {
    pub const CGROUP: u32 = 3;
    pub const XDP: u32 = 6;
    pub const TCX: u32 = 11;
}

/// Asks the kernel what a link is.
pub fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut raw = RawInfo::default();
    let mut attributes = GetInfo {
        object: link.as_raw_fd() as u32,
        length: size_of::<RawInfo>() as u32,
        info: std::ptr::from_mut(&mut raw) as u64,
    };
    // SAFETY: `GetInfo` is laid out as these attributes are; the kernel writes at most `length`
    // bytes to `raw`, of which every bit pattern is valid.
    unsafe { bpf(command::OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    let [low, high, ..] = raw.target.map(u32::to_ne_bytes);
    let [a, b, c, d] = low;
    let [e, f, g, h] = high;
    let target = match raw.kind {
        kind::CGROUP => LinkTarget::Cgroup(u64::from_ne_bytes([a, b, c, d, e, f, g, h])),
        kind::XDP | kind::TCX => LinkTarget::Device(u32::from_ne_bytes(low)),
        _ => LinkTarget::Other,
    };
    Ok(LinkInfo { id: raw.id, program: raw.program, target })
}
