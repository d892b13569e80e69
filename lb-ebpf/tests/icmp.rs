//! Reading, translating and making ICMP messages, on the host. Messages are built, and checked, by
//! a library that knows nothing of ours.

use std::net::{IpAddr, SocketAddr};

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};
use lb_common::{Address, Be16, V4, V6};
use lb_ebpf::{
    answer::{self, Answer, Header, QUOTE, RESET},
    fragment::{Fragmented, Part},
    icmp::{self, HEADER, Icmp, Message},
    packet::L3,
    parse::ETHERNET,
    rewrite::Rewrite,
};

const CLIENT: [&str; 2] = ["203.0.113.10:40000", "[2001:db8::10]:40000"];
const FRONTEND: [&str; 2] = ["192.168.50.1:30000", "[fd00:50::1]:30000"];
const OURS: [&str; 2] = ["192.168.50.1:10123", "[fd00:50::1]:10123"];
const BACKEND: [&str; 2] = ["10.244.2.2:80", "[fd00:244:2::2]:80"];
const ROUTER: [&str; 2] = ["10.0.0.1:0", "[fd00:99::1]:0"];

fn ip(from: IpAddr, to: IpAddr) -> PacketBuilderStep<IpHeaders> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
        _ => panic!("two families"),
    }
}

fn packet(is_tcp: bool, from: &str, to: &str, payload: &[u8]) -> Vec<u8> {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let (step, mut bytes) = (ip(from.ip(), to.ip()), Vec::new());
    if is_tcp {
        let step = step.tcp(from.port(), to.port(), 77, 65_000).syn();
        step.write(&mut bytes, payload).unwrap();
    } else {
        step.udp(from.port(), to.port()).write(&mut bytes, payload).unwrap();
    }
    bytes
}

fn message(from: &str, to: &str, kind: [u8; 2], rest: u32, payload: &[u8]) -> Vec<u8> {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap().ip();
    let (step, mut bytes) = (ip(address(from), address(to)), Vec::new());
    let ([kind, code], rest) = (kind, rest.to_be_bytes());
    if address(from).is_ipv4() {
        step.icmpv4_raw(kind, code, rest).write(&mut bytes, payload).unwrap();
    } else {
        step.icmpv6_raw(kind, code, rest).write(&mut bytes, payload).unwrap();
    }
    bytes
}

fn address<F: Icmp>(text: &str) -> (F::Address, Be16) {
    let at: SocketAddr = text.parse().unwrap();
    (F::narrow(Address::from(at.ip())), Be16::new(at.port()))
}

/// A backend's answers are made into the frontend's: so is what an error says of a packet to it.
#[track_caller]
fn translated<F: Icmp>(family: usize, is_tcp: bool, payload: &[u8], quoted: usize) {
    let [client, frontend, ours, backend, router] =
        [CLIENT, FRONTEND, OURS, BACKEND, ROUTER].map(|of| of[family]);
    let of = |from, to| packet(is_tcp, from, to, payload)[ETHERNET.0..][..quoted].to_vec();
    let mut bytes = message(router, ours, F::TOO_BIG, 1_280, &of(ours, backend));
    let expected = message(router, client, F::TOO_BIG, 1_280, &of(client, frontend));

    let (error, kind) = F::envelope(&bytes[..]).unwrap();
    assert_eq!(F::message(kind), Message::Error);
    let inner = F::quoted(&bytes[..], L3(error.l4.0 + HEADER)).unwrap();
    let ((source, source_port), (destination, destination_port)) =
        (address::<F>(frontend), address::<F>(client));
    let to = Rewrite { source, destination, source_port, destination_port, hop: false };
    icmp::translate(&mut bytes[..], &error, &inner, error.source, &to).unwrap();
    assert_eq!(bytes, expected, "{is_tcp} {quoted}");
}

#[test]
fn what_is_quoted_is_translated_as_far_as_it_is_there() {
    let payload: Vec<u8> = (0..=255).collect();
    for is_tcp in [true, false] {
        for more in [8, 9, 12, 16, 18, 19, 20, 100, 201] {
            translated::<V4>(0, is_tcp, &payload, 20 + more);
            translated::<V6>(1, is_tcp, &payload, 40 + more);
        }
    }
}

#[test]
fn a_quote_too_short_or_of_something_else_is_not_read() {
    let whole = packet(true, OURS[0], BACKEND[0], b"x")[14..].to_vec();
    let read = |quoted: &[u8]| {
        let bytes = message(ROUTER[0], OURS[0], [3, 1], 0, quoted);
        let (error, _) = V4::envelope(&bytes[..]).unwrap();
        V4::quoted(&bytes[..], L3(error.l4.0 + HEADER)).is_some()
    };
    assert!(read(&whole[..28]));
    assert!(!read(&whole[..27]), "no ports, or half of what must follow them");
    let with = |at: usize, value: u8| {
        let mut quoted = whole.clone();
        quoted[at] = value;
        read(&quoted)
    };
    assert!(!with(9, 1), "ICMP");
    assert!(!with(7, 1), "a later fragment");
    assert!(!with(0, 0x65), "not version 4");
    assert!(V4::envelope(&packet(true, OURS[0], BACKEND[0], b"")[..]).is_none(), "not ICMP");
}

