//! Source ports whose last connection its backend waits out (TIME_WAIT): they go to connections that
//! the backend takes for new ones.

use lb_common::{Protocol, counter::Counter};
use lb_userspace::kernel::Sizes;

use crate::{
    caller::Caller,
    frame::{self, Tcp},
    rig::{At, Fate, Rig},
};

const CLIENT: u16 = 41_000;

/// Sequence number and timestamp of a packet.
type Age = (u32, Option<u32>);

/// A node with so many ports of its own.
fn rig(ports: u16) -> Rig {
    Rig::with_ports(0, Sizes { flows: 1 << 12, ..Sizes::default() }, (10_000, 9_999 + ports))
}

fn packet(caller: &Caller, flags: Tcp, (sequence, stamp): Age) -> Vec<u8> {
    let [client, frontend] = [caller.client, caller.frontend].map(|socket| socket.to_string());
    frame::tcp_aged(&client, &frontend, flags, sequence, stamp)
}

/// A connection that its backend closes first, with the client's last packet; gives our port.
#[track_caller]
fn is_closed_by_its_backend(rig: &mut Rig, caller: &Caller, last: Age) -> u16 {
    let ours = caller.connects(rig);
    caller.is_answered(rig, ours, Tcp::Fin);
    assert_eq!(rig.run(caller.hook, &packet(caller, Tcp::Fin, last)).fate, Fate::Sent);
    caller.is_answered(rig, ours, Tcp::Ack);
    ours.port()
}

/// One that the client closes first.
#[track_caller]
fn is_closed_by_its_client(rig: &mut Rig, caller: &Caller) -> u16 {
    let ours = caller.connects(rig);
    caller.closes(rig, ours);
    ours.port()
}

/// Our port for a connection that begins with this packet, if it gets one.
fn begins(rig: &mut Rig, caller: &Caller, first: Age) -> Option<u16> {
    let before = rig.count(Counter::DropSnatExhausted);
    let outcome = rig.run(caller.hook, &packet(caller, Tcp::Syn, first));
    let refused = rig.count(Counter::DropSnatExhausted) - before;
    assert_eq!(refused, u64::from(outcome.fate != Fate::Sent), "{:?}", outcome.fate);
    (refused == 0).then(|| frame::read(&outcome.bytes).from.port())
}

/// Whether a port goes from a connection that ended so to one that begins so, or another port does,
/// that nobody waits for.
#[track_caller]
fn check_after(end: impl Fn(&mut Rig, &Caller) -> u16, first: Age, expected: bool) {
    let mut rig = rig(2);
    for hook in [At::Xdp, At::TcIngress] {
        for parties in rig.families() {
            let caller = Caller::program(&mut rig, &parties, hook, Protocol::Tcp);
            let port = end(&mut rig, &caller.from(CLIENT));
            let other = is_closed_by_its_client(&mut rig, &caller.from(CLIENT + 1));
            rig.rest(2);
            let given = begins(&mut rig, &caller.from(CLIENT + 2), first);
            let wanted = if expected { port } else { other };
            assert_eq!(given, Some(wanted), "{hook:?} {first:?}");
            rig.rest(100);
        }
    }
}

/// The same of a connection that its backend closed first.
#[track_caller]
fn check(last: Age, first: Age, expected: bool) {
    check_after(|rig, caller| is_closed_by_its_backend(rig, caller, last), first, expected);
}

#[test]
fn by_timestamps_a_younger_connection_is_taken() {
    check((5_000, Some(70_000)), (1_000, Some(70_002)), true);
    check((5_000, Some(70_000)), (9_000, Some(69_998)), false);
    check((5_000, Some(u32::MAX - 3)), (1_000, Some(4)), true);
}

#[test]
fn without_timestamps_by_sequence_numbers() {
    check((5_000, None), (5_004, None), true);
    check((5_000, None), (5_004, Some(70_000)), true);
    check((5_000, None), (4_000, None), false);
    check((5_000, Some(70_000)), (5_004, None), false);
}

#[test]
fn another_port_is_found_for_a_connection_that_one_backend_would_not_take() {
    let mut rig = rig(2);
    let [parties, _] = rig.families();
    let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Tcp);
    let ports = [80_000, 20_000].map(|stamp| {
        is_closed_by_its_backend(
            &mut rig,
            &caller.from(CLIENT + stamp as u16 / 1_000),
            (1, Some(stamp)),
        )
    });
    rig.rest(2);
    assert_eq!(begins(&mut rig, &caller.from(CLIENT), (1, Some(50_000))), Some(ports[1]));
    // Better a port whose backend may not take it than none.
    let late = caller.from(CLIENT + 1);
    assert_eq!(begins(&mut rig, &late, (1, Some(50_000))), Some(ports[0]));
    assert_eq!(begins(&mut rig, &caller.from(CLIENT + 2), (1, Some(90_000))), None);
}

#[test]
fn nobody_waits_for_a_connection_that_the_client_closed_first() {
    check_after(is_closed_by_its_client, (500, Some(60_000)), true);
}

#[test]
fn nobody_waits_for_a_connection_that_was_reset() {
    let is_reset = |rig: &mut Rig, caller: &Caller| {
        let ours = caller.connects(rig);
        caller.is_answered(rig, ours, Tcp::Fin);
        assert_eq!(caller.reaches(rig, Tcp::Rst), ours);
        ours.port()
    };
    check_after(is_reset, (500, Some(60_000)), true);
}

#[test]
fn who_calls_again_from_the_same_port_keeps_ours() {
    let mut rig = rig(100);
    for parties in rig.families() {
        let caller = Caller::program(&mut rig, &parties, At::Xdp, Protocol::Tcp).from(CLIENT);
        let port = is_closed_by_its_backend(&mut rig, &caller, (5_000, Some(70_000)));
        // Nobody knows better than the backend whether it takes this one.
        assert_eq!(begins(&mut rig, &caller, (4_000, Some(60_000))), Some(port));
        // It did not; the client said so, and that ended the wait.
        assert_eq!(rig.run(caller.hook, &packet(&caller, Tcp::Rst, (1, None))).fate, Fate::Sent);
        assert_eq!(begins(&mut rig, &caller, (4_000, Some(61_000))), Some(port));
        rig.rest(100);
    }
}
