//! Programs on their hooks: attached, replaced in place, moved, taken off.

use std::{collections::BTreeMap, process::Command, thread, time::Duration};

use lb_userspace::kernel::{
    Dataplane, ExternalDevice, Feature, Features, Pinned, XdpMode, pinned, sys::LinkTarget,
};
use nix::sched::{CloneFlags, unshare};

use crate::room::{Cgroup, Room, small};

const TICK: Duration = Duration::from_millis(20);

fn dataplane(room: &Room, xdp: XdpMode, features: &Features) -> Dataplane {
    Dataplane::new(room.load(small()), room.pins.clone(), xdp, features)
}

fn links(room: &Room) -> BTreeMap<String, Pinned> {
    let name = |link: &Pinned| link.path.file_name().unwrap().to_str().unwrap().to_owned();
    pinned(&room.pins).unwrap().into_iter().map(|link| (name(&link), link)).collect()
}

/// Runs a scenario in a new network namespace with a veth pair; it is told the first end's index.
fn in_namespace(scenario: impl FnOnce(u32) + Send + 'static) {
    let run = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link add eth0 type veth peer name peer0");
        ip("link set eth0 up");
        ip("link set peer0 up");
        scenario(nix::net::if_::if_nametoindex("eth0").unwrap());
    };
    thread::spawn(run).join().unwrap();
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn tc_filters(direction: &str) -> String {
    let arguments = ["filter", "show", "dev", "eth0", direction];
    let output = Command::new("tc").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The device, as if it were no veth: so that `auto` tries XDP.
fn eth0(ifindex: u32) -> BTreeMap<u32, ExternalDevice> {
    [(ifindex, ExternalDevice { name: "eth0".into(), veth: false, vlans: false, pods: false })]
        .into()
}

#[test]
fn a_new_agents_programs_take_the_place_of_the_old_ones() {
    in_namespace(|ifindex| {
        let room = Room::new("replace");
        let cgroup = Cgroup::new("replace");
        let features = Features::probe().unwrap();
        let start = || {
            let mut dataplane = dataplane(&room, XdpMode::Auto, &features);
            dataplane.attach_cgroup(cgroup.path()).unwrap();
            assert_eq!(dataplane.follow_devices(&eth0(ifindex)).len(), 0);
            assert_eq!(dataplane.native_xdp(), [ifindex].into());
            links(&room)
        };
        let (before, after) = (start(), start());
        assert_eq!(before.len(), 8 + 2 + 1);
        for (name, link) in &before {
            let now = &after[name];
            assert_eq!(link.info.id, now.info.id, "{name} is another link");
            assert_ne!(link.info.program, now.info.program, "{name} has the old program");
        }
    });
}

#[test]
fn socket_programs_move_to_another_cgroup() {
    let room = Room::new("move");
    let features = Features::probe().unwrap();
    let target = |cgroup: &Cgroup| {
        let mut dataplane = dataplane(&room, XdpMode::Off, &features);
        dataplane.attach_cgroup(cgroup.path()).unwrap();
        links(&room)["connect4"].info.target
    };
    let (first, second) = (Cgroup::new("first"), Cgroup::new("second"));
    let before = target(&first);
    drop(first);
    // The kernel lets go of a removed cgroup some time later.
    let severed = |_| {
        thread::sleep(TICK);
        links(&room)["connect4"].info.target.is_severed()
    };
    assert!((0..1_000).any(severed), "its cgroup is gone");
    let after = target(&second);
    assert!(!after.is_severed());
    assert_ne!(before, after);
}

#[test]
fn a_device_has_no_xdp_while_it_has_vlans() {
    in_namespace(|ifindex| {
        let room = Room::new("vlans");
        let features = Features::probe().unwrap();
        for mode in [XdpMode::Auto, XdpMode::Generic] {
            let mut dataplane = dataplane(&room, mode, &features);
            let has_xdp = || links(&room).keys().any(|name| name.starts_with("xdp"));
            for vlans in [true, false, true, false] {
                let mut devices = eth0(ifindex);
                devices.values_mut().for_each(|device| device.vlans = vlans);
                assert_eq!(dataplane.follow_devices(&devices).len(), 0);
                assert_eq!(has_xdp(), !vlans, "{mode:?}");
            }
        }
    });
}

#[test]
fn devices_come_and_go() {
    in_namespace(|ifindex| {
        let room = Room::new("devices");
        let features = Features::probe().unwrap();
        let mut dataplane = dataplane(&room, XdpMode::Generic, &features);
        assert_eq!(dataplane.follow_devices(&eth0(ifindex)).len(), 0);
        assert!(dataplane.native_xdp().is_empty());
        let on = links(&room);
        assert!(on.values().all(|link| link.info.target == LinkTarget::Device(ifindex)));
        assert!(on.contains_key(&format!("xdp_ingress-{ifindex}-generic")));
        ip("link del eth0");
        assert_eq!(dataplane.follow_devices(&BTreeMap::new()).len(), 0);
        assert!(links(&room).is_empty());
    });
}

#[test]
fn a_device_that_takes_the_name_of_one_that_went_has_the_programs() {
    let features = Features::probe().unwrap();
    for (name, features) in
        [("links", features.clone()), ("filters", features.without(Feature::Tcx))]
    {
        in_namespace(move |first| {
            let room = Room::new(name);
            let mut dataplane = dataplane(&room, XdpMode::Off, &features);
            let mut follow = |ifindex| {
                assert_eq!(dataplane.follow_devices(&eth0(ifindex)).len(), 0);
                assert_eq!(dataplane.follow_pods(&[(ifindex, "eth0".into())].into()).len(), 0);
            };
            follow(first);
            ip("link del eth0");
            ip("link add eth0 type veth peer name peer0");
            let second = nix::net::if_::if_nametoindex("eth0").unwrap();
            assert_ne!(second, first);
            follow(second);
            let linked = |program| links(&room).contains_key(&format!("{program}-{second}"));
            for (program, direction) in
                [("tc_ingress", "ingress"), ("tc_reply", "ingress"), ("tc_egress", "egress")]
            {
                let there = linked(program) || tc_filters(direction).contains(program);
                assert!(there, "{name}: {program}");
            }
        });
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_names_it() {
    let room = Room::new("absent");
    let features = Features::probe().unwrap();
    let mut dataplane = dataplane(&room, XdpMode::Auto, &features);
    let errors = dataplane.follow_devices(&eth0(0x7fff_ffff));
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].to_string(), "attaching tc_ingress to eth0");
}

#[test]
fn another_mode_of_xdp_replaces_the_first() {
    in_namespace(|ifindex| {
        let room = Room::new("mode");
        let features = Features::probe().unwrap();
        let modes = |xdp| {
            let mut dataplane = dataplane(&room, xdp, &features);
            assert_eq!(dataplane.follow_devices(&eth0(ifindex)).len(), 0);
            links(&room).into_values().filter_map(|link| link.mode).collect::<Vec<_>>()
        };
        assert_eq!(modes(XdpMode::Native), ["native"]);
        assert_eq!(modes(XdpMode::Generic), ["generic"]);
        assert_eq!(modes(XdpMode::Off), [] as [&str; 0]);
    });
}

#[test]
fn without_tcx_links_filters_are_used_and_replaced() {
    in_namespace(|ifindex| {
        let room = Room::new("clsact");
        let features = Features::probe().unwrap().without(Feature::Tcx);
        let program = |direction| {
            let filters = tc_filters(direction);
            let id = filters.split_once("id ").map(|(_, rest)| rest.split(' ').next().unwrap());
            id.unwrap_or_else(|| panic!("no filter at {direction}: {filters}")).to_owned()
        };
        let start = || {
            let mut dataplane = dataplane(&room, XdpMode::Off, &features);
            assert_eq!(dataplane.follow_devices(&eth0(ifindex)).len(), 0);
            drop(dataplane);
            [program("ingress"), program("egress")]
        };
        let (before, after) = (start(), start());
        assert!(before.iter().zip(&after).all(|(old, new)| old != new), "{before:?} {after:?}");
        assert_eq!(tc_filters("ingress").matches(" handle ").count(), 1);
        let mut dataplane = dataplane(&room, XdpMode::Off, &features);
        dataplane.follow_devices(&eth0(ifindex));
        dataplane.follow_devices(&BTreeMap::new());
        assert_eq!((tc_filters("ingress"), tc_filters("egress")), Default::default());
    });
}