#[test]
fn every_kind_of_message_is_told_from_the_others() {
    let errors = |message: fn(u8) -> Message, of| {
        (0..=255).filter(|kind| message(*kind) == of).collect::<Vec<_>>()
    };
    assert_eq!(errors(V4::message, Message::Error), [3, 11, 12]);
    assert_eq!(errors(V6::message, Message::Error), [1, 2, 3, 4]);
    assert_eq!(errors(V4::message, Message::EchoRequest), [8]);
    assert_eq!(errors(V6::message, Message::EchoRequest), [128]);
}

#[test]
fn answers_survive_being_a_number_and_no_other_number_is_one() {
    for answer in [Answer::Refuse, Answer::TimeExceeded, Answer::TooBig(0), Answer::TooBig(65_535)]
    {
        assert_eq!(Answer::from_code(answer.code()), Some(answer));
    }
    for code in [0, 1, 2, 4, 7, u32::MAX, u32::MAX - 1, 1 << 31, Answer::Refuse.code() | 0x3_0000] {
        assert_eq!(Answer::from_code(code), None, "{code:#x}");
    }
}

/// The error about a packet, made as the hooks make it: cut, room made, filled in.
fn made<F: Header>(packet: &[u8], answer: Answer) -> Vec<u8> {
    let parsed = F::parse(packet, ETHERNET).unwrap();
    let quoted = answer::quote_length(&parsed);
    let mut bytes = packet[..ETHERNET.0].to_vec();
    bytes.resize(ETHERNET.0 + F::LENGTH + HEADER, 0);
    bytes.extend(&packet[ETHERNET.0..][..quoted]);
    answer::turn_back(&mut bytes[..]).unwrap();
    answer::error(&mut bytes[..], &parsed, answer, quoted).unwrap();
    bytes
}

#[test]
fn an_error_of_any_length_quotes_whole_words_up_to_its_limit() {
    for length in (0..700).step_by(3) {
        let payload = vec![0xa5; length];
        for (family, kind) in [(0, [3, 4]), (1, [2, 0])] {
            let about = packet(false, CLIENT[family], FRONTEND[family], &payload);
            let quoted = (about.len() - ETHERNET.0).min(QUOTE) & !3;
            let quoted = &about[ETHERNET.0..][..quoted];
            let expected = message(FRONTEND[family], CLIENT[family], kind, 1_400, quoted);
            let answer = Answer::TooBig(1_400);
            let bytes =
                if family == 0 { made::<V4>(&about, answer) } else { made::<V6>(&about, answer) };
            assert_eq!(bytes[12..], expected[12..], "{length}");
        }
    }
}

#[test]
fn a_reset_is_right_whatever_the_checksum_field_held() {
    fn check<F: Header>(family: usize) {
        let about = packet(true, CLIENT[family], FRONTEND[family], b"data");
        let segment = F::parse(&about[..], ETHERNET).unwrap();
        let (numbers, data) = answer::segment(&about[..], &segment).unwrap();
        assert_eq!(data, 4);
        let mut bytes = about[..ETHERNET.0 + F::LENGTH + RESET].to_vec();
        answer::reset(&mut bytes[..], &segment, numbers, data).unwrap();
        let to: SocketAddr = CLIENT[family].parse().unwrap();
        let from: SocketAddr = FRONTEND[family].parse().unwrap();
        let mut expected = Vec::new();
        let step = ip(from.ip(), to.ip()).tcp(from.port(), to.port(), 0, 0);
        step.rst().ack(77 + 4 + 1).write(&mut expected, &[]).unwrap();
        assert_eq!(bytes[12..], expected[12..]);
    }
    check::<V4>(0);
    check::<V6>(1);
}

#[test]
fn fragments_are_told_from_whole_packets() {
    let whole = packet(false, CLIENT[0], FRONTEND[0], b"query");
    let with = |flags: [u8; 2]| {
        let mut bytes = whole.clone();
        bytes[20..22].copy_from_slice(&flags);
        (V4::part(&bytes[..]), V4::later(&bytes[..]).unwrap().has_transport)
    };
    assert_eq!(with([0x40, 0]).0, Part::Whole);
    assert_eq!(with([0x20, 0]).0, Part::First);
    assert_eq!(with([0x20, 1]), (Part::Later, false));
    assert_eq!(with([0, 1]), (Part::Later, false));
    let plain = packet(false, CLIENT[1], FRONTEND[1], b"query");
    assert_eq!(V6::part(&plain[..]), Part::Whole);
    let with = |flags: [u8; 2]| {
        let mut bytes = plain.clone();
        bytes[14 + 6] = 44;
        bytes.splice(54..54, [17, 0, flags[0], flags[1], 0, 0, 0, 9]);
        (V6::part(&bytes[..]), V6::identity(&bytes[..]).unwrap())
    };
    assert_eq!(with([0, 0]), (Part::Whole, 9_u32.to_be()));
    assert_eq!(with([0, 1]).0, Part::First);
    assert_eq!(with([0, 9]).0, Part::Later);
    assert_eq!(with([5, 0]).0, Part::Later);
}
