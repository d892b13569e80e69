//! Reading and rewriting packets, on the host. The packets are built, and their checksums computed
//! in full, by a library that knows nothing of ours.

use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use lb_common::{Address, Be16, Family, V4, V6, flow::hook};
use lb_ebpf::{
    csum::{Sum, pseudo_header},
    parse::{ETHERNET, FIN, Layer3, Network, Parsed, SYN, network},
    rewrite::{Rewrite, rewrite},
};

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Transport {
    Tcp,
    Udp,
}

fn packet(transport: Transport, from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let ethernet = PacketBuilder::ethernet2(MACS.0, MACS.1);
    let ip = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        _ => panic!("two families"),
    };
    let mut bytes = Vec::new();
    match transport {
        Transport::Tcp => {
            ip.tcp(from.port(), to.port(), 7, 65_000).syn().write(&mut bytes, payload).unwrap();
        }
        Transport::Udp => ip.udp(from.port(), to.port()).write(&mut bytes, payload).unwrap(),
    }
    bytes
}

/// What a packet says, and whether every checksum in it is right when computed in full.
#[derive(PartialEq, Debug)]
struct Seen {
    from: SocketAddr,
    to: SocketAddr,
    ttl: u8,
    checksums: bool,
}

fn look(bytes: &[u8]) -> Seen {
    let packet = SlicedPacket::from_ethernet(bytes).unwrap();
    let transport = packet.transport.unwrap();
    let (source_port, destination_port, stated) = match &transport {
        TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port(), tcp.checksum()),
        TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port(), udp.checksum()),
        other => panic!("{other:?}"),
    };
    match packet.net.unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            let computed = match &transport {
                TransportSlice::Tcp(tcp) => {
                    tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap()
                }
                TransportSlice::Udp(udp) => {
                    udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap()
                }
                _ => unreachable!(),
            };
            Seen {
                from: (header.source, source_port).into(),
                to: (header.destination, destination_port).into(),
                ttl: header.time_to_live,
                checksums: computed == stated
                    && header.calc_header_checksum() == header.header_checksum,
            }
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header().to_header();
            let computed = match &transport {
                TransportSlice::Tcp(tcp) => {
                    tcp.to_header().calc_checksum_ipv6(&header, tcp.payload()).unwrap()
                }
                TransportSlice::Udp(udp) => {
                    udp.to_header().calc_checksum_ipv6(&header, udp.payload()).unwrap()
                }
                _ => unreachable!(),
            };
            Seen {
                from: (header.source, source_port).into(),
                to: (header.destination, destination_port).into(),
                ttl: header.hop_limit,
                checksums: computed == stated,
            }
        }
        NetSlice::Arp(_) => panic!("ARP"),
    }
}

fn rewritten<F: Layer3>(
    mut bytes: Vec<u8>,
    from: SocketAddr,
    to: SocketAddr,
    hop: bool,
) -> Vec<u8> {
    let parsed = F::parse(&bytes[..], ETHERNET).unwrap();
    let to = Rewrite {
        source: F::narrow(Address::from(from.ip())),
        destination: F::narrow(Address::from(to.ip())),
        source_port: Be16::new(from.port()),
        destination_port: Be16::new(to.port()),
        hop,
    };
    rewrite(&mut bytes[..], &parsed, &to).unwrap();
    bytes
}

#[track_caller]
fn check(transport: Transport, before: [&str; 2], after: [&str; 2], hop: bool, payload: &[u8]) {
    let bytes = packet(transport, before[0], before[1], payload);
    let [from, to] = after.map(|text| text.parse::<SocketAddr>().unwrap());
    let bytes = match network(&bytes[..]) {
        Network::V4 => rewritten::<V4>(bytes, from, to, hop),
        Network::V6 => rewritten::<V6>(bytes, from, to, hop),
        Network::Other => panic!("neither family"),
    };
    let expected = Seen { from, to, ttl: 64 - u8::from(hop), checksums: true };
    assert_eq!(look(&bytes), expected, "{transport:?} {before:?} {after:?}");
}

