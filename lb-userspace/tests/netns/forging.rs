//! What a pod can say in another's name, whose answers go straight out: docs/configuration.md.

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use lb_testbed::{Agent, CLIENT};

use crate::{
    delivery::{self, PODS, counted},
    replies,
    stage::{DNS, Stage},
};

const PATIENCE: Duration = Duration::from_secs(5);
const FORGED: &[u8] = b"forged";

/// A socket in a place's network.
fn socket(stage: &Stage, place: &str, at: SocketAddr) -> UdpSocket {
    let mut socket = None;
    let netns = stage.cluster.netns(place).unwrap();
    netns
        .enter(|| {
            socket = Some(UdpSocket::bind(at).unwrap());
            Ok(())
        })
        .unwrap();
    let socket = socket.unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What a client hears that waits for an answer.
fn hear(client: &UdpSocket) -> Vec<u8> {
    let mut heard = vec![0; 2_000];
    let length = client.recv(&mut heard).unwrap();
    heard.truncate(length);
    heard
}

/// A node that believes a source address only at the device its routes name, and a pod on a device of
/// its own with the address of another pod, which a client calls.
fn check(agent: impl FnOnce(&Stage) -> Agent, is_direct: bool) {
    let stage = delivery::stage();
    let node = stage.cluster.netns("node1").unwrap();
    node.sysctl("ipv4/conf/all/rp_filter", "1").unwrap();
    let agent = agent(&stage);
    let [(victim, _, dns, _), (forger, ..)] = PODS;
    let address = stage.address(victim, true).unwrap();
    let its_device = stage.cluster.netns(forger).unwrap();
    its_device.links(async |links| links.address("eth0", address.into()).await).unwrap();
    let forger = socket(&stage, forger, (address, DNS).into());

    let own = stage.address(CLIENT, true).unwrap();
    let [client, bystander] = [(); 2].map(|()| socket(&stage, CLIENT, (own, 0).into()));
    client.connect((stage.address("node1", true).unwrap(), dns)).unwrap();
    let ask = || client.send(b"who is there?").unwrap();
    ask();
    let answer = hear(&client);
    assert_ne!(answer, FORGED);

    // Each is followed by a question: whatever is heard first was there first.
    for (to, arrives) in [(&bystander, false), (&client, is_direct)] {
        let before = counted(&agent, "direct_reply");
        forger.send_to(FORGED, to.local_addr().unwrap()).unwrap();
        ask();
        if arrives {
            assert_eq!(hear(&client), FORGED);
        }
        assert_eq!(hear(&client), answer);
        let straight = counted(&agent, "direct_reply") - before;
        assert_eq!(straight, u64::from(is_direct) + u64::from(arrives));
    }
    bystander.set_nonblocking(true).unwrap();
    assert!(bystander.recv(&mut [0]).is_err());
}

#[test]
fn with_direct_delivery_a_pod_speaks_for_another_within_that_ones_open_flows_only() {
    check(replies::start, true);
}

#[test]
fn without_it_the_nodes_own_checks_keep_a_pod_from_speaking_for_another() {
    check(|stage| stage.start("node1"), false);
}
