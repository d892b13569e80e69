//! ICMP errors about translated flows: every type and code, both families, every transport, both
//! hooks, backends here and elsewhere. The table of it is `docs/icmp.md`; `BLESS=1` writes it anew.

use std::{
    fmt::Write as _,
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use lb_common::Protocol;
use lb_userspace::model::FrontendKind;

use crate::{
    chunk::{Chunk, sctp},
    frame,
    message::{self, Icmp, quote},
    rig::{At, Fate, Parties, Rig, at},
    service::{family_of, port},
};

const NODE_PORT: u16 = 30_080;
const HEAD: &str = include_str!("icmp.head.md");

/// An error, its codes, and the word that goes with it.
struct Kind {
    name: &'static str,
    number: u8,
    codes: &'static [u8],
    rest: u32,
}

const fn kind(name: &'static str, number: u8, codes: &'static [u8], rest: u32) -> Kind {
    Kind { name, number, codes, rest }
}

const V4: &[Kind] = &[
    kind("destination unreachable", 3, &[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], 0),
    kind("fragmentation needed", 3, &[4], 1_400),
    kind("time exceeded", 11, &[0, 1], 0),
    kind("parameter problem", 12, &[0, 1, 2], 9 << 24),
];
const V6: &[Kind] = &[
    kind("destination unreachable", 1, &[0, 1, 2, 3, 4, 5, 6], 0),
    kind("packet too big", 2, &[0], 1_400),
    kind("time exceeded", 3, &[0, 1], 0),
    kind("parameter problem", 4, &[0, 1, 2], 6),
];

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Client,
    Backend,
}

/// Who calls, and where the backend is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Here,
    Elsewhere,
    /// A pod that no socket hook saw, wherever the backend is.
    FromPod,
    /// Such a pod that is sent to itself.
    ToItself,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Here, "here"),
    (Way::Elsewhere, "elsewhere (SNAT)"),
    (Way::FromPod, "anywhere, at a pod's device"),
    (Way::ToItself, "the pod itself (SNAT)"),
];

impl Way {
    fn is_translated_twice(self) -> bool {
        matches!(self, Self::Elsewhere | Self::ToItself)
    }
}

/// A flow, and what may be said about it.
struct Case {
    parties: Parties,
    protocol: Protocol,
    way: Way,
    to: To,
}

impl Case {
    /// Where such an error is met.
    fn hooks(&self) -> [(At, bool); 2] {
        match (self.way, self.to) {
            (Way::Here, To::Client) => [(At::Xdp, false), (At::TcEgress, true)],
            (Way::Here | Way::Elsewhere, _) => [(At::Xdp, true), (At::TcIngress, true)],
            (Way::FromPod, To::Client) => [(At::Xdp, false), (At::ToPod, true)],
            (Way::FromPod | Way::ToItself, _) => [(At::Xdp, false), (At::FromPod, true)],
        }
    }

    /// Errors as they arrive, with what must become of them: from a router that stays who it is,
    /// and from the far end, which the receiver knows by another address.
    fn messages(&self, rig: &mut Rig, kind: &Kind) -> Vec<(Vec<u8>, Vec<u8>)> {
        let Parties { client, node, near, far } = self.parties;
        let (client, backend) = match self.way {
            Way::Here => (client, near),
            Way::Elsewhere => (client, far),
            Way::FromPod => (near, far),
            Way::ToItself => (near, near),
        };
        let (client, frontend) = (at(client, 40_000), at(node, NODE_PORT));
        let backend = at(backend, 8080);
        let service =
            port("web", self.protocol, family_of(node)).at(FrontendKind::NodePort, frontend);
        let is_here = backend.ip() == near;
        let service = if is_here { service.local(backend) } else { service.elsewhere(backend) };
        rig.program([service.build()]);
        let there = short(self.protocol, client, frontend);
        let outcome = match self.way {
            Way::Here | Way::Elsewhere => rig.ingress(&there),
            Way::FromPod | Way::ToItself => rig.run(At::FromPod, &there),
        };
        let ours = frame::read(&outcome.bytes).from;

        // Each as it was on the wire there, and as whoever sent it knows it.
        let packet = |from, to| frame::with_ttl(short(self.protocol, from, to), 61);
        let (on_wire, as_sent, end, shown) = match self.to {
            To::Client => {
                (packet(ours, backend), packet(client, frontend), backend.ip(), frontend.ip())
            }
            To::Backend => {
                (packet(frontend, client), packet(backend, ours), client.ip(), ours.ip())
            }
        };
        let (arrives, goes_to) = match self.to {
            To::Client => (ours.ip(), client.ip()),
            To::Backend => (frontend.ip(), backend.ip()),
        };
        // A backend elsewhere knows nobody but us.
        let router_shown = match (self.way.is_translated_twice(), self.to) {
            (true, To::Backend) => ours.ip(),
            _ => router(node),
        };
        let ttl = if self.way.is_translated_twice() { 63 } else { 64 };
        let mut all = Vec::new();
        for code in kind.codes {
            for (from, shown) in [(router(node), router_shown), (end, shown)] {
                for transport in [Some(8), Some(12), None] {
                    let of = |about| Icmp {
                        kind: [kind.number, *code],
                        rest: kind.rest,
                        payload: quote(about, transport),
                    };
                    let packet = of(&on_wire).frame(from, arrives, 64);
                    all.push((packet, of(&as_sent).frame(shown, goes_to, ttl)));
                }
            }
        }
        all
    }