#[test]
fn every_rewrite_leaves_every_checksum_right() {
    let v4 = ["203.0.113.10:40000", "192.168.50.1:30000"];
    let v6 = ["[2001:db8::10]:40000", "[fd00:50::1]:30000"];
    for transport in [Transport::Tcp, Transport::Udp] {
        for payload in [&b""[..], b"x", b"odd", b"a payload of more than a few bytes"] {
            for hop in [false, true] {
                check(transport, v4, ["203.0.113.10:40000", "10.244.1.2:8080"], hop, payload);
                check(transport, v4, ["192.168.50.1:10123", "10.244.2.2:80"], hop, payload);
                check(transport, v4, ["255.255.255.255:65535", "0.0.0.1:1"], hop, payload);
                check(transport, v4, v4, hop, payload);
                check(
                    transport,
                    v6,
                    ["[2001:db8::10]:40000", "[fd00:244:1::2]:8080"],
                    hop,
                    payload,
                );
                check(transport, v6, ["[fd00:50::1]:10123", "[fd00:244:2::2]:80"], hop, payload);
                check(transport, v6, ["[ffff:ffff::ffff]:65535", "[::1]:1"], hop, payload);
            }
        }
    }
}

#[test]
fn ten_thousand_random_rewrites_leave_every_checksum_right() {
    // A fixed seed: a failure repeats, and says which addresses it was about.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..10_000 {
        let mut socket = || {
            let (bits, more) = (random(), random());
            let port = (more as u16).max(1);
            if round % 2 == 0 {
                SocketAddr::new(IpAddr::V4((bits as u32).into()), port).to_string()
            } else {
                let bits = u128::from(bits) << 64 | u128::from(more);
                SocketAddr::new(IpAddr::V6(bits.into()), port).to_string()
            }
        };
        let names = [socket(), socket(), socket(), socket()];
        let [a, b, c, d] = names.each_ref().map(String::as_str);
        let transport = if round % 3 == 0 { Transport::Udp } else { Transport::Tcp };
        check(transport, [a, b], [c, d], round % 5 == 0, &round.to_string().into_bytes());
    }
}

#[test]
fn a_udp_packet_without_checksum_stays_without() {
    let mut bytes = packet(Transport::Udp, "203.0.113.10:40000", "192.168.50.1:30053", b"query");
    bytes[14 + 20 + 6..14 + 20 + 8].fill(0);
    let to = ["203.0.113.10:40000", "10.244.1.2:53"].map(|text| text.parse().unwrap());
    let bytes = rewritten::<V4>(bytes, to[0], to[1], false);
    assert_eq!(bytes[14 + 20 + 6..14 + 20 + 8], [0, 0]);
}

#[test]
fn ipv4_options_shift_the_transport_header() {
    let plain = packet(Transport::Tcp, "203.0.113.10:40000", "192.168.50.1:30000", b"payload");
    let mut bytes = plain[..34].to_vec();
    bytes.extend([1u8; 8]);
    bytes.extend(&plain[34..]);
    bytes[14] = 0x47;
    let length = u16::from_be_bytes([bytes[16], bytes[17]]) + 8;
    bytes[16..18].copy_from_slice(&length.to_be_bytes());
    let header = etherparse::Ipv4Header::from_slice(&bytes[14..]).unwrap().0;
    bytes[24..26].copy_from_slice(&header.calc_header_checksum().to_be_bytes());

    let to = ["192.168.50.1:10001", "10.244.2.2:80"].map(|text| text.parse().unwrap());
    let bytes = rewritten::<V4>(bytes, to[0], to[1], true);
    assert_eq!(look(&bytes), Seen { from: to[0], to: to[1], ttl: 63, checksums: true });
}

