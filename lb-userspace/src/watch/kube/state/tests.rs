use std::time::Duration;

use super::*;
use crate::model::testing::{endpoint, service, slice};

fn started() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn after(seconds: u64) -> SystemTime {
    started() + Duration::from_secs(seconds)
}

fn object(name: &str, value: Option<Value>) -> Object {
    let (version, rejections) = (String::new(), Vec::new());
    Object { name: ServiceName::new("default", name), version, value, rejections }
}

fn web(name: &str, port: u16) -> Object {
    let built = service(name).cluster_ip("10.96.0.1").port("http", port).build();
    object(name, Some(Value::Service(Arc::new(built))))
}

fn ends_at(name: &str, of: &str, address: &str, trigger: Option<SystemTime>) -> Object {
    let built = slice(of).name(name).port("http", 80).endpoint(endpoint(address)).build();
    object(name, Some(Value::Slice(Arc::new(built), trigger)))
}

fn ends(name: &str, of: &str, address: &str) -> Object {
    ends_at(name, of, address, None)
}

fn bad(kind: &str, name: &str) -> Object {
    let rejection =
        Rejection { object: format!("{kind} {name}"), field: "spec".into(), reason: "odd".into() };
    Object { rejections: vec![rejection], ..object(name, None) }
}

fn node(zone: &str) -> Object {
    let news = NodeNews {
        zone: Some(zone.into()),
        internal_ips: vec!["192.0.2.1".parse().unwrap()],
        eligible: true,
        exists: true,
    };
    object("n1", Some(Value::Node(news)))
}

fn gone(name: &str) -> Change {
    Change::Gone(ServiceName::new("default", name))
}

/// A whole list.
fn list(state: &mut State, kind: Kind, objects: impl IntoIterator<Item = Object>) {
    state.apply(kind, Change::ListBegins);
    objects.into_iter().for_each(|object| state.apply(kind, Change::Listed(object)));
    state.apply(kind, Change::ListEnds);
}

/// Services a and b, each with one slice.
fn known() -> State {
    let mut state = State::new(started());
    list(&mut state, Kind::Services, [web("a", 80), web("b", 80)]);
    list(&mut state, Kind::Slices, [ends("a-1", "a", "10.1.0.1"), ends("b-1", "b", "10.1.0.2")]);
    state.news();
    state
}

/// The picture in words: `a:80`, and of slices `a: a-1 10.1.0.1`.
fn words(picture: &Picture) -> Vec<String> {
    let services =
        picture.services.values().map(|s| format!("{}:{}", s.name.name, s.ports[0].port));
    let slices = picture.slices.iter().map(|(name, list)| {
        let texts =
            list.iter().map(|slice| format!("{} {}", slice.name, slice.endpoints[0].address));
        format!("{}: {}", name.name, texts.collect::<Vec<_>>().join(", "))
    });
    services.chain(slices).collect()
}

/// What there is after these changes to [`known`]; a state that must not have changed has no news.
#[track_caller]
fn check(changes: impl IntoIterator<Item = (Kind, Change)>, expected: Option<&[&str]>) {
    let mut state = known();
    changes.into_iter().for_each(|(kind, change)| state.apply(kind, change));
    assert_eq!(state.has_news(), expected.is_some());
    if let Some(expected) = expected {
        assert_eq!(words(&state.news().picture), expected);
    }
}

const BEFORE: [&str; 4] = ["a:80", "b:80", "a: a-1 10.1.0.1", "b: b-1 10.1.0.2"];

#[test]
fn nothing_leaves_before_both_lists_are_complete() {
    let mut state = State::new(started());
    list(&mut state, Kind::Services, [web("a", 80)]);
    state.apply(Kind::Services, Change::Set(web("b", 80)));
    state.apply(Kind::Slices, Change::ListBegins);
    state.apply(Kind::Slices, Change::Listed(ends("a-1", "a", "10.1.0.1")));
    assert!(!state.has_news() && !state.is_complete());
    state.apply(Kind::Slices, Change::ListEnds);
    assert!(state.has_news() && state.is_complete());
    assert_eq!(words(&state.news().picture), ["a:80", "b:80", "a: a-1 10.1.0.1"]);
    assert!(!state.has_news());
}

