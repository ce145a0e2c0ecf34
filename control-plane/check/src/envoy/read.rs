//! A configuration out of the octets that somebody gave for one.

use serde_json::{Map, Value};

use super::yaml;

/// The most octets that are read. A dump has some 4 KiB for each cluster.
pub const MAX_SIZE: usize = 64 << 20;

/// An Envoy's configuration: what it dumps, or the file that it starts with.
#[derive(Debug)]
pub struct Configuration {
    pub(super) form: Form,
    pub(super) whole: Value,
}

/// Which of both it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Dump,
    Bootstrap,
}

/// Why something is no configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no configuration of an Envoy: {0}. Give the URL of its admin interface, such as http://127.0.0.1:9901; or \
     a file with what that answers at /config_dump?include_eds, or the one that Envoy starts with"
)]
pub struct Unreadable(String);

// === impl Configuration ===

impl Configuration {
    /// Reads JSON or YAML, with names as Envoy writes them, or in camel case as istioctl does.
    pub fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let no = |why: String| Err(Unreadable(why));
        if bytes.len() > MAX_SIZE {
            return no(format!("it has more than {} MiB", MAX_SIZE >> 20));
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return no("it is not text".to_owned()) };
        let text = text.trim_start_matches('\u{feff}').trim();
        let read = match text.chars().next() {
            None => return no("it is empty".to_owned()),
            Some('<') => return no("it is a web page".to_owned()),
            Some('{' | '[') => serde_json::from_str(text).map_err(|error| {
                if error.is_eof() {
                    format!("it ends in the middle ({error})")
                } else {
                    format!("it is no JSON ({error})")
                }
            }),
            Some(_) => yaml::parse(text),
        };
        let whole = match read {
            Ok(value) => in_snake_case(value),
            Err(why) => return no(why),
        };
        let has = |name| whole.get(name).is_some();
        let form = if whole.get("configs").is_some_and(Value::is_array) {
            Form::Dump
        } else if has("static_resources") || has("dynamic_resources") {
            Form::Bootstrap
        } else {
            return no("it has neither `configs` nor `static_resources`".to_owned());
        };
        if form == Form::Dump && !is_whole(&whole) {
            return no("it is a part of a dump, without listeners or clusters".to_owned());
        }
        Ok(Self { form, whole })
    }
}

/// Whether a dump has the parts that all of them have; with `resource` or `mask` it has not.
fn is_whole(dump: &Value) -> bool {
    let parts: Vec<_> = dump.get("configs").and_then(Value::as_array).into_iter().flatten().collect();
    ["BootstrapConfigDump", "ListenersConfigDump", "ClustersConfigDump"].iter().all(|kind| {
        parts.iter().any(|part| {
            part.get("@type").and_then(Value::as_str).is_some_and(|name| name.ends_with(kind))
        })
    })
}

/// Protobuf's JSON has two spellings of each name. Names that are data have other signs in them, or begin otherwise.
fn in_snake_case(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (snake(name), in_snake_case(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(in_snake_case).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn snake(name: String) -> String {
    let is_camel = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
        && name.chars().any(|c| c.is_ascii_uppercase());
    if !is_camel {
        return name;
    }
    name.chars().fold(String::new(), |mut snake, c| {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        snake
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_configuration_is_said_with_what_to_give_instead() {
        for (text, why) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("<!DOCTYPE html><html>", "it is a web page"),
            ("{\"configs\": [{\"@type\": \"", "it ends in the middle"),
            ("{\"configs\": nonsense}", "it is no JSON"),
            ("{\"status\": \"ok\"}", "it has neither"),
            ("[1, 2]", "it has neither"),
            ("null", "it has neither"),
            ("kind: Service\nmetadata: {name: x}\n", "it has neither"),
            ("a: [", "it is no YAML"),
            ("{\"configs\": []}", "it is a part of a dump"),
            ("static_resources: &x {a: *x}", "an alias"),
        ] {
            let error = Configuration::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(error.contains("/config_dump?include_eds"), "{error}");
        }
        assert!(Configuration::parse(b"\xff\xfe{").is_err());
    }

    #[test]
    fn depth_is_bounded_in_both_languages() {
        for open in ["[", "{\"a\":"] {
            let text = format!("{{\"configs\": {}", open.repeat(100_000));
            assert!(Configuration::parse(text.as_bytes()).is_err());
        }
        for deep in ["[", "- ", "{a: ", "? "] {
            let text = format!("static_resources: {}", deep.repeat(20_000));
            assert!(Configuration::parse(text.as_bytes()).is_err(), "{deep}");
        }
    }

    #[test]
    fn both_spellings_of_a_name_are_read_and_data_stays_as_it_is() {
        let text = r#"{"staticResources": {"Listeners": 1, "a.bC": {"typedConfig": "aB"}, "http2Protocol": 1}}"#;
        let read = Configuration::parse(text.as_bytes()).unwrap();
        assert_eq!(
            read.whole,
            serde_json::json!({"static_resources": {"Listeners": 1, "a.bC": {"typed_config": "aB"}, "http2_protocol": 1}})
        );
    }
}
