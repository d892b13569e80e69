//! Packets: building them, and saying what one says. The checksums are a library's, computed in
//! full.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    IpHeaders, NetSlice, PacketBuilder, PacketBuilderStep, SlicedPacket, TcpHeader,
    TcpOptionElement, TransportSlice,
};

use crate::chunk;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// TCP's flags that matter here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tcp {
    Syn,
    SynAck,
    Ack,
    Fin,
    Rst,
}

/// A TCP packet with a short payload.
pub fn tcp(from: &str, to: &str, flags: Tcp) -> Vec<u8> {
    write(tcp_step(from, to, flags, 1_000), b"payload")
}

/// A TCP packet without payload, by its sequence number and its timestamp. Options are laid out as
/// Linux does it.
pub fn tcp_aged(from: &str, to: &str, flags: Tcp, sequence: u32, stamp: Option<u32>) -> Vec<u8> {
    use TcpOptionElement::{
        MaximumSegmentSize, Noop, SelectiveAcknowledgementPermitted, Timestamp,
    };

    let stamp = stamp.map(|stamp| Timestamp(stamp, 0));
    let options: Vec<_> = match (flags, stamp) {
        (Tcp::Syn, Some(stamp)) => {
            vec![MaximumSegmentSize(1_460), SelectiveAcknowledgementPermitted, stamp]
        }
        (_, Some(stamp)) => vec![Noop, Noop, stamp],
        (_, None) => Vec::new(),
    };
    write(tcp_step(from, to, flags, sequence).options(&options).unwrap(), b"")
}

fn tcp_step(from: &str, to: &str, flags: Tcp, sequence: u32) -> PacketBuilderStep<TcpHeader> {
    let (from, to) = sockets(from, to);
    let step = ip(from, to).tcp(from.port(), to.port(), sequence, 64_000);
    match flags {
        Tcp::Syn => step.syn(),
        Tcp::SynAck => step.syn().ack(2_000),
        Tcp::Ack => step.ack(2_000),
        Tcp::Fin => step.ack(2_000).fin(),
        Tcp::Rst => step.rst(),
    }
}

fn write(step: PacketBuilderStep<TcpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    step.write(&mut bytes, payload).unwrap();
    bytes
}

/// A UDP packet with a short payload.
pub fn udp(from: &str, to: &str) -> Vec<u8> {
    let (from, to) = sockets(from, to);
    let mut bytes = Vec::new();
    ip(from, to).udp(from.port(), to.port()).write(&mut bytes, b"query").unwrap();
    bytes
}

fn sockets(from: &str, to: &str) -> (SocketAddr, SocketAddr) {
    (from.parse().unwrap(), to.parse().unwrap())
}

fn ip(from: SocketAddr, to: SocketAddr) -> PacketBuilderStep<IpHeaders> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        _ => panic!("two families"),
    }
}

/// Puts a time to live in, checksum and all.
pub fn with_ttl(mut packet: Vec<u8>, ttl: u8) -> Vec<u8> {
    if packet[ETHERNET] >> 4 == 6 {
        packet[ETHERNET + 7] = ttl;
        return packet;
    }
    packet[ETHERNET + 8] = ttl;
    let header = etherparse::Ipv4Header::from_slice(&packet[ETHERNET..]).unwrap().0;
    let checksum = header.calc_header_checksum().to_be_bytes();
    packet[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&checksum);
    packet
}

/// What a packet says.
#[derive(PartialEq, Eq, Debug)]
pub struct Said {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub ttl: u8,
}

/// Reads a packet, and insists that all of its checksums are right.
#[track_caller]
pub fn read(bytes: &[u8]) -> Said {
    read_with(bytes, false)
}

/// The same of an SCTP packet whose checksum is left to be filled in.
#[track_caller]
pub fn read_partial(bytes: &[u8]) -> Said {
    read_with(bytes, true)
}

#[track_caller]
fn read_with(bytes: &[u8], is_partial: bool) -> Said {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    let net = packet.net.unwrap();
    let (source_port, destination_port) = match packet.transport {
        Some(transport) => ports(&net, &transport),
        None => {
            let payload = net.ip_payload_ref().unwrap();
            assert_eq!(payload.ip_number, chunk::SCTP);
            chunk::ports(payload.payload, is_partial)
        }
    };
    let (from, to, ttl): (IpAddr, IpAddr, u8) = match &net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.calc_header_checksum(), header.header_checksum, "IPv4 checksum");
            (header.source.into(), header.destination.into(), header.time_to_live)
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            (header.source.into(), header.destination.into(), header.hop_limit)
        }
        NetSlice::Arp(_) => panic!("ARP"),
    };
    Said { from: (from, source_port).into(), to: (to, destination_port).into(), ttl }
}

#[track_caller]
fn ports(net: &NetSlice<'_>, transport: &TransportSlice<'_>) -> (u16, u16) {
    let (source, destination, stated) = match transport {
        TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port(), tcp.checksum()),
        TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port(), udp.checksum()),
        other => panic!("{other:?}"),
    };
    assert_eq!(stated, full_checksum(net, transport), "transport checksum");
    (source, destination)
}

fn full_checksum(net: &NetSlice<'_>, transport: &TransportSlice<'_>) -> u16 {
    match (net, transport) {
        (NetSlice::Ipv4(ip), TransportSlice::Tcp(tcp)) => {
            tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload())
        }
        (NetSlice::Ipv4(ip), TransportSlice::Udp(udp)) => {
            udp.to_header().calc_checksum_ipv4(&ip.header().to_header(), udp.payload())
        }
        (NetSlice::Ipv6(ip), TransportSlice::Tcp(tcp)) => {
            tcp.to_header().calc_checksum_ipv6(&ip.header().to_header(), tcp.payload())
        }
        (NetSlice::Ipv6(ip), TransportSlice::Udp(udp)) => {
            udp.to_header().calc_checksum_ipv6(&ip.header().to_header(), udp.payload())
        }
        other => panic!("{other:?}"),
    }
    .unwrap()
}
