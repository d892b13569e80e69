//! Every operation, by stores and by calls, one entry and many.

use lb_common::{
    Address, Be16, Be32, Ipv4,
    backend::{self, Backend},
    device::Device,
    frontend::{Frontend, FrontendKey, kind, scope},
    run::Run,
    service::{Service, ServiceSettings, flags},
    source_range::{SourceRange, prefix_length},
};
use lb_userspace::{
    maps::{Class, Tables},
    plan::{FrontendAt, List, Op, RowName},
};

use crate::room::{Room, small};

fn frontend_v4(number: u16) -> Op {
    let key = FrontendKey {
        address: Be32::new(0x0a60_0001),
        port: Be16::new(number),
        protocol: 6,
        scope: scope::ADDRESS,
    };
    let frontend = Frontend { service: number.into(), kind: kind::CLUSTER_IP, pad: [0; 3] };
    Op::PutFrontend { at: FrontendAt::V4(key), frontend }
}

fn frontend_v6(number: u16) -> Op {
    let address = "fd00::1".parse::<std::net::Ipv6Addr>().unwrap();
    let key = FrontendKey {
        address: Address::from(address).0,
        port: Be16::new(number),
        protocol: 17,
        scope: scope::ADDRESS,
    };
    let frontend = Frontend { service: number.into(), kind: kind::LOAD_BALANCER, pad: [0; 3] };
    Op::PutFrontend { at: FrontendAt::V6(key), frontend }
}

fn removed(op: &Op) -> Op {
    match op {
        Op::PutFrontend { at, .. } => Op::RemoveFrontend { at: *at },
        other => panic!("{other:?} puts no frontend"),
    }
}

#[test]
fn rows_are_written_whole_and_field_by_field() {
    let room = Room::new("rows");
    let _programs = room.load(small());
    let mut tables = room.tables(true);
    let name: RowName = RowName::decode(&[*b"default/web:http"]).unwrap();
    let first = Backend {
        address: Address::from(std::net::IpAddr::from([10, 1, 0, 1])),
        port: Be16::new(8080),
        flags: backend::flags::SERVING,
        generation: 7,
        service: 5,
        weight: 1,
        membership: 0,
    };
    let row = Service { name: Run::new(9, 1, 0), ..Service::default() };
    let settings = ServiceSettings { flags: flags::LIVE | 6 << 8, affinity_timeout_s: 10_800 };
    tables
        .apply(&[
            Op::PutBackend { index: 3, backend: first },
            Op::WriteSlots { offset: 100, backends: vec![3, 3, 4] },
            Op::WriteName { offset: 9, cells: name.encode() },
            Op::PutService { index: 5, service: row },
            Op::PublishRun { service: 5, list: List::Cluster, run: Run::new(100, 3, 1) },
            Op::PublishRun { service: 5, list: List::Local, run: Run::new(101, 1, 2) },
            Op::SetSettings { service: 5, settings },
            Op::SetBackendFlags { index: 3, flags: backend::flags::IN_CLUSTER },
        ])
        .unwrap();
    let contents = tables.contents().unwrap();
    let expected =
        Service { cluster: Run::new(100, 3, 1), local: Run::new(101, 1, 2), settings, ..row };
    assert_eq!(contents.services, [(5, expected)]);
    assert_eq!(contents.backends, [(3, Backend { flags: backend::flags::IN_CLUSTER, ..first })]);
    assert_eq!(contents.list(expected.cluster), [3, 3, 4]);
    assert_eq!(contents.name_of(&expected), Some(name));
}

#[test]
fn entries_come_and_go_one_by_one_and_many_at_once() {
    #[track_caller]
    fn check(room: &Room, batch: bool, count: u16) {
        let mut tables = room.tables(batch);
        let v4: Vec<_> = (1..=count).map(frontend_v4).collect();
        let v6: Vec<_> = (1..=count).map(frontend_v6).collect();
        // Families mixed, as services of both have them.
        let mixed: Vec<_> = v4.iter().zip(&v6).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
        tables.apply(&mixed).unwrap();
        let all = usize::from(count);
        assert_eq!(tables.contents().unwrap().frontends.len(), 2 * all, "batch {batch}, {count}");
        // Some of them are not there any more when all are to go.
        tables.apply(&[removed(&v4[0]), removed(&v4[all / 2])]).unwrap();
        assert_eq!(tables.contents().unwrap().frontends.len(), 2 * all - 2);
        tables.apply(&v4.iter().map(removed).collect::<Vec<_>>()).unwrap();
        let left = tables.contents().unwrap().frontends;
        assert!(left.iter().all(|(at, _)| matches!(at, FrontendAt::V6(_))));
        assert_eq!(left.len(), all);
        tables.apply(&v6.iter().map(removed).collect::<Vec<_>>()).unwrap();
        assert_eq!(tables.contents().unwrap().frontends, []);
    }
    let room = Room::new("entries");
    let _programs = room.load(small());
    for batch in [true, false] {
        for count in [2, 31, 32, 33, 1_000] {
            check(&room, batch, count);
        }
    }
}

#[test]
fn the_small_tables_read_back() {
    let room = Room::new("small");
    let _programs = room.load(small());
    let mut tables = room.tables(true);
    let address = Address::from(std::net::IpAddr::from([192, 0, 2, 1]));
    let source_v4: Ipv4 = Be32::new(0xc000_0201);
    let device = Device { source_v4, source_v6: Default::default(), flags: 1 };
    let range = SourceRange { service: Be32::new(5), client: address };
    let prefix_length = prefix_length(24, false);
    let put = [
        Op::PutNodeAddress { address, flags: 1 },
        Op::PutDevice { ifindex: 7, device },
        Op::PutSourceRange { prefix_length, range },
    ];
    tables.apply(&put).unwrap();
    let contents = tables.contents().unwrap();
    assert_eq!(contents.node_addresses, [(address, 1)].into());
    assert_eq!(contents.devices, [(7, device)].into());
    assert_eq!(contents.source_ranges, [(prefix_length, range)]);
    let take = [
        Op::RemoveNodeAddress { address },
        Op::RemoveDevice { ifindex: 7 },
        Op::RemoveSourceRange { prefix_length, range },
    ];
    // The second time there is nothing left to remove, which is as good.
    for _ in 0..2 {
        tables.apply(&take).unwrap();
        let contents = tables.contents().unwrap();
        assert!(contents.node_addresses.is_empty() && contents.devices.is_empty());
        assert_eq!(contents.source_ranges, []);
    }
}

#[test]
fn what_does_not_fit_is_told_by_its_class() {
    let room = Room::new("full");
    let _programs = room.load(small());
    let mut tables = room.tables(true);
    let beyond = Op::PutService { index: small().services, service: Service::default() };
    assert_eq!(tables.apply(&[beyond]).unwrap_err().class(), Class::Reject);
    let many: Vec<_> = (1..=4_000).map(frontend_v4).collect();
    let error = tables.apply(&many).unwrap_err();
    assert_eq!(error.class(), Class::Reject, "{error}");
}