#[test]
fn an_empty_cluster_is_complete_too() {
    let mut state = State::new(started());
    list(&mut state, Kind::Services, []);
    list(&mut state, Kind::Slices, []);
    assert!(state.has_news());
    assert_eq!(words(&state.news().picture), [""; 0]);
}

#[test]
fn objects_come_change_and_go() {
    use Kind::{Services, Slices};
    check(
        [(Services, Change::Set(web("a", 81)))],
        Some(&["a:81", BEFORE[1], BEFORE[2], BEFORE[3]]),
    );
    check([(Services, gone("b"))], Some(&["a:80", BEFORE[2], BEFORE[3]]));
    check([(Slices, gone("b-1"))], Some(&["a:80", "b:80", BEFORE[2]]));
    check(
        [(Slices, Change::Set(ends("a-1", "a", "10.1.0.9")))],
        Some(&["a:80", "b:80", "a: a-1 10.1.0.9", BEFORE[3]]),
    );
    check(
        [(Slices, Change::Set(ends("a-0", "a", "10.1.0.9")))],
        Some(&["a:80", "b:80", "a: a-0 10.1.0.9, a-1 10.1.0.1", BEFORE[3]]),
    );
    check(
        [(Slices, Change::Set(ends("a-0", "a", "10.1.0.9"))), (Slices, gone("a-1"))],
        Some(&["a:80", "b:80", "a: a-0 10.1.0.9", BEFORE[3]]),
    );
}

#[test]
fn a_slice_may_be_given_to_another_service() {
    check(
        [(Kind::Slices, Change::Set(ends("a-1", "b", "10.1.0.1")))],
        Some(&["a:80", "b:80", "b: a-1 10.1.0.1, b-1 10.1.0.2"]),
    );
}

#[test]
fn what_changes_nothing_is_no_news() {
    check([(Kind::Services, Change::Set(web("a", 80)))], None);
    check([(Kind::Slices, Change::Set(ends("a-1", "a", "10.1.0.1")))], None);
    check([(Kind::Slices, gone("unknown")), (Kind::Services, gone("unknown"))], None);
    check([(Kind::Node, Change::Set(node("a")))], None);
}

#[test]
fn a_list_replaces_everything_when_it_is_complete_and_not_before() {
    let listed =
        || [(Kind::Services, Change::ListBegins), (Kind::Services, Change::Listed(web("c", 80)))];
    check(listed(), None);
    check(
        listed().into_iter().chain([(Kind::Services, Change::ListEnds)]),
        Some(&["c:80", BEFORE[2], BEFORE[3]]),
    );
    check(
        [
            (Kind::Slices, Change::ListBegins),
            (Kind::Slices, Change::Listed(ends("b-1", "b", "10.1.0.2"))),
            (Kind::Slices, Change::ListEnds),
        ],
        Some(&["a:80", "b:80", BEFORE[3]]),
    );
}

#[test]
fn a_list_that_breaks_off_leaves_no_trace() {
    let mut state = known();
    state.apply(Kind::Services, Change::ListBegins);
    state.apply(Kind::Services, Change::Listed(web("ghost", 80)));
    state.apply(Kind::Services, Change::Listed(bad("Service", "odd")));
    list(&mut state, Kind::Services, [web("a", 80)]);
    let news = state.news();
    assert_eq!(words(&news.picture), ["a:80", BEFORE[2], BEFORE[3]]);
    assert_eq!(news.rejections.len(), 0);
}

#[test]
fn a_list_keeps_what_is_equal_where_it_is() {
    let mut state = known();
    let before = state.news().picture;
    list(&mut state, Kind::Slices, [ends("a-1", "a", "10.1.0.1"), ends("b-1", "b", "10.1.0.9")]);
    list(&mut state, Kind::Services, [web("a", 80), web("b", 80)]);
    let after = state.news().picture;
    let (a, b) = (ServiceName::new("default", "a"), ServiceName::new("default", "b"));
    assert!(Arc::ptr_eq(&before.services[&a], &after.services[&a]));
    assert!(Arc::ptr_eq(&before.slices[&a], &after.slices[&a]));
    assert!(!Arc::ptr_eq(&before.slices[&b], &after.slices[&b]));
}

