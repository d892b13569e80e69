//! What a program is given to do: packets that stay of their kind however often a program has had
//! them, and what must have happened to a packet before.

use std::net::{IpAddr, SocketAddr};

use lb_common::counter::Counter;

use crate::{
    frame::{self, Tcp},
    message::{self, Icmp, quote},
    rig::{At, Parties, at},
};

/// First ports of chains of services; below those of NodePorts and of the known flow's.
pub const CHAIN: u16 = 1_000;
/// The same with hash tables.
pub const HASHED: u16 = 4_000;
/// The same where so much of the source ports towards the backends is taken, in hundredths.
pub const FILLED: [(u16, u32); 2] = [(2_000, 5), (3_000, 95)];
/// Where the backend of a known TCP and of a known UDP flow serves.
pub const KNOWN: u16 = 8_080;
pub const DATAGRAMS: u16 = 5_353;
/// First source port of clients. In the range for flows elsewhere, so that they keep it.
pub const FIRST_SOURCE: u16 = 10_000;
/// A port with no service behind it.
const NOBODY: u16 = 9;
/// The port of services that answer for themselves.
pub const SERVED: u16 = 80;

/// Where a backend is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Here,
    Elsewhere,
}

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    Nothing,
    ParseAndSend,
    NotOurs,
    Known(Place),
    Answer(Place),
    New(Place),
    /// By number in [`FILLED`].
    Filled(usize),
    Hashed(Place),
    Fragment(Place),
    Error(Place),
    Dropped,
    NothingOnce,
    Ping,
    Refused,
}

impl Work {
    /// What a program at a hook may be given. tc does not send frames back as they are, and on
    /// their way out there are only answers.
    pub fn at(hook: At) -> Vec<Self> {
        use Place::{Elsewhere, Here};
        let out = [
            Self::Nothing,
            Self::NotOurs,
            Self::Answer(Here),
            Self::Fragment(Here),
            Self::Error(Here),
        ];
        if hook == At::TcEgress {
            return out.into();
        }
        let mut all = vec![Self::Nothing];
        all.extend((hook == At::Xdp).then_some(Self::ParseAndSend));
        all.extend([
            Self::NotOurs,
            Self::Known(Here),
            Self::Known(Elsewhere),
            Self::Answer(Elsewhere),
            Self::New(Here),
            Self::New(Elsewhere),
            Self::Filled(0),
            Self::Filled(1),
            Self::Hashed(Here),
            Self::Hashed(Elsewhere),
            Self::Fragment(Here),
            Self::Fragment(Elsewhere),
            Self::Error(Here),
            Self::Error(Elsewhere),
            Self::Dropped,
            Self::NothingOnce,
            Self::Ping,
            Self::Refused,
        ]);
        all
    }

    pub fn name(self) -> &'static str {
        use Place::{Elsewhere, Here};
        match self {
            Self::Nothing => "empty program",
            Self::ParseAndSend => "parse and send back",
            Self::NotOurs => "not ours",
            Self::Known(Here) => "known flow, backend here",
            Self::Known(Elsewhere) => "known flow, backend elsewhere",
            Self::Answer(Here) => "answer, backend here",
            Self::Answer(Elsewhere) => "answer, backend elsewhere",
            Self::New(Here) => "new flow, backend here",
            Self::New(Elsewhere) => "new flow, backend elsewhere",
            Self::Filled(0) => "new flow, 5 % of source ports taken",
            Self::Filled(_) => "new flow, 95 % of source ports taken",
            Self::Hashed(Here) => "new flow by hash table, backend here",
            Self::Hashed(Elsewhere) => "new flow by hash table, backend elsewhere",
            Self::Fragment(Here) => "later fragment, backend here",
            Self::Fragment(Elsewhere) => "later fragment, backend elsewhere",
            Self::Error(Here) => "ICMP error, backend here",
            Self::Error(Elsewhere) => "ICMP error, backend elsewhere",
            Self::Dropped => "dropped",
            Self::NothingOnce => "empty program, run once",
            Self::Ping => "ping of a VIP, run once",
            Self::Refused => "refused with a reset, run once",
        }
    }

    /// What is counted once a run.
    pub fn counter(self) -> Option<Counter> {
        match self {
            Self::Known(_) | Self::Answer(Place::Elsewhere) => Some(Counter::FlowHit),
            Self::New(_) | Self::Filled(_) | Self::Hashed(_) => Some(Counter::FlowNew),
            Self::Fragment(_) => Some(Counter::FragmentFollowed),
            Self::Error(_) => Some(Counter::IcmpTranslated),
            Self::Dropped => Some(Counter::DropClusterIpFromOutside),
            Self::Ping => Some(Counter::VipPing),
            Self::Refused => Some(Counter::RejectNoEndpoint),
            Self::Nothing
            | Self::ParseAndSend
            | Self::NotOurs
            | Self::Answer(Place::Here)
            | Self::NothingOnce => None,
        }
    }

    /// Whether the packet is something else after one run, so that each run takes a new one.
    pub fn is_once(self) -> bool {
        matches!(self, Self::NothingOnce | Self::Ping | Self::Refused)
    }

    /// Whether every call is to come from another source port.
    pub fn is_new(self) -> bool {
        self.counter() == Some(Counter::FlowNew)
    }
}

