//! A thousand objects that are malformed or hostile, amid neighbours that are good: the agent does
//! not stop, names each that it refuses, uses what can be used, and mixes up nothing.

mod damage;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    time::Duration,
};

use lb_testbed::Agent;
use serde_json::{Value, json};

use crate::{
    picture::{Picture, held},
    stage::{
        CALLER, PATIENCE, SERVICES, SLICES, Stage, WEB, assert_unharmed, endpoint, service, slice,
        until_within,
    },
};
use damage::{Damage, MANY, MOST_OF_MANY, Random, Row};

/// Another seed for the objects.
const SEED: &str = "SLUICE_SEED";
const USUAL_SEED: u64 = 0x0b5c_0a7d;
const OBJECTS: usize = 1000;
/// Services that are good.
const NEIGHBOURS: usize = 100;
/// The one whose name and address others claim.
const NEIGHBOUR: &str = "neighbour-0";
const NEIGHBOUR_ADDRESS: &str = "10.99.0.1";
/// How long a thousand objects may take.
const A_THOUSAND: Duration = Duration::from_secs(30);
/// Longest name of a Service, and of any object.
const LABEL: usize = 63;
const NAME: usize = 253;

/// An object with what is to become of it.
struct Hostile {
    name: String,
    damage: &'static Damage,
    service: Value,
    slice: Value,
    good: (Value, Value),
}

impl Hostile {
    /// The same number gives the same object.
    fn new(number: usize, random: &mut Random) -> Self {
        let mut damage = &damage::ALL[number % damage::ALL.len()];
        if damage.row == Row::Many(MANY) && number / damage::ALL.len() >= MOST_OF_MANY {
            damage = &damage::ALL[random.below(damage::ALL.len() - 1)];
        }
        let mut name = format!("h-{number}");
        match random.below(10) {
            0 => name += &"-".repeat(LABEL - name.len() - 1),
            1 => name += &".x".repeat((NAME - name.len() - 8) / 2),
            _ => (),
        }
        if name.ends_with('-') {
            name.push('z');
        }
        let good = (
            service(&name, &address(100, number)),
            slice(&name, vec![endpoint(&address(101, number), "node1")]),
        );
        let (mut service, mut slice) = good.clone();
        service["metadata"]["annotations"] = json!({});
        service["metadata"]["labels"] = json!({});
        (damage.make)(if damage.of_slice { &mut slice } else { &mut service }, random);
        Self { name, damage, service, slice, good }
    }

    /// How it is called when it is refused.
    fn object(&self) -> String {
        match self.damage.of_slice {
            true => format!("EndpointSlice default/{}-x:", self.name),
            false => format!("Service default/{}:", self.name),
        }
    }

    /// Its row, once it is mended or while it is not.
    fn wanted(&self, is_good: bool) -> Option<(String, BTreeSet<String>)> {
        let endpoints = |slice: &Value| -> BTreeSet<String> {
            let all = slice["endpoints"].as_array().unwrap().iter();
            all.map(|one| format!("{}:8080", one["addresses"][0].as_str().unwrap())).collect()
        };
        let endpoints = match self.damage.row {
            _ if is_good => endpoints(&self.good.1),
            Row::None => return None,
            Row::Empty => BTreeSet::new(),
            Row::Whole => endpoints(&self.good.1),
            Row::Many(_) => endpoints(&self.slice),
        };
        Some((format!("default/{}:http", self.name), endpoints))
    }
}

