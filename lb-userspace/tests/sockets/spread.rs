//! How evenly processes are spread over backends.

use lb_testbed::even_spread_p;
use lb_userspace::model::IpFamily;

use crate::rig::{PODS, Rig, SHELL, TRANSPORTS, answered, cluster_ip, probe};

/// Less likely than this by chance alone, and a spread counts as uneven. Six spreads are looked at
/// each time, so a larger bound would fail now and then with nothing wrong.
const UNEVEN_BELOW: f64 = 1e-8;

#[test]
fn backends_are_chosen_evenly() {
    let mut rig = Rig::new();
    rig.program_pods(&PODS);
    for family in IpFamily::ALL {
        for transport in TRANSPORTS {
            let to = cluster_ip(family);
            let report = rig.call(SHELL, &probe(to, transport).requests(1200).concurrency(4));
            answered(&report, to, &PODS);
            let counts: Vec<u64> = report.by_pod().into_values().collect();
            let p = even_spread_p(&counts);
            assert!(p > UNEVEN_BELOW, "{to} {transport:?}: {counts:?}, p = {p}");
        }
    }
}
