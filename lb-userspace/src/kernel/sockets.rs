//! Closing UDP sockets whose far end is gone.
//!
//! A connected UDP socket was given its backend once, at connect(); no packet of it meets our
//! programs again. When the backend leaves its service the socket would send into the void for
//! ever, so it is closed: its owner gets an error, and connects again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::Path,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
        socket,
    },
};
use tracing::debug;

/// Closes UDP sockets connected to one of `peers`, in this thread's network namespace and in those
/// of the processes of `cgroup` and below. Returns how many were closed.
///
/// Must run on a thread of its own: it goes through the namespaces.
///
/// # Errors
///
/// The own namespace could not be served. Others are left out if they cannot.
pub fn close_udp(peers: &BTreeSet<SocketAddr>, cgroup: &Path) -> io::Result<usize> {
    let home = File::open("/proc/thread-self/ns/net")?;
    let home_inode = home.metadata()?.ino();
    let mut closed = close_here(peers)?;
    for (inode, namespace) in namespaces(cgroup) {
        if inode == home_inode {
            continue;
        }
        let there = setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
        match there.and_then(|()| close_here(peers)) {
            Ok(count) => closed += count,
            Err(error) => debug!("network namespace {inode}: {error}"),
        }
    }
    setns(&home, CloneFlags::CLONE_NEWNET)?;
    Ok(closed)
}

/// The network namespaces in which processes of a cgroup and its descendants live, by inode.
fn namespaces(cgroup: &Path) -> BTreeMap<u64, File> {
    let mut found = BTreeMap::new();
    let mut folders = vec![cgroup.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines() {
            // A process may end at any time; one that has is of no interest.
            let namespace = format!("/proc/{process}/ns/net");
            let Ok(inode) = fs::metadata(&namespace).map(|namespace| namespace.ino()) else {
                continue;
            };
            if let std::collections::btree_map::Entry::Vacant(entry) = found.entry(inode)
                && let Ok(namespace) = File::open(&namespace)
            {
                entry.insert(namespace);
            }
        }
        let children = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(children.map(|child| child.path()).filter(|path| path.is_dir()));
    }
    found
}

fn close_here(peers: &BTreeSet<SocketAddr>) -> io::Result<usize> {
    let diag = Diag::open()?;
    let mut closed = 0;
    for family in [libc::AF_INET, libc::AF_INET6] {
        for socket in diag.connected_udp(family as u8)? {
            if socket.peer().is_some_and(|peer| peers.contains(&peer)) {
                match diag.destroy(&socket) {
                    Ok(()) => closed += 1,
                    Err(error) => debug!("closing a socket to {:?}: {error}", socket.peer()),
                }
            }
        }
    }
    Ok(closed)
}

/// The kernel's `inet_diag_sockid`: ports, addresses, device and cookie of a socket.
const ID_BYTES: usize = 48;
const HEADER_BYTES: usize = 16;
const DESTROY: u16 = 21;
const BY_FAMILY: u16 = 20;
const ESTABLISHED: u32 = 1 << 1;

/// A socket as the kernel listed it.
struct Socket {
    family: u8,
    id: [u8; ID_BYTES],
}

impl Socket {
    /// From the payload of an answer: family, state, two timers, then the id.
    fn parse(answer: &[u8]) -> Option<Self> {
        let family = *answer.first()?;
        let id = answer.get(4..4 + ID_BYTES)?.try_into().ok()?;
        Some(Self { family, id })
    }

    /// Where it is connected to; IPv4 in its own form also for an IPv6 socket.
    fn peer(&self) -> Option<SocketAddr> {
        let port = u16::from_be_bytes(self.id.get(2..4)?.try_into().ok()?);
        let address = if i32::from(self.family) == libc::AF_INET {
            let bytes: [u8; 4] = self.id.get(20..24)?.try_into().ok()?;
            IpAddr::from(Ipv4Addr::from(bytes))
        } else {
            let bytes: [u8; 16] = self.id.get(20..36)?.try_into().ok()?;
            IpAddr::from(Ipv6Addr::from(bytes)).to_canonical()
        };
        Some(SocketAddr::new(address, port))
    }
}

