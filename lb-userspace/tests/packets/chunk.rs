//! SCTP packets: building them, and their checksum, byte by byte over all of a packet.

use std::net::SocketAddr;

use etherparse::IpNumber;

use crate::message;

/// SCTP's protocol number.
pub const SCTP: IpNumber = IpNumber(132);
/// What the client put in its INIT: who answers shows it.
pub const CLIENT_TAG: u32 = 0xc11e_0001;
/// What packets towards the backend show.
pub const BACKEND_TAG: u32 = 0xbac0_0002;

/// The first chunk of a packet, which is all there is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chunk {
    /// With so many bytes.
    Data(usize),
    Init,
    InitAck,
    Abort,
    Shutdown,
    ShutdownAck,
    CookieEcho,
    CookieAck,
    ShutdownComplete,
}

impl Chunk {
    /// Type, flags and value.
    fn parts(self) -> (u8, u8, Vec<u8>) {
        match self {
            Self::Data(length) => {
                // TSN, stream, number, protocol of the payload; and the payload.
                let payload = (0..length).map(|at| (at * 13 + at / 251) as u8);
                (0, 3, [0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0].into_iter().chain(payload).collect())
            }
            Self::Init | Self::InitAck => {
                let rest = [0, 1, 0, 0, 0, 10, 0, 10, 0, 0, 0, 7];
                let value = CLIENT_TAG.to_be_bytes().into_iter().chain(rest).collect();
                (if self == Self::Init { 1 } else { 2 }, 0, value)
            }
            Self::Abort => (6, 0, Vec::new()),
            Self::Shutdown => (7, 0, vec![0, 0, 0, 9]),
            Self::ShutdownAck => (8, 0, Vec::new()),
            Self::CookieEcho => (10, 0, b"a cookie".to_vec()),
            Self::CookieAck => (11, 0, Vec::new()),
            Self::ShutdownComplete => (14, 0, Vec::new()),
        }
    }
}

/// A packet. An INIT shows no tag, as it is the first one.
pub fn sctp(from: SocketAddr, to: SocketAddr, chunk: Chunk) -> Vec<u8> {
    let (kind, flags, value) = chunk.parts();
    let tag = if chunk == Chunk::Init { 0 } else { BACKEND_TAG };
    packet(from, to, tag, [kind, flags], &value)
}

/// The ABORT that a host without such a port sends.
pub fn abort(from: SocketAddr, to: SocketAddr, tag: u32, flags: u8) -> Vec<u8> {
    packet(from, to, tag, [6, flags], &[])
}

fn packet(from: SocketAddr, to: SocketAddr, tag: u32, kind: [u8; 2], value: &[u8]) -> Vec<u8> {
    let mut bytes = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(kind);
    bytes.extend((value.len() as u16 + 4).to_be_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let field = checksum(&bytes);
    bytes[8..12].copy_from_slice(&field);
    let mut frame = Vec::new();
    message::ip(from.ip(), to.ip(), 64).write(&mut frame, SCTP, &bytes).unwrap();
    frame
}

/// The checksum field of an SCTP packet, whatever it holds (RFC 9260, appendix A).
pub fn checksum(packet: &[u8]) -> [u8; 4] {
    let mut crc = !0_u32;
    for (at, byte) in packet.iter().enumerate() {
        crc ^= if (8..12).contains(&at) { 0 } else { u32::from(*byte) };
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    (!crc).to_le_bytes()
}

/// Ports of an SCTP packet, whose checksum must be right; or must be missing.
#[track_caller]
pub fn ports(packet: &[u8], is_partial: bool) -> (u16, u16) {
    let expected = if is_partial { [0; 4] } else { checksum(packet) };
    assert_eq!(packet[8..12], expected, "SCTP checksum");
    let port = |at| u16::from_be_bytes([packet[at], packet[at + 1]]);
    (port(0), port(2))
}