#[test]
fn what_is_not_for_the_balancer_is_not_read() {
    let v4 = packet(Transport::Udp, "203.0.113.10:40000", "192.168.50.1:30053", b"query");
    let v6 = packet(Transport::Tcp, "[2001:db8::10]:4000", "[fd00:50::1]:80", b"");
    let v4_with = |offset: usize, value: u8| {
        let mut bytes = v4.clone();
        bytes[14 + offset] = value;
        V4::parse(&bytes[..], ETHERNET)
    };
    assert!(V4::parse(&v4[..], ETHERNET).is_some());
    assert!(v4_with(6, 0x40).is_some(), "don't fragment");
    assert!(v4_with(6, 0x20).is_some(), "the first fragment");
    assert!(v4_with(7, 0x01).is_none(), "a later fragment");
    assert!(v4_with(9, 1).is_none(), "ICMP");
    assert!(v4_with(0, 0x65).is_none(), "not version 4");
    assert!(v4_with(0, 0x44).is_none(), "a header shorter than the shortest");
    for length in 0..14 + 20 + 8 {
        assert!(V4::parse(&v4[..length], ETHERNET).is_none(), "cut to {length}");
    }
    for length in 0..14 + 40 + 20 {
        assert!(V6::parse(&v6[..length], ETHERNET).is_none(), "cut to {length}");
    }
    let mut fragment = v6.clone();
    fragment[14 + 6] = 44;
    fragment.splice(14 + 40..14 + 40, [6, 0, 0, 8, 0, 0, 0, 1]);
    assert!(V6::parse(&fragment[..], ETHERNET).is_none(), "a later fragment");
    fragment[14 + 40 + 3] = 1;
    let first = V6::parse(&fragment[..], ETHERNET).unwrap();
    assert_eq!((first.protocol, first.l4.0, first.destination_port.get()), (6, 14 + 48, 80));
    let mut options = v6.clone();
    options[14 + 6] = 0;
    assert!(V6::parse(&options[..], ETHERNET).is_none(), "another extension header");
    let mut arp = v4.clone();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert_eq!(network(&arp[..]), Network::Other);
}

#[test]
fn a_partial_checksum_is_told_from_a_full_one() {
    fn field<F: Layer3>(bytes: &mut [u8]) -> Parsed<F> {
        let parsed = F::parse(bytes, ETHERNET).unwrap();
        assert!(!parsed.checksum_is_partial());
        let addresses = F::sum(parsed.source).plus(F::sum(parsed.destination));
        let length = (bytes.len() - parsed.l4.0) as u16;
        let partial = pseudo_header(addresses, parsed.protocol, length).fold();
        let at = parsed.l4_checksum().at;
        bytes[at..at + 2].copy_from_slice(&partial.to_ne_bytes());
        F::parse(bytes, ETHERNET).unwrap()
    }
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut v4 = packet(transport, "203.0.113.10:40000", "192.168.50.1:80", b"odd");
        assert!(field::<V4>(&mut v4).checksum_is_partial());
        let mut v6 = packet(transport, "[2001:db8::10]:4000", "[fd00:50::1]:80", b"odd");
        assert!(field::<V6>(&mut v6).checksum_is_partial());
    }
}

#[test]
fn the_flow_key_names_the_packet_and_the_hook() {
    let bytes = packet(Transport::Tcp, "203.0.113.10:40000", "192.168.50.1:30000", b"");
    let parsed = V4::parse(&bytes[..], ETHERNET).unwrap();
    assert_eq!(parsed.flags & (SYN | FIN), SYN);
    assert!(parsed.opens_connection() && parsed.ending() == 0);
    let key = parsed.flow_key(hook::EGRESS);
    assert_eq!(V4::to_ip(key.source), IpAddr::from([203, 0, 113, 10]));
    assert_eq!(V4::to_ip(key.destination), IpAddr::from([192, 168, 50, 1]));
    assert_eq!((key.source_port.get(), key.destination_port.get()), (40_000, 30_000));
    assert_eq!((key.protocol, key.hook), (6, hook::EGRESS));
}

#[test]
fn a_sum_that_comes_out_as_zero_is_written_as_all_ones_for_udp() {
    use lb_ebpf::packet::{L4Checksum, Packet};
    let mut bytes = [0x12, 0x34];
    let field = u16::from_ne_bytes(bytes);
    // A difference of exactly what the field stands for brings the checksum to zero.
    let difference = Sum::ZERO.half_word(field);
    let checksum = L4Checksum { at: 0, zero_is_none: true, ipv6: false };
    bytes[..].adjust_l4_checksum(checksum, difference, Sum::ZERO).unwrap();
    assert_eq!(bytes, [0xff, 0xff]);
}
