//! YAML as JSON, one event after the other: no depth can exhaust the stack, and no alias the memory.

use serde_json::{Map, Number, Value};
use yaml_rust2::parser::Parser;
use yaml_rust2::scanner::TScalarStyle;
use yaml_rust2::{Event, Yaml};

/// As for JSON.
const MAX_DEPTH: usize = 128;
const MAX_SIZE: usize = 4 << 20;

/// A list or a mapping that has not ended.
enum Open {
    List(Vec<Value>),
    Mapping(Map<String, Value>, Option<String>),
}

/// The first document of a text.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    if text.len() > MAX_SIZE {
        return Err(format!(
            "it is no JSON, and has more than the {} MiB that YAML may have",
            MAX_SIZE >> 20
        ));
    }
    let mut parser = Parser::new_from_str(text);
    let mut open = Vec::new();
    loop {
        let (event, _) = parser.next_token().map_err(|error| format!("it is no YAML ({error})"))?;
        let ended = match event {
            Event::Scalar(text, style, ..) => scalar(text, style),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::Array(items),
                Some(Open::Mapping(members, _)) => Value::Object(members),
                None => return Err("it is no YAML".to_owned()),
            },
            Event::Alias(_) => {
                return Err("it has an alias (`*name`), which is not read here".to_owned());
            }
            Event::StreamEnd | Event::DocumentEnd => return Err("it has no document".to_owned()),
            Event::Nothing | Event::StreamStart | Event::DocumentStart => continue,
        };
        if open.len() > MAX_DEPTH {
            return Err("it is too deep".to_owned());
        }
        match open.last_mut() {
            None => return Ok(ended),
            Some(Open::List(items)) => items.push(ended),
            Some(Open::Mapping(members, name @ Some(_))) => {
                members.extend(name.take().map(|name| (name, ended)));
            }
            Some(Open::Mapping(_, name @ None)) => *name = Some(as_name(ended)),
        }
    }
}

fn scalar(text: String, style: TScalarStyle) -> Value {
    if style != TScalarStyle::Plain {
        return Value::String(text);
    }
    match Yaml::from_str(&text) {
        Yaml::Null => Value::Null,
        Yaml::Boolean(flag) => Value::Bool(flag),
        Yaml::Integer(number) => number.into(),
        Yaml::Real(_) => {
            text.parse().ok().and_then(Number::from_f64).map_or(Value::String(text), Value::Number)
        }
        Yaml::String(_) | Yaml::Array(_) | Yaml::Hash(_) | Yaml::Alias(_) | Yaml::BadValue => {
            Value::String(text)
        }
    }
}

fn as_name(value: Value) -> String {
    if let Value::String(text) = value { text } else { value.to_string() }
}
