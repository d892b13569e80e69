//! What outlives an agent, and what the next one makes of it.

use lb_userspace::{
    kernel::{Error, Sizes},
    maps::{Reader, Tables},
    plan::{Capacities, Planner},
};

use crate::room::{Room, service, small};

fn capacities() -> Capacities {
    let sizes = small();
    Capacities {
        services: sizes.services,
        backends: sizes.backends,
        slots: sizes.slots,
        name_cells: sizes.name_cells,
        frontends: sizes.frontends,
        source_ranges: sizes.source_ranges,
        ..Capacities::default()
    }
}

#[test]
fn the_next_agent_finds_everything_in_place() {
    let room = Room::new("adopt");
    {
        let _programs = room.load(small());
        let mut tables = room.tables(true);
        let plan = Planner::new(capacities()).plan((1..=50).map(|number| service(number, 4)));
        tables.apply(&plan.ops).unwrap();
    }
    let _programs = room.load(small());
    let mut tables = room.tables(true);
    let (mut planner, repair) = Planner::adopt(capacities(), tables.contents().unwrap());
    assert_eq!(repair.ops, []);
    assert_eq!(planner.names().count(), 50);
    let same = planner.plan((1..=50).map(|number| service(number, 4)));
    assert_eq!(same.ops, []);
    let less = planner.plan([service(7, 3), (service(8, 0).0, Vec::new())]);
    tables.apply(&less.ops).unwrap();
    let contents = Reader::new(&room.pins.maps()).contents().unwrap();
    assert_eq!(contents.frontends.len(), 2 * 49);
}

/// What is left of a frontend and of a flow after the sizes of tables have changed.
#[track_caller]
fn resized(name: &str, sizes: Sizes, planned_stays: bool) {
    let room = Room::new(name);
    {
        let _programs = room.load(small());
        let plan = Planner::new(capacities()).plan([service(1, 4)]);
        room.tables(true).apply(&plan.ops).unwrap();
    }
    let _programs = room.load(sizes);
    let left = room.tables(true).contents().unwrap();
    assert_eq!(!left.frontends.is_empty(), planned_stays);
    assert_eq!(!left.services.is_empty(), planned_stays);
    assert_eq!(room.pins.map_size("FLOWS_V4").unwrap(), sizes.flows);
    assert_eq!(room.pins.map_size("BACKENDS").unwrap(), sizes.backends);
}

#[test]
fn tables_of_another_size_are_replaced_with_all_that_refer_to_them() {
    resized("same", small(), true);
    resized("flows", Sizes { flows: 2_048, ..small() }, true);
    resized("backends", Sizes { backends: 8_192, ..small() }, false);
}

#[test]
fn two_agents_cannot_share_a_folder() {
    let room = Room::new("lock");
    let first = room.pins.lock().unwrap();
    assert!(matches!(room.pins.lock(), Err(Error::InUse(_))));
    drop(first);
    drop(room.pins.lock().unwrap());
}
