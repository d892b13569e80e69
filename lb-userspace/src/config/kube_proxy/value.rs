//! The shapes that fields have, and which values ask for nothing.

use std::time::Duration;

use serde_json::Value;

/// What a field may be, besides `null`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// A text.
    Text,
    /// `true` or `false`.
    Switch,
    /// A number.
    Number,
    /// A text like `1h30m`, as Go writes a duration.
    Duration,
    /// A list of texts.
    List,
    /// Anything: it is not looked into.
    Any,
}

impl Shape {
    /// Whether a value is of this shape; else what it should have been.
    pub(super) fn check(self, value: &Value) -> Result<(), &'static str> {
        let (fits, expected) = match self {
            Self::Text => (value.is_string(), "a text"),
            Self::Switch => (value.is_boolean(), "true or false"),
            Self::Number => (value.is_number(), "a number"),
            Self::Duration => {
                (value.as_str().and_then(duration).is_some(), "a duration like 1h30m")
            }
            Self::List => {
                let texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
                (value.as_array().is_some_and(texts), "a list of texts")
            }
            Self::Any => (true, ""),
        };
        if fits || value.is_null() { Ok(()) } else { Err(expected) }
    }

    /// Whether a value asks for something other than what is so without it. Configurations that
    /// programs wrote out spell every field: empty, 0, or with the default.
    pub(super) fn asks(self, value: &Value, default: &str) -> bool {
        match value {
            Value::Null => false,
            Value::Bool(on) => default.parse() != Ok(*on),
            Value::Number(number) => {
                let asked = number.as_f64();
                asked != Some(0.0) && asked != default.parse().ok()
            }
            Value::String(text) if self == Self::Duration => {
                let asked = duration(text).filter(|time| !time.is_zero());
                asked.is_some() && asked != duration(default)
            }
            Value::String(text) => !["", "0", default].contains(&text.as_str()),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => map.values().any(|value| self.asks(value, default)),
        }
    }
}

/// A value as people read it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        Value::Array(list) => {
            let list: Vec<_> = list.iter().map(shown).collect();
            format!("[{}]", list.join(", "))
        }
        Value::Object(map) => {
            let map: Vec<_> =
                map.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect();
            format!("{{{}}}", map.join(", "))
        }
        other => other.to_string(),
    }
}

/// Units of Go's durations.
const UNITS: [(&str, f64); 8] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("μs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];

/// A duration as Go writes it: numbers, each with its unit; `0` alone needs none.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    (!text.is_empty()).then(|| Duration::try_from_secs_f64(seconds).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        #[track_caller]
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text}");
        }
        check("24h0m0s", Some(86_400_000));
        check("1h30m", Some(5_400_000));
        check("1.5s", Some(1500));
        check("250ms", Some(250));
        check("0", Some(0));
        check("0s", Some(0));
        for wrong in ["", "30", "s", "1 s", "1d", "-5s", "1h-3m", "."] {
            check(wrong, None);
        }
    }
}