/// A packet, and those that go before it, with their hooks.
pub struct Given {
    pub packet: Vec<u8>,
    pub before: Vec<(At, Vec<u8>)>,
}

/// The packet for a piece of work at a hook. The client's address is also the one that flows
/// elsewhere are given, and every frontend's its backend's: what is rewritten stays the same.
pub fn given(work: Work, hook: At, parties: &Parties, source_port: u16) -> Given {
    let Parties { client, .. } = *parties;
    let from = at(client, source_port);
    let known = at(client, FIRST_SOURCE);
    let server = |place, port| at(address(parties, place), port);
    let alone = |packet| Given { packet, before: Vec::new() };
    let syn = |to: SocketAddr| alone(tcp(from, to, Tcp::Syn));
    match work {
        Work::Nothing | Work::ParseAndSend | Work::NotOurs | Work::NothingOnce => {
            alone(tcp(from, at(bystander(client), NOBODY), Tcp::Ack))
        }
        Work::Known(place) => alone(tcp(known, server(place, KNOWN), Tcp::Ack)),
        Work::Answer(place) => {
            let server = server(place, KNOWN);
            let opening = (ingress(hook), tcp(known, server, Tcp::Ack));
            Given { packet: tcp(server, known, Tcp::Ack), before: vec![opening] }
        }
        Work::New(place) => syn(server(place, CHAIN)),
        Work::Filled(number) => syn(server(Place::Elsewhere, FILLED[number].0)),
        Work::Hashed(place) => syn(server(place, HASHED)),
        Work::Fragment(place) => fragment(hook, known, server(place, DATAGRAMS)),
        Work::Error(place) => error(hook, place, parties),
        Work::Dropped => syn(at(cluster_ip(client), SERVED)),
        Work::Ping => {
            let kind = if client.is_ipv4() { 8 } else { 128 };
            let ping = Icmp { kind: [kind, 0], rest: 1, payload: b"is anybody there?" };
            alone(ping.frame(client, vip(client), u8::MAX))
        }
        Work::Refused => syn(at(vip(client), SERVED)),
    }
}

/// The address of backends.
pub fn address(parties: &Parties, place: Place) -> IpAddr {
    if place == Place::Here { parties.near } else { parties.far }
}

/// The address of a pod that is in no service.
fn bystander(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { [10, 244, 1, 99].into() } else { [0xfd00, 0x244, 1, 0, 0, 0, 0, 99].into() }
}

/// The address of a service that nobody outside may call.
pub fn cluster_ip(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { [10, 96, 0, 9].into() } else { [0xfd00, 0x96, 0, 0, 0, 0, 0, 9].into() }
}

/// The address of a service without endpoints.
pub fn vip(like: IpAddr) -> IpAddr {
    if like.is_ipv4() {
        [198, 51, 100, 9].into()
    } else {
        [0x2001, 0xdb8, 0x51, 0, 0, 0, 0, 9].into()
    }
}

/// Where the client's packets come in, if answers are met at this hook.
fn ingress(hook: At) -> At {
    if hook == At::TcEgress { At::TcIngress } else { hook }
}

fn tcp(from: SocketAddr, to: SocketAddr, flags: Tcp) -> Vec<u8> {
    frame::with_ttl(frame::tcp(&from.to_string(), &to.to_string(), flags), u8::MAX)
}

/// The second fragment of a datagram, or on the way out of the answer to one.
fn fragment(hook: At, client: SocketAddr, server: SocketAddr) -> Given {
    const DATAGRAM: usize = 2_000;
    const LINK: usize = 1_448;
    let datagram = |from, to| frame::with_ttl(message::sized(false, from, to, DATAGRAM), u8::MAX);
    let mut before = Vec::new();
    let (from, to) = if hook == At::TcEgress { (server, client) } else { (client, server) };
    if from == server {
        before.push((At::TcIngress, frame::udp(&client.to_string(), &server.to_string())));
    }
    let mut parts = message::fragments(&datagram(from, to), 7, LINK);
    let packet = parts.swap_remove(1);
    before.push((hook, parts.swap_remove(0)));
    Given { packet, before }
}

/// An error about a packet of a known flow, where it is met: about the answer of a backend that is
/// here, by the client, or on the way out by that backend; and about what was sent to one elsewhere,
/// by a host in between.
fn error(hook: At, place: Place, parties: &Parties) -> Given {
    let (client, server) = (at(parties.client, FIRST_SOURCE), at(address(parties, place), KNOWN));
    let to_server = tcp(client, server, Tcp::Ack);
    let to_client = tcp(server, client, Tcp::Ack);
    let (about, from, to) = match (place, hook) {
        (Place::Elsewhere, _) => (&to_server, parties.node, client.ip()),
        (Place::Here, At::TcEgress) => (&to_server, server.ip(), client.ip()),
        (Place::Here, _) => (&to_client, client.ip(), server.ip()),
    };
    let kind = if client.is_ipv4() { [3, 4] } else { [2, 0] };
    let error = Icmp { kind, rest: 1_400, payload: quote(about, None) };
    Given { packet: error.frame(from, to, u8::MAX), before: vec![(ingress(hook), to_server)] }
}
