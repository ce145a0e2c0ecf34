//! A configuration that nobody has validated: whatever is not there, or is of another kind, reads as nothing.

use fedgate_policy::legible;
use serde_json::Value;

static NOTHING: Value = Value::Null;
/// The most characters of a text out of the configuration that a report repeats.
const SHOWN: usize = 200;

/// The value below `value` at `path`, whose names are separated by `/`.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('/').fold(value, |value, name| value.get(name).unwrap_or(&NOTHING))
}

/// A text; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    at(value, path).as_str().unwrap_or_default()
}

/// The members of a list.
pub(super) fn items<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts in a list.
pub(super) fn texts<'a>(value: &'a Value, path: &str) -> Vec<&'a str> {
    items(value, path).iter().filter_map(Value::as_str).collect()
}

/// Whether a flag is set.
pub(super) fn flag(value: &Value, path: &str) -> bool {
    at(value, path).as_bool() == Some(true)
}

/// Whether something is said at all.
pub(super) fn has(value: &Value, path: &str) -> bool {
    !at(value, path).is_null()
}

/// Protobuf's JSON writes large numbers as texts.
pub(super) fn number(value: &Value, path: &str) -> Option<u64> {
    let value = at(value, path);
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether a time limit is said, and is one: `0s` is none.
pub(super) fn is_limited(value: &Value, path: &str) -> bool {
    let seconds: Option<f64> =
        text(value, path).strip_suffix('s').and_then(|number| number.parse().ok());
    seconds.is_some_and(|seconds| seconds > 0.0)
}

/// The last part of a typed value's type, and the value: `HttpConnectionManager`. What Istio hands over as a
/// `TypedStruct` names its type inside.
pub(super) fn typed(config: &Value) -> (&str, &Value) {
    let kind = last(text(config, "@type"));
    if kind == "TypedStruct" {
        return (last(text(config, "type_url")), at(config, "value"));
    }
    (kind, config)
}

/// The part of a name behind its last dot.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// A text out of the configuration, fit for one line of a report.
pub(super) fn shown(text: &str) -> String {
    legible(text, SHOWN)
}

/// Some texts, as one.
pub(super) fn list(texts: &[impl AsRef<str>]) -> String {
    if texts.is_empty() {
        return "none".to_owned();
    }
    shown(&texts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
}
