//! The documents, built in, so that what the page says can be read on where there is no other network. They are written
//! by us; what of Markdown they use is read here, and nothing else.

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::frame::{Frame, Section, html};
use super::session::Visitor;
use super::{Pages, dressed};
use crate::api::problem::Problem;
use crate::contract::Kind;

macro_rules! documents {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../docs/", $name, ".md")))),*]
    };
}

const ALL: &[(&str, &str)] = documents![
    "api",
    "brig",
    "check",
    "configuration",
    "egress",
    "entries",
    "envoy",
    "errors",
    "ha",
    "join",
    "list-file",
    "monitoring",
    "nights",
    "page",
    "partners",
    "reliability",
    "setup",
];

#[derive(Template)]
#[template(path = "document.html")]
struct Document {
    frame: Frame,
    blocks: Vec<Block>,
    others: Vec<&'static str>,
}

/// A part of a document.
#[derive(Debug, PartialEq, Eq)]
enum Block {
    Heading { level: usize, id: String, spans: Vec<Span> },
    Text(Vec<Span>),
    Items(Vec<Vec<Span>>),
    Code(String),
    Table { head: Vec<Vec<Span>>, rows: Vec<Vec<Vec<Span>>> },
}

/// A part of a line.
#[derive(Debug, PartialEq, Eq)]
enum Span {
    Text(String),
    Code(String),
    Strong(String),
    Link {
        text: String,
        to: String,
    },
    /// A place that links lead to.
    Place(String),
}

/// One of them.
pub(super) async fn document(
    State(pages): State<Pages>,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let Some((name, text)) = ALL.iter().find(|(known, _)| *known == name) else {
        return Err(Problem::new(Kind::NoSuchResource, dressed::NOWHERE));
    };
    let frame = Frame::new(&pages, &visitor, Section::None, format!("docs/{name}.md"));
    let others = ALL.iter().map(|(name, _)| *name).collect();
    Ok(html(&Document { frame, blocks: blocks(text), others }))
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut lines) = (Vec::new(), text.lines().peekable());
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        // Pictures are not built in.
        if trimmed.is_empty() || trimmed.starts_with("![") {
            continue;
        }
        if trimmed.starts_with("```") {
            let code: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            blocks.push(Block::Code(code.join("\n")));
        } else if let Some((marks, title)) = heading(line) {
            let level = marks.saturating_add(1).min(6);
            blocks.push(Block::Heading { level, id: slug(title), spans: spans(title) });
        } else if trimmed.starts_with('|') {
            let mut rows = vec![cells(trimmed)];
            while let Some(line) = lines.next_if(|line| line.trim().starts_with('|')) {
                rows.push(cells(line.trim()));
            }
            let head = if rows.is_empty() { Vec::new() } else { rows.remove(0) };
            // The line of dashes.
            if !rows.is_empty() {
                rows.remove(0);
            }
            blocks.push(Block::Table { head, rows });
        } else if let Some(first) = item(line) {
            let mut items = vec![first.to_owned()];
            while let Some(line) = lines.next_if(|line| !line.trim().is_empty()) {
                match (item(line), items.last_mut()) {
                    (Some(next), _) => items.push(next.to_owned()),
                    (None, Some(last)) => *last = format!("{last} {}", line.trim()),
                    (None, None) => {}
                }
            }
            blocks.push(Block::Items(items.iter().map(|it| spans(it)).collect()));
        } else {
            let mut whole = trimmed.to_owned();
            while let Some(line) = lines.next_if(|line| {
                let line = line.trim();
                !line.is_empty() && !line.starts_with("```") && !line.starts_with('|')
            }) {
                whole = format!("{whole} {}", line.trim());
            }
            blocks.push(Block::Text(spans(&whole)));
        }
    }
    blocks
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let title = line.trim_start_matches('#');
    let marks = line.len().saturating_sub(title.len());
    (marks > 0).then(|| title.strip_prefix(' ')).flatten().map(|title| (marks, title))
}

fn item(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let numbered = line.split_once(". ").filter(|(n, _)| n.bytes().all(|b| b.is_ascii_digit()));
    line.strip_prefix("- ").or(numbered.map(|(_, text)| text))
}

fn cells(line: &str) -> Vec<Vec<Span>> {
    let inner = line.trim_matches('|').replace("\\|", "\u{1}");
    inner.split('|').map(|cell| spans(&cell.trim().replace('\u{1}', "|"))).collect()
}

