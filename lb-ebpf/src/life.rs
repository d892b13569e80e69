//! How long a flow lasts: from what both directions have seen, how long it may be silent.

use lb_common::{
    Protocol,
    flow::state::{ANSWERED, CONFIRMED, FIN, RST},
    limits,
};

/// What both directions of a flow have seen: sets of [`lb_common::flow::state`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sides {
    /// IANA number of the protocol.
    pub protocol: u8,
    /// The client's direction.
    pub client: u8,
    /// The backend's direction.
    pub backend: u8,
}

/// How much a silent flow is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// There is room.
    Full,
    /// Somebody goes without its room or its source port.
    Pressed,
}

impl Sides {
    /// Whether the connection is over on both sides. What may follow is the last acknowledgement
    /// and what got lost.
    #[inline(always)]
    pub const fn closed(self) -> bool {
        self.reset() || self.client & self.backend & FIN != 0
    }

    /// Whether either side has reset the connection: then nobody waits out its end.
    #[inline(always)]
    pub const fn reset(self) -> bool {
        (self.client | self.backend) & RST != 0
    }

    /// Whether the client has shown that it is there: a flood of first packets does not.
    #[inline(always)]
    pub const fn confirmed(self) -> bool {
        if self.is_connected() {
            self.client & CONFIRMED != 0
        } else {
            self.backend & ANSWERED != 0
        }
    }

    /// Whether a first packet from the client's port begins a connection of its own, to whatever
    /// backend is chosen: the client was done with the last one, or the backend was.
    #[inline(always)]
    pub const fn begins_anew(self) -> bool {
        self.client & (FIN | RST) != 0 || self.backend & RST != 0
    }

    /// After how many seconds of silence the flow is over.
    #[inline(always)]
    pub const fn timeout_s(self, patience: Patience) -> u32 {
        let (full, pressed) = if self.is_connected() {
            self.connected()
        } else if self.backend & ANSWERED != 0 {
            (limits::UDP_TWO_WAY_S, limits::UDP_TWO_WAY_PRESSED_S)
        } else {
            (limits::UDP_ONE_WAY_S, limits::UDP_ONE_WAY_PRESSED_S)
        };
        match patience {
            Patience::Full => full,
            Patience::Pressed => pressed,
        }
    }

    /// SCTP's associations come and go as TCP's connections do.
    #[inline(always)]
    const fn is_connected(self) -> bool {
        self.protocol != Protocol::Udp as u8
    }

    #[inline(always)]
    const fn connected(self) -> (u32, u32) {
        let either = self.client | self.backend;
        if either & RST != 0 {
            (limits::TCP_RESET_S, limits::TCP_CLOSED_PRESSED_S)
        } else if self.client & self.backend & FIN != 0 {
            (limits::TCP_CLOSED_S, limits::TCP_CLOSED_PRESSED_S)
        } else if !self.confirmed() {
            (limits::TCP_OPENING_S, limits::TCP_OPENING_PRESSED_S)
        } else if either & FIN != 0 {
            // Half a connection is a connection: nobody else's need ends it.
            (limits::TCP_HALF_CLOSED_S, limits::TCP_HALF_CLOSED_S)
        } else if self.protocol == Protocol::Sctp as u8 {
            (limits::SCTP_IDLE_S, limits::SCTP_IDLE_S)
        } else {
            (limits::TCP_IDLE_S, limits::TCP_IDLE_S)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: u8 = Protocol::Tcp as u8;
    const UDP: u8 = Protocol::Udp as u8;
    const SCTP: u8 = Protocol::Sctp as u8;

    #[track_caller]
    fn check(protocol: u8, client: u8, backend: u8, expected: (u32, u32)) {
        let sides = Sides { protocol, client, backend };
        let found = (sides.timeout_s(Patience::Full), sides.timeout_s(Patience::Pressed));
        assert_eq!(found, expected, "{sides:?}");
    }

    #[test]
    fn each_state_has_its_timeout() {
        check(TCP, 0, 0, (60, 4));
        check(TCP, 0, ANSWERED, (60, 4));
        check(TCP, CONFIRMED, ANSWERED, (86_400, 86_400));
        check(TCP, CONFIRMED | FIN, ANSWERED, (3_600, 3_600));
        check(TCP, CONFIRMED, ANSWERED | FIN, (3_600, 3_600));
        check(TCP, CONFIRMED | FIN, ANSWERED | FIN, (60, 2));
        check(TCP, CONFIRMED | RST, ANSWERED, (10, 2));
        check(TCP, 0, ANSWERED | RST, (10, 2));
        check(SCTP, 0, ANSWERED, (60, 4));
        check(SCTP, CONFIRMED, ANSWERED, (3_600, 3_600));
        check(SCTP, CONFIRMED | FIN, ANSWERED | FIN, (60, 2));
        check(SCTP, CONFIRMED | RST, ANSWERED, (10, 2));
        check(UDP, 0, 0, (30, 2));
        check(UDP, 0, ANSWERED, (120, 5));
    }

    #[test]
    fn a_connection_is_closed_by_two_fins_or_one_rst() {
        #[track_caller]
        fn check(client: u8, backend: u8, expected: bool) {
            assert_eq!(Sides { protocol: TCP, client, backend }.closed(), expected);
        }
        check(FIN, 0, false);
        check(0, FIN, false);
        check(FIN, FIN, true);
        check(RST, 0, true);
        check(FIN, RST, true);
    }

    #[test]
    fn only_a_client_that_went_on_is_confirmed() {
        #[track_caller]
        fn check(protocol: u8, client: u8, backend: u8, expected: bool) {
            assert_eq!(Sides { protocol, client, backend }.confirmed(), expected);
        }
        check(TCP, 0, ANSWERED, false);
        check(TCP, CONFIRMED, ANSWERED, true);
        check(SCTP, 0, ANSWERED, false);
        check(SCTP, CONFIRMED, ANSWERED, true);
        check(UDP, 0, 0, false);
        check(UDP, 0, ANSWERED, true);
    }

    #[test]
    fn a_first_packet_begins_anew_when_either_was_done() {
        #[track_caller]
        fn check(client: u8, backend: u8, expected: bool) {
            assert_eq!(Sides { protocol: TCP, client, backend }.begins_anew(), expected);
        }
        check(CONFIRMED, ANSWERED, false);
        check(CONFIRMED, ANSWERED | FIN, false);
        check(CONFIRMED | FIN, ANSWERED, true);
        check(RST, ANSWERED, true);
        check(0, RST, true);
    }
}
