//! Source ports of ours that come round while the backend, which closed its connections first, still
//! waits out their end.

use std::{fmt::Write as _, thread, time::Duration};

use lb_testbed::{Families, Probe};

use crate::stage::{MAIN, Stage, service};

const NODE_PORT: u16 = 30_080;
/// All of them, towards the one backend.
const PORTS: u64 = 400;
/// Connections from ports that were used before.
const AGAIN: u64 = PORTS / 2;
/// How long a port rests though others would like to have it; the clock's seconds are rounded.
const REST: Duration = Duration::from_secs(3);

#[test]
fn connections_go_on_when_ports_come_round_that_their_backend_still_waits_for() {
    let stage = Stage::of(Families::Both, 2).with("node2", "far");
    let mut spec = String::from("type: NodePort, ipFamilyPolicy: RequireDualStack, ");
    write!(spec, "clusterIPs: ['10.96.0.10', 'fd00:96::10'], ").unwrap();
    write!(spec, "ports: [{{name: http, port: 80, nodePort: {NODE_PORT}}}]").unwrap();
    stage.write(MAIN, &[service("web", &spec), stage.endpoints("web", &["far"])]);
    let ports = format!("10000-{}", 9_999 + PORTS);
    let _agent = stage.start_with("node1", &["--snat-ports", &ports]);
    for is_v4 in [true, false] {
        let node = stage.address("node1", is_v4).unwrap();
        let call = |times| {
            let probe = Probe::tcp((node, NODE_PORT).into()).requests(times);
            let report = stage.cluster.probe("client", &probe).unwrap();
            assert_eq!((report.answered(), report.failed()), (times, 0), "{:?}", report.errors);
        };
        call(PORTS);
        thread::sleep(REST);
        let sent_again = || {
            let client = stage.cluster.netns("client").unwrap();
            client.repeated_first_packets().unwrap()
        };
        let before = sent_again();
        // To each of them half of the ports are no good: so many are left that it finds another.
        call(AGAIN);
        let again = sent_again() - before;
        assert!(again < AGAIN / 20, "{again} of {AGAIN} connections were not taken at once");
    }
}