#[test]
fn an_object_that_turns_bad_is_taken_out_by_name_and_comes_back() {
    let mut state = known();
    state.apply(Kind::Services, Change::Set(bad("Service", "a")));
    let news = state.news();
    assert_eq!(words(&news.picture), ["b:80", BEFORE[2], BEFORE[3]]);
    assert_eq!(news.rejections[0].to_string(), "Service a: spec: odd");
    state.apply(Kind::Services, Change::Set(web("a", 80)));
    let news = state.news();
    assert_eq!(
        (words(&news.picture), news.rejections.len()),
        (BEFORE.map(str::to_owned).into(), 0)
    );
}

#[test]
fn a_bad_object_that_is_deleted_is_no_longer_rejected() {
    let mut state = known();
    state.apply(Kind::Slices, Change::Set(bad("EndpointSlice", "odd")));
    assert_eq!(state.news().rejections.len(), 1);
    state.apply(Kind::Slices, gone("odd"));
    assert!(state.has_news());
    assert_eq!(state.news().rejections.len(), 0);
}

#[test]
fn triggers_are_those_of_real_changes_since_the_start() {
    #[track_caller]
    fn check(change: Object, expected: &[u64]) {
        let mut state = known();
        state.apply(Kind::Slices, Change::Set(change));
        let found: Vec<_> = state.news().triggers.into_iter().map(|trigger| trigger.at).collect();
        assert_eq!(found, expected.iter().map(|s| after(*s)).collect::<Vec<_>>());
    }
    check(ends_at("a-1", "a", "10.1.0.9", Some(after(5))), &[5]);
    check(ends_at("a-1", "a", "10.1.0.1", Some(after(5))), &[]);
    check(ends_at("a-1", "a", "10.1.0.9", Some(started())), &[]);
    check(ends_at("a-1", "a", "10.1.0.9", None), &[]);
}

#[test]
fn no_trigger_is_lost_or_told_twice() {
    let mut state = known();
    state.apply(Kind::Slices, Change::Set(ends_at("a-1", "a", "10.1.0.8", Some(after(1)))));
    state.apply(Kind::Slices, Change::Set(ends_at("a-1", "a", "10.1.0.9", Some(after(2)))));
    list(
        &mut state,
        Kind::Slices,
        [
            ends_at("a-1", "a", "10.1.0.9", Some(after(2))),
            ends_at("b-1", "b", "10.1.0.7", Some(after(3))),
        ],
    );
    let found: Vec<_> = state.news().triggers.iter().map(|trigger| trigger.at).collect();
    assert_eq!(found, [1, 2, 3].map(after));
    assert_eq!(state.news().triggers, []);
}

#[test]
fn a_node_that_is_gone_leaves_what_was_known_of_it() {
    let mut state = known();
    list(&mut state, Kind::Node, [node("a")]);
    state.apply(Kind::Node, gone("n1"));
    let left = state.node().unwrap();
    assert_eq!((left.exists, left.zone.as_deref()), (false, Some("a")));
    state.apply(Kind::Node, Change::Set(node("b")));
    let back = state.node().unwrap();
    assert_eq!((back.exists, back.zone.as_deref()), (true, Some("b")));
    list(&mut state, Kind::Node, []);
    assert!(!state.node().unwrap().exists);
}

#[test]
fn a_node_that_cannot_be_read_stays_as_it_was() {
    let mut state = known();
    list(&mut state, Kind::Node, [node("a")]);
    state.apply(Kind::Node, Change::Set(bad("Node", "n1")));
    list(&mut state, Kind::Node, [bad("Node", "n1")]);
    let left = state.node().unwrap();
    assert_eq!((left.exists, left.zone.as_deref()), (true, Some("a")));
    assert_eq!(state.news().rejections.len(), 1);
}
