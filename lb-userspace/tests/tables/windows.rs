//! Arrays, of which no more is mapped than is used.

use aya::maps::MapData;
use lb_common::{
    backend::Backend,
    names,
    run::Run,
    service::{Service, ServiceSettings},
};
use lb_userspace::{
    kernel::{
        Sizes,
        sys::{Access, Mapped, RowError},
    },
    maps::{Reader, Tables},
    plan::{List, LiveRows, Op},
};
use std::os::fd::AsFd;

use crate::room::{Room, small};

/// `SERVICES` of 512 KiB, `BACKENDS` of 768 KiB, which is no power of two, and `SLOTS` of 128 KiB.
fn sizes() -> Sizes {
    Sizes { services: 8_192, backends: 24_576, ..small() }
}

#[test]
fn a_table_is_mapped_as_far_as_rows_were_asked_for() {
    let room = Room::new("windows");
    let _programs = room.load(sizes());
    let pin = MapData::from_pin(room.pins.map(names::BACKENDS)).unwrap();
    let open = |access| Mapped::<Backend>::open(pin.fd().as_fd(), 24_576, access).unwrap();
    let (mut written, read) = (open(Access::Write), open(Access::Read));
    let row = |generation| Backend { generation, ..Backend::default() };
    // Row by row; each takes 32 bytes.
    for (index, kib) in [
        (0, 64),
        (2_047, 64),
        (2_048, 128),
        (10_000, 512),
        (2_049, 512),
        (24_575, 768),
        (16_384, 768),
    ] {
        written.store(index, &row(index + 1)).unwrap();
        assert_eq!(written.mapped(), kib << 10, "row {index}");
        assert_eq!(read.load(index).unwrap(), row(index + 1));
        assert_eq!(read.mapped(), kib << 10, "row {index}");
    }
    // What was written before the last growth is still there, and can still be changed.
    written.publish_u16::<{ std::mem::offset_of!(Backend, weight) }>(2_048, 5).unwrap();
    assert_eq!(read.load(2_048).unwrap(), Backend { weight: 5, ..row(2_049) });
    assert_eq!(written.load(10_000).unwrap(), row(10_001));
    let beyond = written.store(24_576, &row(1)).unwrap_err();
    assert!(matches!(beyond, RowError::OutOfTable { index: 24_576, rows: 24_576 }), "{beyond}");
}

#[test]
fn rows_anywhere_are_written_read_and_found_by_the_next_agent() {
    let room = Room::new("anywhere");
    let _programs = room.load(sizes());
    let settings = ServiceSettings { flags: 1, affinity_timeout_s: 0 };
    let row = |cluster| Service { settings, cluster, ..Service::default() };
    let rows = [(0, Run::new(0, 2, 1)), (1_024, Run::EMPTY), (8_191, Run::new(16_380, 4, 1))];
    let backend = Backend { service: 8_191, ..Backend::default() };
    let mut tables = room.tables(true);
    let mut ops = vec![
        Op::PutBackend { index: 24_575, backend },
        Op::WriteSlots { offset: 0, backends: vec![1, 2] },
        Op::WriteSlots { offset: 16_380, backends: vec![24_575; 4] },
    ];
    for (service, run) in rows {
        ops.push(Op::PutService { index: service, service: row(Run::EMPTY) });
        ops.push(Op::PublishRun { service, list: List::Cluster, run });
    }
    tables.apply(&ops).unwrap();
    let expected = rows.map(|(index, run)| (index, row(run)));
    // Who wrote them, who comes after it, and who only looks.
    for contents in [
        tables.contents(),
        room.tables(false).contents(),
        Reader::new(&room.pins.maps()).contents(),
    ] {
        let contents = contents.unwrap();
        assert_eq!(contents.services, expected);
        assert_eq!(contents.backends, [(24_575, backend)]);
        assert_eq!(contents.list(rows[0].1), [1, 2]);
        assert_eq!(contents.list(rows[2].1), [24_575; 4]);
    }
    // One that has read nothing yet looks at single rows.
    let fresh = room.tables(true);
    assert_eq!(fresh.slots(rows[2].1), Some(vec![24_575; 4]));
    assert_eq!(LiveRows::service(&fresh, 8_191), Some(expected[2].1));
    assert_eq!(LiveRows::backend(&fresh, 24_575), Some(backend));
    assert_eq!(LiveRows::backend(&fresh, 24_576), None);
}
