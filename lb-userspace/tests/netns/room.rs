//! Tables too small for all that is wanted.

use crate::stage::{HTTP_PORT, MAIN, Stage, inspect, service, until_logged};

/// Three Services with so many endpoints each, at 10.96.0.11 to .13, in this order of age.
fn documents(stage: &Stage, pods: [&[&str]; 3]) -> Vec<String> {
    let mut documents = Vec::new();
    for (number, pods) in pods.into_iter().enumerate() {
        let name = ["first", "second", "third"][number];
        let address = format!("clusterIP: 10.96.0.{}, {HTTP_PORT}", 11 + number);
        documents.extend([service(name, &address), stage.endpoints(name, pods)]);
    }
    documents
}

/// Starts with a table that has no room for one of three Services, then makes room.
fn check(limit: [&str; 2], table: &str) {
    let stage = Stage::new(1).with("node1", "one").with("node1", "two").with("node1", "caller");
    let two: &[&str] = &["one", "two"];
    stage.write(MAIN, &documents(&stage, [two, two, two]));
    let agent = stage.start_with("node1", &limit);
    let refused = until_logged(&agent, &["rejected: Service default/third", table]);
    println!("{refused}");
    stage.assert_who("caller", "10.96.0.11:80", Some(two));
    stage.assert_who("caller", "10.96.0.12:80", Some(two));
    stage.assert_who("caller", "10.96.0.13:80", None);
    let rows = inspect(&agent, "services");
    let names: Vec<_> = rows.as_array().unwrap().iter().map(|row| &row["service"]).collect();
    assert_eq!(names, ["default/first:http", "default/second:http"], "nothing half-written");

    let mut less = documents(&stage, [two, two, two]);
    less.drain(..2);
    stage.write(MAIN, &less);
    stage.until_who("caller", "10.96.0.13:80", Some(two));
    stage.until_who("caller", "10.96.0.11:80", None);
    stage.assert_who("caller", "10.96.0.12:80", Some(two));
    until_logged(&agent, &["no longer rejected: Service default/third"]);
}

#[test]
fn a_service_without_room_for_its_endpoints_is_refused_whole_until_there_is_room() {
    check(["--max-backends", "5"], "BACKENDS");
}

#[test]
fn a_service_without_a_row_is_refused_whole_until_there_is_room() {
    check(["--max-services", "2"], "SERVICES");
}
