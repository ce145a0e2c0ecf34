//! The allow list as a file for people: TOML, or JSON lines. What is as usual is left out, and an entry that leaves
//! it out has it so: unlike in a request, in which what is left out stays as it was.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use clap::ValueEnum;
use fedgate_allow_list::Terms;
use fedgate_policy::{Domain, Strategy};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use toml::Spanned;

use crate::plain;
use crate::spelling;

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One table for each domain, with comments
    Toml,
    /// One object for each domain, in a line
    Jsonl,
}

/// What is in such a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Portable {
    /// The strategy, where it is said.
    pub(crate) strategy: Option<Strategy>,
    /// The entries.
    pub(crate) domains: BTreeMap<Domain, Terms>,
}

const HEAD: &str = "\
# The allow list of a Fedgate.
#
#   fedgate store import FILE --dry-run          says what would change
#   fedgate store import FILE                    adds and changes what is here
#   fedgate store import FILE --prune            and takes off the list what is not here
#
# An entry is on these terms, unless it says otherwise:
#   action = \"allow\"                             or \"block\": forbidden under every strategy
#   note = \"\"
#   expires_at                                   none; or e.g. 2030-01-31T12:00:00Z: from then on it counts as absent
#   pinned_hosts = []                            any; or the only hosts that DNS may name
#   dnssec = \"inherit\"                           or \"require\": DNS has to prove its answer
#   mode = \"enforce\"                             or \"shadow\": what discovery, pins or names refuse is told, and passes
#   search_policy = \"exact_handle_search\"        or \"no_search\", \"full_search\": whom of ours their users find
#   restriction = { tag = \"allow_all\" }          or { tag = \"restrict_by_team\", value = [\"UUID of a team\"] }
";

// === impl Format ===

impl Format {
    /// As a file's name says.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

// === writing ===

/// The whole file.
pub(crate) fn write(list: &Portable, format: Format) -> String {
    let usual = members(&Terms::default());
    let entries = list.domains.iter().map(|(domain, terms)| {
        let mut unusual = members(terms);
        unusual.retain(|name, value| usual.get(name) != Some(value));
        (domain, unusual)
    });
    let mut text = String::new();
    // Writing to a string does not fail.
    match format {
        Format::Toml => {
            text.push_str(HEAD);
            if let Some(strategy) = list.strategy {
                let _ = write!(text, "\nstrategy = {}\n", inline(&json!(strategy)));
            }
            for (domain, terms) in entries {
                let _ = write!(text, "\n[[domains]]\ndomain = \"{domain}\"\n");
                for (name, value) in terms {
                    let value = match (name.as_str(), &value) {
                        ("expires_at", Value::String(moment)) => moment.clone(),
                        _ => inline(&value),
                    };
                    let _ = writeln!(text, "{name} = {value}");
                }
            }
        }
        Format::Jsonl => {
            if let Some(strategy) = list.strategy {
                let _ = writeln!(text, "{}", json!({ "strategy": strategy }));
            }
            for (domain, terms) in entries {
                let _ = write!(text, "{{\"domain\":\"{domain}\"");
                for (name, value) in terms {
                    let _ = write!(text, ",\"{name}\":{}", plain::json(&value.to_string()));
                }
                text.push_str("}\n");
            }
        }
    }
    text
}

fn members(terms: &Terms) -> Map<String, Value> {
    if let Value::Object(members) = json!(terms) { members } else { Map::new() }
}

/// A value of TOML in one line. What JSON has for texts, and for lists of them, is TOML.
fn inline(value: &Value) -> String {
    let Value::Object(members) = value else { return plain::toml(&value.to_string()) };
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("{name} = {}", inline(value))).collect();
    format!("{{ {} }}", members.join(", "))
}

// === reading ===

