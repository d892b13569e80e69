//! Single changes to an object: what JSON patch (RFC 6902) calls add, replace and remove.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// One change.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
pub enum Operation {
    /// Puts a value where there is none, or into a list.
    Add {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
    /// Puts a value in the place of another.
    Replace {
        /// Where.
        path: String,
        /// What.
        value: Value,
    },
    /// Takes a value away.
    Remove {
        /// Where.
        path: String,
    },
}

impl Operation {
    /// Makes the change.
    pub fn apply(&self, object: &mut Value) -> Result<()> {
        let path = match self {
            Self::Add { path, .. } | Self::Replace { path, .. } | Self::Remove { path } => path,
        };
        self.apply_at(object, path).with_context(|| path.clone())
    }

    fn apply_at(&self, object: &mut Value, path: &str) -> Result<()> {
        let (parent, last) = path.rsplit_once('/').context("is no path")?;
        let last = last.replace("~1", "/").replace("~0", "~");
        match object.pointer_mut(parent).context("leads nowhere")? {
            Value::Object(map) => match self {
                Self::Add { value, .. } => _ = map.insert(last, value.clone()),
                Self::Replace { value, .. } => {
                    *map.get_mut(&last).context("is not there")? = value.clone();
                }
                Self::Remove { .. } => _ = map.remove(&last).context("is not there")?,
            },
            Value::Array(list) => self.apply_to_list(list, &last)?,
            _ => bail!("leads into a single value"),
        }
        Ok(())
    }

    fn apply_to_list(&self, list: &mut Vec<Value>, last: &str) -> Result<()> {
        let at = if last == "-" { list.len() } else { last.parse().context("is no position")? };
        let places = list.len() + usize::from(matches!(self, Self::Add { .. }));
        if at >= places {
            bail!("is beyond the list");
        }
        match self {
            Self::Add { value, .. } => list.insert(at, value.clone()),
            Self::Replace { value, .. } => list[at] = value.clone(),
            Self::Remove { .. } => _ = list.remove(at),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Operation;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(operation: Value, expected: Result<Value, &str>) {
        let mut object = json!({"a": {"b": 1, "c/d": 2}, "list": [1, 2]});
        let operation: Operation = serde_json::from_value(operation).unwrap();
        let done = operation.apply(&mut object).map(|()| object);
        match expected {
            Ok(expected) => assert_eq!(done.unwrap(), expected),
            Err(part) => {
                let complaint = format!("{:#}", done.unwrap_err());
                assert!(complaint.contains(part), "no `{part}` in: {complaint}");
            }
        }
    }

    #[test]
    fn values_are_added_replaced_and_removed() {
        let with = |a: Value, list: Value| Ok(json!({"a": a, "list": list}));
        let a = json!({"b": 1, "c/d": 2});
        let list = json!([1, 2]);
        check(
            json!({"op": "add", "path": "/a/e", "value": true}),
            with(json!({"b": 1, "c/d": 2, "e": true}), list.clone()),
        );
        check(
            json!({"op": "replace", "path": "/a/c~1d", "value": 3}),
            with(json!({"b": 1, "c/d": 3}), list.clone()),
        );
        check(json!({"op": "remove", "path": "/a/b"}), with(json!({"c/d": 2}), list));
        check(
            json!({"op": "add", "path": "/list/-", "value": 3}),
            with(a.clone(), json!([1, 2, 3])),
        );
        check(
            json!({"op": "add", "path": "/list/0", "value": 3}),
            with(a.clone(), json!([3, 1, 2])),
        );
        check(
            json!({"op": "replace", "path": "/list/1", "value": 3}),
            with(a.clone(), json!([1, 3])),
        );
        check(json!({"op": "remove", "path": "/list/0"}), with(a, json!([2])));
    }

    #[test]
    fn a_path_to_nowhere_is_refused_by_its_name() {
        check(json!({"op": "add", "path": "/x/y", "value": 1}), Err("/x/y: leads nowhere"));
        check(json!({"op": "add", "path": "x", "value": 1}), Err("x: is no path"));
        check(json!({"op": "add", "path": "/a/b/c", "value": 1}), Err("leads into a single value"));
        check(json!({"op": "add", "path": "/list/3", "value": 1}), Err("is beyond the list"));
        check(json!({"op": "replace", "path": "/list/-", "value": 1}), Err("is beyond the list"));
        check(json!({"op": "replace", "path": "/list/x", "value": 1}), Err("is no position"));
        check(json!({"op": "replace", "path": "/a/x", "value": 1}), Err("/a/x: is not there"));
        check(json!({"op": "remove", "path": "/a/x"}), Err("/a/x: is not there"));
    }
}
