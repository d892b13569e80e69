//! What becomes of changes and mistakes in the folder of manifests.

use crate::stage::{HTTP_PORT, MAIN, Stage, service, until_endpoints, until_logged};

const WEB: &str = "10.96.0.10:80";

fn web() -> String {
    service("web", &format!("clusterIP: 10.96.0.10, {HTTP_PORT}"))
}

/// Two pods that serve and one that calls, all on the only node.
fn stage() -> Stage {
    Stage::new(1).with("node1", "one").with("node1", "two").with("node1", "caller")
}

#[test]
fn an_endpoint_that_leaves_comes_or_is_not_ready_is_seen_at_once() {
    let stage = stage();
    let file = |slices| stage.write(MAIN, &[web(), slices]);
    file(stage.endpoints("web", &["one", "two"]));
    let _agent = stage.start("node1");
    stage.assert_who("caller", WEB, Some(&["one", "two"]));
    let check = |what, slices, expected| {
        file(slices);
        let took = stage.until_who("caller", WEB, expected);
        println!("{what}: callers see it after {} ms", took.as_millis());
    };
    check("deleted", stage.endpoints("web", &["two"]), Some(&["two"]));
    check("added", stage.endpoints("web", &["one", "two"]), Some(&["one", "two"]));
    check("not ready", stage.slices("web", &["one"], &["two"]), Some(&["one"]));
    check("ready again", stage.endpoints("web", &["one", "two"]), Some(&["one", "two"]));
    check("none left", stage.endpoints("web", &[]), None);
}

#[test]
fn a_file_that_does_not_parse_keeps_its_last_good_content() {
    let stage = stage();
    let other = service("other", &format!("clusterIP: 10.96.0.11, {HTTP_PORT}"));
    stage.write(MAIN, &[web(), stage.endpoints("web", &["one"])]);
    stage.write("other.yaml", &[other.clone(), stage.endpoints("other", &["one"])]);
    let agent = stage.start("node1");

    let broken = "kind: Service\nspec: {clusterIP: ]\n".to_owned();
    stage.write(MAIN, &[web(), broken]);
    // The first document and the separator are a line each.
    until_logged(&agent, &[MAIN, "document 2", "line 4"]);
    // Later news of another file must not take it down either.
    stage.write("other.yaml", &[other, stage.endpoints("other", &["two"])]);
    stage.until_who("caller", "10.96.0.11:80", Some(&["two"]));
    stage.assert_who("caller", WEB, Some(&["one"]));

    stage.write(MAIN, &[web(), stage.endpoints("web", &["two"])]);
    stage.until_who("caller", WEB, Some(&["two"]));
    until_logged(&agent, &["no longer rejected", MAIN]);
}

#[test]
fn an_object_that_cannot_be_is_named_with_its_field_and_harms_nobody_else() {
    let stage = stage();
    let bad = |name, spec| service(name, spec);
    let documents = [
        bad("too-high", "clusterIP: 10.96.0.20, ports: [{name: http, port: 99999}]"),
        bad("wrong-type", "clusterIP: 10.96.0.21, ports: [{name: http, port: eighty}]"),
        bad("no-address", &format!("clusterIP: 10.96.0.300, {HTTP_PORT}")),
        web(),
        stage.endpoints("web", &["one"]),
        stage.endpoints("too-high", &["one"]),
    ];
    stage.write(MAIN, &documents);
    let agent = stage.start("node1");
    until_logged(&agent, &["Service default/too-high", "spec.ports[0].port", "99999"]);
    until_logged(&agent, &["Service default/wrong-type", "spec.ports[0].port", "eighty"]);
    until_logged(&agent, &["Service default/no-address", "spec.clusterIP", "10.96.0.300"]);
    stage.assert_who("caller", WEB, Some(&["one"]));
    stage.assert_who("caller", "10.96.0.21:80", None);

    // The same mistakes while it runs, in an object that was good before.
    let good = service("too-high", &format!("clusterIP: 10.96.0.20, {HTTP_PORT}"));
    stage.write(MAIN, &[good, web(), documents[4].clone(), documents[5].clone()]);
    stage.until_who("caller", "10.96.0.20:80", Some(&["one"]));
    stage.write(MAIN, &documents);
    stage.until_who("caller", "10.96.0.20:80", None);
    until_endpoints(&agent, "default/web:http", &["10.244.1.2:8080"]);
    stage.assert_who("caller", WEB, Some(&["one"]));
}