/// What a file says, or all that is wrong with it, each with its line.
pub(crate) fn read(text: &str, format: Format) -> Result<Portable, Vec<String>> {
    let mut reader = Reader::default();
    match format {
        Format::Toml => reader.toml(text),
        Format::Jsonl => reader.json_lines(text),
    }
    if reader.errors.is_empty() { Ok(reader.list) } else { Err(reader.errors) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    strategy: Option<Spanned<String>>,
    #[serde(default)]
    domains: Vec<Spanned<toml::Table>>,
}

#[derive(Default)]
struct Reader {
    list: Portable,
    lines: BTreeMap<Domain, usize>,
    errors: Vec<String>,
}

// === impl Reader ===

impl Reader {
    fn toml(&mut self, text: &str) {
        let document: Document = match toml::from_str(text) {
            Ok(document) => document,
            Err(error) => {
                return self
                    .wrong(error.span().map_or(1, |span| line(text, span.start)), error.message());
            }
        };
        if let Some(strategy) = document.strategy {
            self.strategy(line(text, strategy.span().start), strategy.get_ref());
        }
        // Entries stand one after the other: line feeds are counted from one to the next.
        let (mut at, mut line) = (0, 1_usize);
        for table in document.domains {
            let start = table.span().start;
            let between = text.bytes().skip(at).take(start.saturating_sub(at));
            line = line.saturating_add(between.filter(|octet| *octet == b'\n').count());
            at = start;
            let members = table.into_inner().into_iter().map(|(name, value)| (name, as_json(value)));
            self.entry(line, members.collect());
        }
    }

    fn json_lines(&mut self, text: &str) {
        for (at, text) in (1_usize..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            match serde_json::from_str::<Map<String, Value>>(text) {
                Err(error) => self.wrong(at, &error.to_string()),
                Ok(members) => match members.get("strategy") {
                    Some(Value::String(strategy)) if members.len() == 1 => self.strategy(at, strategy),
                    Some(_) => self.wrong(at, "a strategy is a text, in a line of its own"),
                    None => self.entry(at, members),
                },
            }
        }
    }

    fn strategy(&mut self, line: usize, name: &str) {
        match name.parse() {
            Ok(_) if self.list.strategy.is_some() => self.wrong(line, "the strategy is said twice"),
            Ok(strategy) => self.list.strategy = Some(strategy),
            Err(error) => self.wrong(line, &format!("strategy: '{name}': {error}")),
        }
    }

    fn entry(&mut self, line: usize, mut members: Map<String, Value>) {
        let domain = match members.remove("domain") {
            Some(Value::String(text)) => spelling::domain(&text)
                .map_err(|misspelt| format!("'{text}' is not a backend domain: it {misspelt}")),
            Some(_) | None => Err("an entry has a `domain`, which is a text".to_owned()),
        };
        let terms = serde_json::from_value::<Terms>(Value::Object(members))
            .map_err(|error| error.to_string())
            .and_then(|terms| terms.check().map(|()| terms).map_err(|error| error.to_string()));
        match (domain, terms) {
            (Ok(domain), Ok(terms)) => {
                if let Some(first) = self.lines.insert(domain.clone(), line) {
                    return self.wrong(line, &format!("{domain} stands in line {first} already"));
                }
                self.list.domains.insert(domain, terms);
            }
            (Ok(domain), Err(error)) => self.wrong(line, &format!("{domain}: {error}")),
            (Err(error), _) => self.wrong(line, &error),
        }
    }

    fn wrong(&mut self, line: usize, what: &str) {
        self.errors.push(format!("line {line}: {what}"));
    }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|octet| *octet == b'\n').count().saturating_add(1)
}

/// What stands in an entry; moments as texts.
fn as_json(value: toml::Value) -> Value {
    match value {
        toml::Value::Datetime(moment) => Value::String(moment.to_string()),
        toml::Value::Array(values) => values.into_iter().map(as_json).collect(),
        toml::Value::Table(members) => {
            members.into_iter().map(|(name, value)| (name, as_json(value))).collect()
        }
        toml::Value::String(text) => Value::String(text),
        toml::Value::Boolean(truth) => Value::Bool(truth),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
    }
}

#[cfg(test)]
#[path = "portable_tests.rs"]
mod tests;
