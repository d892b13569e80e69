//! Label and field selectors as they stand in a query: `a=b`, `a!=b`, `a`, `!a`, with commas
//! between.

use serde_json::Value;

/// All of its terms must hold; without any, everything is selected.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Selector(Vec<Term>);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Term {
    Is(String, String),
    IsNot(String, String),
    There(String),
    NotThere(String),
}

impl Selector {
    /// `None` if it is not understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let terms = text.split(',').map(str::trim).filter(|term| !term.is_empty());
        terms.map(Term::parse).collect::<Option<_>>().map(Self)
    }

    pub(super) fn selects_labels(&self, object: &Value) -> bool {
        self.selects(|key| object["metadata"]["labels"][key].as_str())
    }

    /// A field is named by its path, with dots between. What is not there equals the empty text.
    pub(super) fn selects_fields(&self, object: &Value) -> bool {
        self.selects(|key| {
            let field = key.split('.').try_fold(object, |value, part| value.get(part));
            Some(field.and_then(Value::as_str).unwrap_or_default())
        })
    }

    fn selects<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Is(key, wanted) => value(key) == Some(wanted),
            Term::IsNot(key, unwanted) => value(key) != Some(unwanted),
            Term::There(key) => value(key).is_some(),
            Term::NotThere(key) => value(key).is_none(),
        })
    }
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let pair = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
        let term = if let Some(parts) = text.split_once("!=") {
            let (key, value) = pair(parts);
            Self::IsNot(key, value)
        } else if let Some(parts) = text.split_once("==").or_else(|| text.split_once('=')) {
            let (key, value) = pair(parts);
            Self::Is(key, value)
        } else if let Some(key) = text.strip_prefix('!') {
            Self::NotThere(key.to_owned())
        } else {
            Self::There(text.to_owned())
        };
        let (Self::Is(key, _) | Self::IsNot(key, _) | Self::There(key) | Self::NotThere(key)) =
            &term;
        let plain =
            |character: char| character.is_ascii_alphanumeric() || "./_-".contains(character);
        (!key.is_empty() && key.chars().all(plain)).then_some(term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_selected_by_presence_and_value() {
        let object = json!({"metadata": {"labels": {"app": "web", "tier/x": ""}}});
        for (text, expected) in [
            ("", Some(true)),
            ("app", Some(true)),
            ("!app", Some(false)),
            ("!other", Some(true)),
            ("app=web", Some(true)),
            ("app==web,tier/x", Some(true)),
            ("app=db", Some(false)),
            ("app!=db", Some(true)),
            ("other!=db", Some(true)),
            ("app=web,!tier/x", Some(false)),
            ("app in (web)", None),
            ("=web", None),
        ] {
            let selects = Selector::parse(text).map(|selector| selector.selects_labels(&object));
            assert_eq!(selects, expected, "{text:?}");
        }
    }

    #[test]
    fn fields_are_selected_by_their_path() {
        let object = json!({"metadata": {"name": "node1"}, "spec": {"clusterIP": "None"}});
        for (text, expected) in [
            ("metadata.name=node1", true),
            ("metadata.name=node2", false),
            ("spec.clusterIP!=None", false),
            ("spec.other!=None", true),
            ("spec.other=", true),
        ] {
            let selector = Selector::parse(text).expect(text);
            assert_eq!(selector.selects_fields(&object), expected, "{text:?}");
        }
    }
}
