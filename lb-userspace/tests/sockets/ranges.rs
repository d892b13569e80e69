//! Source ranges of a load balancer, for processes on the node.

use lb_common::Protocol;
use lb_testbed::Transport;
use lb_userspace::model::{FrontendKind, IpFamily};

use crate::{
    node::service::port,
    rig::{PODS, PORT, Rig, SHELL, answered, failed, probe, vips},
};

#[test]
fn a_socket_is_admitted_by_the_address_it_is_bound_to() {
    let mut rig = Rig::new();
    for family in IpFamily::ALL {
        let [_, _, (_, balancer)] = vips(family);
        let (to, caller) = ((balancer, PORT).into(), rig.address(SHELL, family));
        let make = |rig: &Rig, range: &str| {
            let port = port("ranges", Protocol::Tcp, family).source_range(range);
            rig.with(port.at(FrontendKind::LoadBalancer, to), family, &PODS[..1]).build()
        };
        let unbound = probe(to, Transport::Tcp);
        let bound = probe(to, Transport::Tcp).from(caller);

        let own = make(&rig, &ipnet::IpNet::from(caller).to_string());
        rig.node.program([own]);
        answered(&rig.call(SHELL, &bound), to, &PODS[..1]);
        failed(&rig.call(SHELL, &unbound), to, "EHOSTUNREACH");

        let others = if family == IpFamily::V4 { "192.0.2.0/24" } else { "2001:db8::/32" };
        let others = make(&rig, others);
        rig.node.program([others]);
        failed(&rig.call(SHELL, &bound), to, "EHOSTUNREACH");
    }
}

#[test]
fn who_is_not_let_in_is_told_so_whether_or_not_there_are_endpoints() {
    let mut rig = Rig::new();
    let [_, _, (_, balancer)] = vips(IpFamily::V4);
    let (to, caller) = ((balancer, PORT).into(), rig.address(SHELL, IpFamily::V4));
    let empty = |range: &str| {
        let port = port("ranges", Protocol::Tcp, IpFamily::V4).source_range(range);
        port.at(FrontendKind::LoadBalancer, to).build()
    };
    let bound = probe(to, Transport::Tcp).from(caller);
    rig.node.program([empty("192.0.2.0/24")]);
    failed(&rig.call(SHELL, &bound), to, "EHOSTUNREACH");
    rig.node.program([empty(&ipnet::IpNet::from(caller).to_string())]);
    failed(&rig.call(SHELL, &bound), to, "ECONNREFUSED");
}
