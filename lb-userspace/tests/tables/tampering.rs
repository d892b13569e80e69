//! What somebody took away is put back by the next audit, and nothing else is touched.

use std::{collections::BTreeMap, fs, os::fd::AsFd, process::Command, thread};

use aya::maps::MapInfo;
use lb_common::names;
use lb_userspace::kernel::{
    Audit, Dataplane, ExternalDevice, Feature, Features, Part, XdpMode, pinned, sys,
};
use nix::sched::{CloneFlags, unshare};

use crate::room::{Cgroup, Room, small};

/// What a scenario stands on: programs on a cgroup and on one end of a veth pair, `eth0`.
struct Node {
    room: Room,
    cgroup: Cgroup,
    dataplane: Dataplane,
}

impl Node {
    /// Pins by name, with the number of their program.
    fn links(&self) -> BTreeMap<String, u32> {
        let found = pinned(&self.room.pins).unwrap().into_iter().filter(|link| {
            // Nobody is served by a link that has lost its target.
            !link.info.target.is_severed()
        });
        found
            .map(|link| {
                let name = link.path.file_name().unwrap().to_string_lossy().into_owned();
                (name, link.info.program)
            })
            .collect()
    }

    fn unpin(&self, link: &str) {
        fs::remove_file(self.room.pins.link(link)).unwrap();
    }

    fn detach(&self, link: &str) {
        let link = sys::object_get(&self.room.pins.link(link)).unwrap();
        sys::link_detach(link.as_fd()).unwrap();
    }

    fn map_id(&self, name: &str) -> u32 {
        MapInfo::from_pin(self.room.pins.map(name)).unwrap().id()
    }

    fn audit(&mut self) -> Vec<(Part, String)> {
        let Audit { repaired, errors } = self.dataplane.audit(self.cgroup.path());
        assert!(errors.is_empty(), "{errors:?}");
        repaired
    }
}

/// Takes something away, and asserts what the audit puts back.
#[track_caller]
fn check(
    name: &str,
    features: &Features,
    tamper: impl FnOnce(&Node, u32) + Send + 'static,
    expected: &[(Part, &str)],
) {
    let (name, features) = (name.to_owned(), features.clone());
    let expected: Vec<_> =
        expected.iter().map(|(part, name)| (*part, (*name).to_owned())).collect();
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        command("ip", "link add eth0 type veth peer name peer0");
        command("ip", "link set eth0 up");
        let ifindex = nix::net::if_::if_nametoindex("eth0").unwrap();
        let (room, cgroup) = (Room::new(&name), Cgroup::new(&name));
        let programs = room.load(small());
        let mut dataplane = Dataplane::new(programs, room.pins.clone(), XdpMode::Native, &features);
        dataplane.attach_cgroup(cgroup.path()).unwrap();
        let eth0 = ExternalDevice { name: "eth0".into(), veth: true, vlans: false, pods: false };
        assert!(dataplane.follow_devices(&[(ifindex, eth0)].into()).is_empty());
        let mut node = Node { room, cgroup, dataplane };

        assert_eq!(node.audit(), [], "nothing was taken away yet");
        let (links, frontends) = (node.links(), node.map_id(names::FRONTENDS_V4));
        tamper(&node, ifindex);
        assert_eq!(node.audit(), expected);
        assert_eq!(node.links(), links);
        assert_eq!(node.map_id(names::FRONTENDS_V4), frontends, "a table that nobody fills");
        assert_eq!(node.audit(), [], "all is back");
    };
    thread::spawn(run).join().unwrap();
}

fn command(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn links_without_their_pin_are_made_again() {
    let features = Features::probe().unwrap();
    let tamper = |node: &Node, ifindex| {
        node.unpin("connect4");
        node.unpin(&format!("{}-{ifindex}-native", names::XDP_INGRESS));
        // The kernel takes the program off a little later, and one at a time has room there.
        while command("ip", "link show eth0").contains("prog/xdp") {
            thread::yield_now();
        }
    };
    let xdp = format!("{} on eth0", names::XDP_INGRESS);
    let expected = [(Part::SocketHook, "connect4"), (Part::DeviceHook, &*xdp)];
    check("unpinned", &features, tamper, &expected);
}

#[test]
fn detached_links_are_made_again() {
    let features = Features::probe().unwrap();
    // Without tcx there are filters, which are no links.
    let tc_is_linked = features.has(Feature::Tcx);
    let tamper = move |node: &Node, ifindex| {
        node.detach("sendmsg6");
        if tc_is_linked {
            node.detach(&format!("{}-{ifindex}", names::TC_EGRESS));
        }
    };
    let tc = format!("{} on eth0", names::TC_EGRESS);
    let expected = [(Part::SocketHook, "sendmsg6"), (Part::DeviceHook, &*tc)];
    check("detached", &features, tamper, &expected[..1 + usize::from(tc_is_linked)]);
}

#[test]
fn removed_filters_are_made_again() {
    let features = Features::probe().unwrap().without(Feature::Tcx);
    let tamper = |_: &Node, _| drop(command("tc", "filter del dev eth0 ingress"));
    let tc = format!("{} on eth0", names::TC_INGRESS);
    check("filters", &features, tamper, &[(Part::DeviceHook, &tc)]);
}

#[test]
fn a_removed_qdisc_is_made_again_with_its_filters() {
    let features = Features::probe().unwrap().without(Feature::Tcx);
    let tamper = |_: &Node, _| drop(command("tc", "qdisc del dev eth0 clsact"));
    let [ingress, egress] =
        [names::TC_INGRESS, names::TC_EGRESS].map(|program| format!("{program} on eth0"));
    let expected = [(Part::DeviceHook, &*ingress), (Part::DeviceHook, &*egress)];
    check("qdisc", &features, tamper, &expected);
}

#[test]
fn a_table_without_its_pin_is_pinned_again_with_all_it_holds() {
    let features = Features::probe().unwrap();
    let tamper = |node: &Node, _| {
        fs::remove_file(node.room.pins.map(names::FRONTENDS_V4)).unwrap();
    };
    check("table", &features, tamper, &[(Part::TablePin, names::FRONTENDS_V4)]);
}
