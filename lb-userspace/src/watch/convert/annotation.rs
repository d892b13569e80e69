//! Our own annotations: how a Service's flows are spread. A value that cannot be read is refused,
//! and the object is as if it had none.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use lb_common::limits::WEIGHT_LARGEST;
use serde_json::Value;

use super::{Notes, value};
use crate::model::Algorithm;

/// On a Service: `maglev` or `random`.
const ALGORITHM: &str = "sluice.dev/algorithm";
/// On an EndpointSlice, or an Endpoints object: one weight for all endpoints, or a JSON object of
/// address and weight.
const WEIGHTS: &str = "sluice.dev/weights";

/// How a Service's backends are chosen, if it says so.
pub(super) fn algorithm(metadata: &ObjectMeta, notes: &mut Notes) -> Option<Algorithm> {
    let text = get(metadata, ALGORITHM).filter(|text| !text.is_empty())?;
    let values = [("maglev", Algorithm::Maglev), ("random", Algorithm::Random)];
    notes.check(field(ALGORITHM), value::one_of(Some(text), &values, "maglev, random"))
}

/// The weights of a slice's endpoints.
pub(super) struct Weights {
    all: u16,
    own: BTreeMap<IpAddr, u16>,
}

impl Weights {
    /// As an object's annotation says. Addresses that are not among its endpoints are no mistake:
    /// endpoints come and go, and the annotation stays.
    pub(super) fn of(metadata: &ObjectMeta, notes: &mut Notes) -> Self {
        let mut weights = Self { all: 1, own: BTreeMap::new() };
        let Some(text) = get(metadata, WEIGHTS) else { return weights };
        match serde_json::from_str(text) {
            Ok(Value::Object(own)) => {
                for (address, given) in &own {
                    let field = format!("{}[{address}]", field(WEIGHTS));
                    let address = notes.check(&field, value::address(address));
                    let weight = weight(given, &field, notes);
                    weights.own.extend(address.zip(weight));
                }
            }
            Ok(given @ Value::Number(_)) => {
                weights.all = weight(&given, &field(WEIGHTS), notes).unwrap_or(1);
            }
            _ => notes.refuse(
                field(WEIGHTS),
                format_args!("`{text}` is neither a number nor a JSON object of numbers"),
            ),
        }
        weights
    }

    /// An endpoint's weight.
    pub(super) fn get(&self, address: IpAddr) -> u16 {
        self.own.get(&address).copied().unwrap_or(self.all)
    }
}

fn weight(given: &Value, field: &str, notes: &mut Notes) -> Option<u16> {
    let number = given.as_u64().and_then(|number| u16::try_from(number).ok());
    let weight = number.filter(|number| *number <= WEIGHT_LARGEST);
    if weight.is_none() {
        notes.refuse(
            field,
            format_args!("`{given}` is not a whole number from 0 to {WEIGHT_LARGEST}"),
        );
    }
    weight
}

fn get<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An object with one annotation, and what is refused of it.
    fn read<T>(
        key: &str,
        value: &str,
        read: impl FnOnce(&ObjectMeta, &mut Notes) -> T,
    ) -> (T, Vec<String>) {
        let annotations = Some([(key.to_owned(), value.to_owned())].into());
        let metadata =
            ObjectMeta { name: Some("web".to_owned()), annotations, ..ObjectMeta::default() };
        let mut notes = Notes::new("Object", &metadata);
        let found = read(&metadata, &mut notes);
        (found, notes.rejections.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_service_names_its_algorithm_or_leaves_it_to_us() {
        #[track_caller]
        fn check(value: &str, expected: Option<Algorithm>, refused: &[&str]) {
            let (found, rejections) = read(ALGORITHM, value, algorithm);
            assert_eq!(
                (found, rejections),
                (expected, refused.iter().map(|s| s.to_string()).collect())
            );
        }
        check("maglev", Some(Algorithm::Maglev), &[]);
        check("random", Some(Algorithm::Random), &[]);
        check("", None, &[]);
        check(
            "Maglev",
            None,
            &[
                "Object default/web: metadata.annotations[sluice.dev/algorithm]: `Maglev` is not known here (maglev, random)",
            ],
        );
    }

    #[track_caller]
    fn check_weights(value: &str, expected: [u16; 2], refused: &[&str]) {
        let (weights, rejections) = read(WEIGHTS, value, Weights::of);
        let found = ["10.1.0.5", "fd00::5"].map(|text| weights.get(text.parse().unwrap()));
        assert_eq!(found, expected, "{value}");
        let prefix = "Object default/web: metadata.annotations[sluice.dev/weights]";
        let refused: Vec<_> = refused.iter().map(|text| format!("{prefix}{text}")).collect();
        assert_eq!(rejections, refused, "{value}");
    }

    #[test]
    fn weights_are_given_by_address_or_for_the_whole_slice() {
        check_weights("3", [3, 3], &[]);
        check_weights("0", [0, 0], &[]);
        check_weights(r#"{"10.1.0.5": 100}"#, [100, 1], &[]);
        check_weights(r#"{"10.1.0.5": 0, "FD00:0::5": 2, "10.1.0.99": 7}"#, [0, 2], &[]);
    }

    #[test]
    fn a_weight_that_cannot_be_read_is_refused_by_itself() {
        check_weights("101", [1, 1], &[": `101` is not a whole number from 0 to 100"]);
        check_weights("", [1, 1], &[": `` is neither a number nor a JSON object of numbers"]);
        check_weights("[3]", [1, 1], &[": `[3]` is neither a number nor a JSON object of numbers"]);
        check_weights(
            r#"{"10.1.0.5": -1, "fd00::5": 4, "web": 2}"#,
            [1, 4],
            &[
                "[10.1.0.5]: `-1` is not a whole number from 0 to 100",
                "[web]: `web` is not an IP address",
            ],
        );
        check_weights(
            r#"{"10.1.0.5": 1.5, "fd00::5": "2"}"#,
            [1, 1],
            &[
                "[10.1.0.5]: `1.5` is not a whole number from 0 to 100",
                "[fd00::5]: `\"2\"` is not a whole number from 0 to 100",
            ],
        );
    }
}
