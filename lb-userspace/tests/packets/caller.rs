//! A client outside and a backend elsewhere, and the packets that go between them.

use std::net::SocketAddr;

use lb_common::Protocol;
use lb_userspace::model::FrontendKind;

use crate::{
    frame::{self, Tcp},
    rig::{At, Fate, Outcome, Parties, Rig, at},
    service::{family_of, port},
};

/// Where services of these tests answer.
pub const NODE_PORT: u16 = 30_080;

/// One service whose backend is on the other node, and who calls it.
#[derive(Clone, Copy)]
pub struct Caller {
    /// The hook that packets arrive at.
    pub hook: At,
    pub client: SocketAddr,
    pub frontend: SocketAddr,
    pub backend: SocketAddr,
}

impl Caller {
    /// Makes the service.
    pub fn program(rig: &mut Rig, parties: &Parties, hook: At, protocol: Protocol) -> Self {
        let (frontend, backend) = (at(parties.node, NODE_PORT), at(parties.far, 8080));
        let service = port("far", protocol, family_of(parties.node))
            .at(FrontendKind::NodePort, frontend)
            .elsewhere(backend);
        rig.program([service.build()]);
        Self { hook, client: at(parties.client, 40_000), frontend, backend }
    }

    /// The same from another port of the client's.
    pub fn from(mut self, source_port: u16) -> Self {
        self.client.set_port(source_port);
        self
    }

    /// A TCP packet of the client's.
    pub fn says(&self, rig: &mut Rig, flags: Tcp) -> Outcome {
        let packet = frame::tcp(&self.client.to_string(), &self.frontend.to_string(), flags);
        rig.run(self.hook, &packet)
    }

    /// The same where it must be sent on: our end towards the backend.
    #[track_caller]
    pub fn reaches(&self, rig: &mut Rig, flags: Tcp) -> SocketAddr {
        let outcome = self.says(rig, flags);
        assert_eq!(outcome.fate, Fate::Sent, "{flags:?} from {}", self.client);
        let said = frame::read(&outcome.bytes);
        assert_eq!(said.to, self.backend);
        said.from
    }

    /// The backend's TCP packet to our end; it must reach the client.
    #[track_caller]
    pub fn is_answered(&self, rig: &mut Rig, ours: SocketAddr, flags: Tcp) {
        let packet = frame::tcp(&self.backend.to_string(), &ours.to_string(), flags);
        let outcome = rig.run(self.hook, &packet);
        assert_eq!(outcome.fate, Fate::Sent, "{flags:?} to {ours}");
        let said = frame::read(&outcome.bytes);
        assert_eq!((said.from, said.to), (self.frontend, self.client));
    }

    /// A connection's beginning; gives our end.
    #[track_caller]
    pub fn connects(&self, rig: &mut Rig) -> SocketAddr {
        let ours = self.reaches(rig, Tcp::Syn);
        self.is_answered(rig, ours, Tcp::SynAck);
        assert_eq!(self.reaches(rig, Tcp::Ack), ours);
        ours
    }

    /// A connection's end by both sides.
    #[track_caller]
    pub fn closes(&self, rig: &mut Rig, ours: SocketAddr) {
        assert_eq!(self.reaches(rig, Tcp::Fin), ours);
        self.is_answered(rig, ours, Tcp::Fin);
        assert_eq!(self.reaches(rig, Tcp::Ack), ours);
    }

    /// A datagram of the client's.
    pub fn asks(&self, rig: &mut Rig) -> Outcome {
        rig.run(self.hook, &frame::udp(&self.client.to_string(), &self.frontend.to_string()))
    }
}