#[test]
fn a_thousand_hostile_objects_are_refused_by_name_and_their_neighbours_work() {
    let seed = env::var(SEED).map_or(USUAL_SEED, |text| text.parse().unwrap());
    println!("seed {seed} ({SEED})");
    let mut random = Random(seed);
    let hostile: Vec<_> = (0..OBJECTS).map(|number| Hostile::new(number, &mut random)).collect();
    let stage = Stage::new(1);
    stage.put_web(&["one", "two"]);
    for number in 0..NEIGHBOURS {
        let name = format!("neighbour-{number}");
        stage.api.put(SERVICES, service(&name, &address(99, number)));
        let one = endpoint(&address(98, number), "node1");
        stage.api.put(SLICES, slice(&name, vec![one]));
    }
    // One half is there from the start, the other comes in between.
    let (first, second) = hostile.split_at(OBJECTS / 2);
    put(&stage, first, false);
    let agent = stage.start("node1");
    let pid = agent.pid();
    until_as_wanted(&agent, first, false);
    let traffic = stage.traffic(CALLER);
    put(&stage, second, false);
    until_as_wanted(&agent, &hostile, false);
    stage.assert_who(WEB, Some(&["one", "two"]));
    assert_named(&agent, &hostile);

    put(&stage, &hostile, true);
    until_as_wanted(&agent, &hostile, true);
    put(&stage, &hostile, false);
    until_as_wanted(&agent, &hostile, false);
    stage.put_endpoints("web", &["three"]);
    let moved = until_within(PATIENCE, || stage.who(WEB) == Some(vec!["three".into()]));
    assert!(moved.is_some(), "a neighbour's change is not seen");
    assert_unharmed(traffic);
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "the agent has ended");
    let refused = hostile.iter().filter(|one| one.damage.refused).count();
    println!("{OBJECTS} objects of {} kinds, {refused} refused by name", damage::ALL.len());
}

fn address(second: u8, number: usize) -> String {
    format!("10.{second}.{}.{}", number / 250, number % 250 + 1)
}

fn put(stage: &Stage, hostile: &[Hostile], good: bool) {
    for one in hostile {
        let (service, slice) =
            if good { one.good.clone() } else { (one.service.clone(), one.slice.clone()) };
        stage.api.put(SERVICES, service);
        stage.api.put(SLICES, slice);
    }
}

/// Rows by name; addresses are left out, as damage may be done to them.
fn rows(picture: Picture) -> BTreeMap<String, BTreeSet<String>> {
    let all = picture.into_iter().map(|((name, _), endpoints)| (name, endpoints));
    all.filter(|(name, _)| !name.ends_with("/web:http") && !name.ends_with("/gone:http")).collect()
}

#[track_caller]
fn until_as_wanted(agent: &Agent, hostile: &[Hostile], good: bool) {
    let neighbours = (0..NEIGHBOURS).map(|number| {
        let one = format!("{}:8080", address(98, number));
        (format!("default/neighbour-{number}:http"), BTreeSet::from([one]))
    });
    let mut wanted: BTreeMap<_, _> = neighbours.collect();
    wanted.extend(hostile.iter().filter_map(|one| one.wanted(good)));
    if until_within(A_THOUSAND, || rows(held(agent)) == wanted).is_some() {
        let claimed = (format!("default/{NEIGHBOUR}:http"), NEIGHBOUR_ADDRESS.to_owned());
        assert!(held(agent).contains_key(&claimed), "{claimed:?} has lost its address");
        return;
    }
    let held = rows(held(agent));
    for one in hostile {
        let name = format!("default/{}:http", one.name);
        let (is, should) = (held.get(&name), wanted.get(&name));
        if is != should {
            let count = |row: Option<&BTreeSet<_>>| row.map(BTreeSet::len);
            let (is, should) = (count(is), count(should));
            println!("{name}, {}: {is:?} endpoints, not {should:?}", one.damage.what);
        }
    }
    let others = held.keys().filter(|name| !wanted.contains_key(*name));
    println!("rows of nobody: {:?}", others.collect::<Vec<_>>());
    panic!("the tables are not as wanted");
}

/// Every object that is refused is named in the log, no other is.
#[track_caller]
fn assert_named(agent: &Agent, hostile: &[Hostile]) {
    let find = || {
        let log = agent.own_log().unwrap();
        let wrong = hostile.iter().filter(|one| log.contains(&one.object()) != one.damage.refused);
        wrong.map(|one| (one.object(), one.damage.what)).collect::<Vec<_>>()
    };
    let named = until_within(PATIENCE, || find().is_empty());
    assert!(named.is_some(), "not named, or named without a reason: {:#?}", find());
}