/// As GitHub names the place of a heading.
fn slug(title: &str) -> String {
    let lower = title.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn spans(text: &str) -> Vec<Span> {
    let (mut spans, mut rest) = (Vec::new(), text);
    while !rest.is_empty() {
        let at = rest.find(['`', '[', '*', '<']).unwrap_or(rest.len());
        let (plain, marked) = rest.split_at(at);
        if !plain.is_empty() {
            spans.push(Span::Text(plain.to_owned()));
        }
        let (span, after) = marked_span(marked);
        spans.extend(span);
        rest = after;
    }
    spans
}

/// What begins with a mark, and what follows it; a mark that begins nothing is text.
fn marked_span(text: &str) -> (Option<Span>, &str) {
    if let Some((code, after)) = text.strip_prefix('`').and_then(|it| it.split_once('`')) {
        return (Some(Span::Code(code.to_owned())), after);
    }
    if let Some((strong, after)) = text.strip_prefix("**").and_then(|it| it.split_once("**")) {
        return (Some(Span::Strong(strong.to_owned())), after);
    }
    if let Some((title, rest)) = text.strip_prefix('[').and_then(|it| it.split_once("]("))
        && let Some((to, after)) = rest.split_once(')')
    {
        let title = title.replace(['`', '*'], "");
        let span = match target(to) {
            Some(to) => Span::Link { text: title, to },
            None => Span::Text(title),
        };
        return (Some(span), after);
    }
    if let Some((id, after)) = text.strip_prefix("<a id=\"").and_then(|it| it.split_once("\"></a>")) {
        return (Some(Span::Place(id.to_owned())), after);
    }
    let mut chars = text.chars();
    (chars.next().map(|mark| Span::Text(mark.to_string())), chars.as_str())
}

/// Where a link of the documents leads on the page; none where what it names is not here.
fn target(to: &str) -> Option<String> {
    if to.starts_with('#') {
        return Some(to.to_owned());
    }
    let (name, place) = to.split_once(".md")?;
    ALL.iter().any(|(known, _)| *known == name).then(|| format!("/page/docs/{name}{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_documents_use_of_markdown_is_read() {
        let text = "# A `b` C\n\ntext [x](errors.md#y)\nmore **s** [z](../README.md)\n\n- one\n  two\n- three\n\n```sh\na | b\n```\n| h | i |\n|---|---|\n| `a\\|b` | 2 |\n";
        let text_of = |text: &str| Span::Text(text.to_owned());
        assert_eq!(
            blocks(text),
            [
                Block::Heading { level: 2, id: "a-b-c".to_owned(), spans: spans("A `b` C") },
                Block::Text(vec![
                    text_of("text "),
                    Span::Link { text: "x".to_owned(), to: "/page/docs/errors#y".to_owned() },
                    text_of(" more "),
                    Span::Strong("s".to_owned()),
                    text_of(" "),
                    text_of("z"),
                ]),
                Block::Items(vec![vec![text_of("one two")], vec![text_of("three")]]),
                Block::Code("a | b".to_owned()),
                Block::Table {
                    head: vec![vec![text_of("h")], vec![text_of("i")]],
                    rows: vec![vec![vec![Span::Code("a|b".to_owned())], vec![text_of("2")]]],
                },
            ]
        );
    }

    #[test]
    fn every_link_between_the_documents_leads_somewhere() {
        let places = |text: &str| {
            let all = blocks(text).into_iter().filter_map(|block| match block {
                Block::Heading { id, .. } => Some(id),
                Block::Text(_) | Block::Items(_) | Block::Code(_) | Block::Table { .. } => None,
            });
            let marked = text.split("<a id=\"").skip(1).filter_map(|it| it.split_once('"'));
            all.chain(marked.map(|(id, _)| id.to_owned())).collect::<Vec<_>>()
        };
        for (name, text) in ALL {
            for (_, to) in text.match_indices("](").filter_map(|(at, _)| {
                let rest = &text[at + 2..];
                rest.split_once(')').map(|(to, _)| (at, to))
            }) {
                let Some((page, place)) = target(to).and_then(|to| {
                    let (page, place) = to.split_once('#')?;
                    Some((page.trim_start_matches("/page/docs/").to_owned(), place.to_owned()))
                }) else {
                    continue;
                };
                let page = if page.is_empty() { (*name).to_owned() } else { page };
                let (_, text) = ALL.iter().find(|(known, _)| *known == page).unwrap();
                assert!(places(text).contains(&place), "{name}: {to}");
            }
        }
    }
}