/// A netlink socket to the kernel's list of sockets.
struct Diag(std::os::fd::OwnedFd);

impl Diag {
    fn open() -> io::Result<Self> {
        let protocol = SockProtocol::NetlinkSockDiag;
        let flags = SockFlag::SOCK_CLOEXEC;
        Ok(Self(socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?))
    }

    fn send(&self, kind: u16, flags: i32, family: u8, id: &[u8; ID_BYTES]) -> io::Result<()> {
        let request = request(kind, flags as u16, family, id);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.0.as_raw_fd(), &request, &kernel, MsgFlags::empty())?;
        Ok(())
    }

    /// The connected UDP sockets of a family in this namespace.
    fn connected_udp(&self, family: u8) -> io::Result<Vec<Socket>> {
        self.send(BY_FAMILY, libc::NLM_F_REQUEST | libc::NLM_F_DUMP, family, &[0; ID_BYTES])?;
        let mut found = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while let Some((kind, payload, after)) = next_message(rest) {
                match i32::from(kind) {
                    libc::NLMSG_DONE => return Ok(found),
                    libc::NLMSG_ERROR => return Err(answer_error(payload)),
                    _ => found.extend(Socket::parse(payload)),
                }
                rest = after;
            }
        }
    }

    fn destroy(&self, socket: &Socket) -> io::Result<()> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        self.send(DESTROY, flags, socket.family, &socket.id)?;
        let mut buffer = [0; 1024];
        let length = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        match next_message(buffer.get(..length).unwrap_or_default()) {
            Some((_, payload, _)) if payload.starts_with(&[0; 4]) => Ok(()),
            Some((_, payload, _)) => Err(answer_error(payload)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// A netlink header and the kernel's `inet_diag_req_v2`.
fn request(kind: u16, flags: u16, family: u8, id: &[u8; ID_BYTES]) -> Vec<u8> {
    let length = (HEADER_BYTES + 8 + ID_BYTES) as u32;
    let mut message = Vec::with_capacity(length as usize);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([family, libc::IPPROTO_UDP as u8, 0, 0]);
    message.extend(ESTABLISHED.to_ne_bytes());
    message.extend(id);
    message
}

/// Kind and payload of the first message, and what follows it.
fn next_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let payload = bytes.get(HEADER_BYTES..length)?;
    Some((kind, payload, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The error number that an answer starts with.
fn answer_error(payload: &[u8]) -> io::Error {
    let number = payload.get(..4).and_then(|bytes| bytes.try_into().ok());
    io::Error::from_raw_os_error(number.map_or(libc::EPROTO, |bytes| -i32::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_socket_is_listed_by_its_peer() {
        #[track_caller]
        fn check(bind: &str, family: i32) {
            let server = UdpSocket::bind(bind).unwrap();
            let client = UdpSocket::bind(bind).unwrap();
            client.connect(server.local_addr().unwrap()).unwrap();
            let sockets = Diag::open().unwrap().connected_udp(family as u8).unwrap();
            let peer = server.local_addr().unwrap();
            assert!(sockets.iter().any(|socket| socket.peer() == Some(peer)), "{peer}");
        }
        check("127.0.0.1:0", libc::AF_INET);
        check("[::1]:0", libc::AF_INET6);
    }

    #[test]
    fn messages_are_walked_to_the_end() {
        let one = request(BY_FAMILY, 0, 2, &[7; ID_BYTES]);
        let two = [one.clone(), one.clone()].concat();
        let (kind, payload, rest) = next_message(&two).unwrap();
        assert_eq!((kind, payload.len(), rest), (BY_FAMILY, 8 + ID_BYTES, one.as_slice()));
        let (_, _, rest) = next_message(rest).unwrap();
        assert!(next_message(rest).is_none());
    }
}
