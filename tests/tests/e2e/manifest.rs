//! The YAML files of `examples/`, read as JSON; each is named by its path there.

use std::fs;
use std::path::PathBuf;

use fedgate_tests::artifacts;
use serde_json::{Map, Number, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// All files.
pub(crate) fn files() -> Vec<String> {
    let (mut folders, mut files) = (vec![folder()], vec![]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                files.push(path.strip_prefix(folder()).unwrap().display().to_string());
            }
        }
    }
    files
}

/// The one resource of this kind in a file.
pub(crate) fn resource(file: &str, kind: &str) -> Value {
    let mut resources = documents(file).into_iter();
    resources.find(|resource| resource["kind"] == kind).unwrap_or_else(|| panic!("{file} has no {kind}"))
}

/// All documents in a file.
pub(crate) fn documents(file: &str) -> Vec<Value> {
    parse(&artifacts::read(&format!("examples/{file}")))
}

/// All documents in a text.
pub(crate) fn parse(text: &str) -> Vec<Value> {
    let documents = YamlLoader::load_from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
    documents.iter().map(to_json).collect()
}

/// The text that a value has at a JSON pointer.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no text {pointer}: {value}"))
}

fn folder() -> PathBuf {
    artifacts::repository().join("examples")
}

fn to_json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Boolean(truth) => Value::Bool(*truth),
        Yaml::Integer(number) => Value::Number((*number).into()),
        Yaml::Real(number) => number.parse().ok().and_then(Number::from_f64).map(Value::Number).unwrap(),
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Array(items) => Value::Array(items.iter().map(to_json).collect()),
        Yaml::Hash(members) => {
            let member =
                |(name, value): (&Yaml, &Yaml)| (name.as_str().unwrap().to_owned(), to_json(value));
            Value::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        Yaml::Alias(_) | Yaml::BadValue => panic!("an alias, or no value"),
    }
}