    fn holds(&self, rig: &mut Rig, kind: &Kind, hook: At) -> bool {
        let fate = if self.way.is_translated_twice() { Fate::Sent } else { Fate::Pass };
        self.messages(rig, kind).into_iter().all(|(packet, expected)| {
            let outcome = rig.run(hook, &packet);
            let holds = outcome.fate == fate && outcome.bytes[14..] == expected[14..];
            if !holds {
                eprintln!("{}, {hook:?}: {:?}", kind.name, outcome.fate);
                eprintln!("  got      {:02x?}\n  expected {:02x?}", outcome.bytes, expected);
            }
            holds
        })
    }
}

fn router(like: IpAddr) -> IpAddr {
    let text = if like.is_ipv4() { "192.0.2.77" } else { "2001:db8:77::1" };
    text.parse().unwrap()
}

/// A packet of any transport.
fn short(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    match protocol {
        Protocol::Sctp => sctp(from, to, Chunk::Init),
        _ => message::short(protocol == Protocol::Tcp, from, to),
    }
}

/// A row's six cells: TCP, UDP and SCTP, at XDP and at tc.
fn row(rig: &mut Rig, parties: Parties, kind: &Kind, way: Way, to: To) -> String {
    let mut cells = String::new();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let case = Case { parties, protocol, way, to };
        for (hook, meets) in case.hooks() {
            let cell = match meets {
                false => "-",
                true if case.holds(rig, kind, hook) => "held",
                true => "NOT HELD",
            };
            write!(cells, " {cell} |").unwrap();
        }
    }
    cells
}

#[test]
fn every_error_reaches_the_end_it_is_for_as_if_nothing_had_been_translated() {
    let mut rig = Rig::new();
    let mut table = HEAD.to_owned();
    for (parties, (family, kinds)) in rig.families().into_iter().zip([("IPv4", V4), ("IPv6", V6)]) {
        for kind in kinds {
            for (way, backend) in WAYS {
                for (to, said) in [(To::Client, "client"), (To::Backend, "backend")] {
                    let cells = row(&mut rig, parties, kind, way, to);
                    let Kind { name, number, .. } = kind;
                    writeln!(table, "| {family} | {name} ({number}) | {backend} | {said} |{cells}")
                        .unwrap();
                }
            }
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/icmp.md");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &table).unwrap();
    }
    assert!(!table.contains("NOT HELD"), "{table}");
    assert_eq!(fs::read_to_string(&path).unwrap(), table, "BLESS=1 writes docs/icmp.md anew");
}

#[test]
fn errors_about_what_is_not_ours_are_untouched() {
    let mut rig = Rig::new();
    for parties in rig.families() {
        let (client, frontend) = (at(parties.client, 40_000), at(parties.node, NODE_PORT));
        let near = at(parties.near, 8080);
        let service = port("web", Protocol::Tcp, family_of(near.ip()))
            .at(FrontendKind::NodePort, frontend)
            .local(near);
        rig.program([service.build()]);
        rig.ingress(&message::short(true, client, frontend));
        let number = if frontend.is_ipv4() { 3 } else { 1 };
        let other = at(parties.client, 40_001);
        for (about, arrives) in [
            // Another flow; another protocol; sent to somebody who did not send what is quoted.
            (message::short(true, frontend, other), frontend),
            (message::short(false, frontend, client), frontend),
            (message::short(true, frontend, client), near),
        ] {
            let kind = Icmp { kind: [number, 1], rest: 0, payload: quote(&about, Some(8)) };
            let packet = kind.frame(router(near.ip()), arrives.ip(), 64);
            for hook in [At::Xdp, At::TcIngress, At::TcEgress] {
                let outcome = rig.run(hook, &packet);
                assert_eq!((outcome.fate, &outcome.bytes), (Fate::Pass, &packet), "{hook:?}");
            }
        }
    }
}
