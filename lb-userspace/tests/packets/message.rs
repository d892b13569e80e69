//! ICMP messages and fragments: building them, and putting fragments together again. Checksums are a
//! library's, computed in full.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

use crate::frame::{self, Tcp};

/// Length of an Ethernet header.
const ETHERNET: usize = 14;
/// Of the header that IPv6 fragments have.
const FRAGMENT: usize = 8;

/// A packet's beginning.
pub fn ip(from: IpAddr, to: IpAddr, ttl: u8) -> PacketBuilderStep<IpHeaders> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), ttl),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), ttl),
        _ => panic!("two families"),
    }
}

/// An ICMP message: type, code, the word behind the checksum, and what follows.
#[derive(Clone, Copy, Debug)]
pub struct Icmp<'a> {
    pub kind: [u8; 2],
    pub rest: u32,
    pub payload: &'a [u8],
}

impl Icmp<'_> {
    /// As a frame.
    pub fn frame(&self, from: IpAddr, to: IpAddr, ttl: u8) -> Vec<u8> {
        let ([kind, code], rest) = (self.kind, self.rest.to_be_bytes());
        let mut bytes = Vec::new();
        let step = ip(from, to, ttl);
        if from.is_ipv4() {
            step.icmpv4_raw(kind, code, rest).write(&mut bytes, self.payload).unwrap();
        } else {
            step.icmpv6_raw(kind, code, rest).write(&mut bytes, self.payload).unwrap();
        }
        bytes
    }
}

/// What a frame's sender would find quoted: `transport` bytes behind the network header, or all.
pub fn quote(frame: &[u8], transport: Option<usize>) -> &[u8] {
    let packet = &frame[ETHERNET..];
    let network = if packet[0] >> 4 == 6 { 40 } else { 20 };
    transport.map_or(packet, |bytes| &packet[..network + bytes])
}

/// A TCP reset without data.
pub fn reset(from: SocketAddr, to: SocketAddr, sequence: u32, ack: Option<u32>) -> Vec<u8> {
    let step = ip(from.ip(), to.ip(), 64).tcp(from.port(), to.port(), sequence, 0).rst();
    let step = match ack {
        Some(ack) => step.ack(ack),
        None => step,
    };
    let mut bytes = Vec::new();
    step.write(&mut bytes, &[]).unwrap();
    bytes
}

/// A TCP segment with this much data, or a UDP datagram.
pub fn sized(is_tcp: bool, from: SocketAddr, to: SocketAddr, length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length).map(|at| (at * 7 + at / 251) as u8).collect();
    let step = ip(from.ip(), to.ip(), 64);
    let mut bytes = Vec::new();
    if is_tcp {
        step.tcp(from.port(), to.port(), 1_000, 64_000)
            .ack(2_000)
            .write(&mut bytes, &payload)
            .unwrap();
    } else {
        step.udp(from.port(), to.port()).write(&mut bytes, &payload).unwrap();
    }
    bytes
}

/// A packet of either transport without much in it.
pub fn short(is_tcp: bool, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let (from, to) = (from.to_string(), to.to_string());
    if is_tcp { frame::tcp(&from, &to, Tcp::Syn) } else { frame::udp(&from, &to) }
}

/// A packet in fragments, each with at most `size` bytes behind the network header.
pub fn fragments(frame: &[u8], identity: u16, size: usize) -> Vec<Vec<u8>> {
    let is_v4 = frame[ETHERNET] >> 4 == 4;
    let (network, payload) = frame.split_at(ETHERNET + if is_v4 { 20 } else { 40 });
    let size = size & !7;
    let count = payload.len().div_ceil(size);
    let part = |(number, part): (usize, &[u8])| {
        let last = number + 1 == count;
        let head = if is_v4 { head_v4 } else { head_v6 };
        [head(network, identity, number * size, last, part.len()), part.to_vec()].concat()
    };
    payload.chunks(size).enumerate().map(part).collect()
}

fn head_v4(network: &[u8], identity: u16, offset: usize, last: bool, length: usize) -> Vec<u8> {
    let mut header = etherparse::Ipv4Header::from_slice(&network[ETHERNET..]).unwrap().0;
    header.identification = identity;
    header.dont_fragment = false;
    header.more_fragments = !last;
    header.fragment_offset = ((offset / 8) as u16).try_into().unwrap();
    header.set_payload_len(length).unwrap();
    header.header_checksum = header.calc_header_checksum();
    [network[..ETHERNET].to_vec(), header.to_bytes().to_vec()].concat()
}

fn head_v6(network: &[u8], identity: u16, offset: usize, last: bool, length: usize) -> Vec<u8> {
    let mut head = network.to_vec();
    let (next, length) = (head[ETHERNET + 6], (length + FRAGMENT) as u16);
    head[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length.to_be_bytes());
    head[ETHERNET + 6] = 44;
    let place = offset as u16 | u16::from(!last);
    head.extend([next, 0]);
    head.extend(place.to_be_bytes());
    head.extend(u32::from(identity).to_be_bytes());
    head
}

/// The packet that fragments in any order make, as [`frame::read`] reads it.
pub fn reassemble(parts: &[Vec<u8>]) -> Vec<u8> {
    let is_v4 = parts[0][ETHERNET] >> 4 == 4;
    let header = ETHERNET + if is_v4 { 20 } else { 40 };
    let (mut whole, mut payload) = (Vec::new(), Vec::new());
    for part in parts {
        let (place, data) = if is_v4 {
            let place = u16::from_be_bytes([part[ETHERNET + 6], part[ETHERNET + 7]]);
            let read = etherparse::Ipv4Header::from_slice(&part[ETHERNET..]).unwrap().0;
            assert_eq!(read.calc_header_checksum(), read.header_checksum, "IPv4 checksum");
            (usize::from(place & 0x1fff) * 8, &part[header..])
        } else {
            let place = u16::from_be_bytes([part[header + 2], part[header + 3]]);
            (usize::from(place & 0xfff8), &part[header + FRAGMENT..])
        };
        if place == 0 {
            whole = part[..header].to_vec();
            if !is_v4 {
                whole[ETHERNET + 6] = part[header];
            }
        }
        payload.resize(payload.len().max(place + data.len()), 0);
        payload[place..place + data.len()].copy_from_slice(data);
    }
    if is_v4 {
        let mut read = etherparse::Ipv4Header::from_slice(&whole[ETHERNET..]).unwrap().0;
        read.more_fragments = false;
        read.set_payload_len(payload.len()).unwrap();
        read.header_checksum = read.calc_header_checksum();
        whole.truncate(ETHERNET);
        whole.extend(read.to_bytes());
    } else {
        let length = (payload.len() as u16).to_be_bytes();
        whole[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length);
    }
    whole.extend(payload);
    whole
}
