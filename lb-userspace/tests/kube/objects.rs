//! An object that is not what its kind demands, amid others.

use serde_json::json;

use crate::{
    picture::until_exact,
    stage::{
        CALLER, PATIENCE, SERVICES, SLICES, Stage, WEB, assert_unharmed, service, sorted, until,
        until_logged,
    },
};

#[test]
fn an_object_with_a_field_of_the_wrong_type_is_named_and_harms_nobody_else() {
    let stage = Stage::new(1);
    stage.put_web(&["one"]);
    let mut bad = service("bad", "10.96.0.66");
    bad["spec"]["ports"][0]["port"] = json!("eighty");
    stage.api.put(SERVICES, bad.clone());
    stage.put_endpoints("bad", &["one"]);
    let agent = stage.start("node1");
    until_logged(&agent, &["Service default/bad", "spec.ports[0].port", "eighty"]);
    stage.assert_who(WEB, Some(&["one"]));

    // The same in an object that was good before, while the agent runs, on either side.
    let traffic = stage.traffic(CALLER);
    stage.api.put(SERVICES, service("bad", "10.96.0.66"));
    assert!(until(|| stage.who("10.96.0.66").is_some()), "a mended object is not used");
    until_logged(&agent, &["no longer rejected", "Service default/bad"]);
    stage.api.put(SERVICES, bad);
    assert!(until(|| stage.who("10.96.0.66").is_none()), "a spoiled object is used");
    let mut slice = stage.slice("gone", &["one"]);
    slice["endpoints"] = json!("none");
    stage.api.put(SLICES, slice);
    until_logged(&agent, &["EndpointSlice default/gone-x", "endpoints"]);
    stage.put_endpoints("web", &["two", "three"]);
    assert!(until(|| stage.who(WEB) == Some(sorted(&["two", "three"]))));

    stage.api.remove(SERVICES, "default", "bad");
    stage.put_endpoints("gone", &["three"]);
    until_exact(&agent, &stage.api, PATIENCE);
    assert_unharmed(traffic);
}
