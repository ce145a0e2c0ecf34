//! What is around every page: who is there, where one can go, and what was done just before.

use askama::Template;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::session::{Told, Visitor};
use super::{Pages, assets};
use crate::auth::Role;
use crate::plain;

/// What stands for itself in a query (RFC 3986 §2.3).
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// In a query, of a page that loads itself again: no use of the session.
pub(super) const AGAIN: &str = "again=1";

/// Which part of the page it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Home,
    Partners,
    Refusals,
    Explain,
    Check,
    List,
    Tokens,
    Audit,
    None,
}

/// What a page's template needs for what is around it.
pub(super) struct Frame {
    pub(super) title: String,
    section: Section,
    /// Who is there, if anybody is.
    pub(super) name: Option<String>,
    pub(super) is_admin: bool,
    pub(super) seal: String,
    pub(super) told: Option<Told>,
    /// Whether the script is to look for what is new.
    pub(super) live: bool,
    /// After how many seconds it is to be loaded again, and from where if there is no script.
    pub(super) again: Option<(u32, String)>,
    assets: [String; 3],
}

/// A way to go.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) to: &'static str,
    pub(super) is_here: bool,
}

// === impl Frame ===

impl Frame {
    /// For somebody who is logged in.
    pub(super) fn new(
        pages: &Pages,
        visitor: &Visitor,
        section: Section,
        title: impl Into<String>,
    ) -> Self {
        let told = if visitor.by_itself { None } else { pages.sessions.told(visitor.key) };
        Self {
            section,
            name: Some(visitor.caller.0.to_string()),
            is_admin: visitor.caller.role() == Role::Admin,
            seal: visitor.seal.to_string(),
            told,
            ..Self::bare(title)
        }
    }

    /// For anybody.
    pub(super) fn bare(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section: Section::None,
            name: None,
            is_admin: false,
            seal: String::new(),
            told: None,
            live: false,
            again: None,
            assets: assets::paths(),
        }
    }

    /// One that shows what changes.
    pub(super) fn live(self) -> Self {
        Self { live: true, ..self }
    }

    /// The page at this address, which is to be loaded again soon.
    pub(super) fn again(self, seconds: u32, to: &str) -> Self {
        let mark = if to.contains('?') { '&' } else { '?' };
        Self { again: Some((seconds, format!("{to}{mark}{AGAIN}"))), live: true, ..self }
    }

    pub(super) fn style(&self) -> &str {
        &self.assets[0]
    }

    pub(super) fn script(&self) -> &str {
        &self.assets[1]
    }

    pub(super) fn icon(&self) -> &str {
        &self.assets[2]
    }

    pub(super) fn ways(&self) -> Vec<Way> {
        [
            ("Home", "/page/", Section::Home),
            ("Partners", "/page/partners", Section::Partners),
            ("Refusals", "/page/refusals", Section::Refusals),
            ("Explain", "/page/explain", Section::Explain),
            ("Check", "/page/checks", Section::Check),
            ("List", "/page/list", Section::List),
            ("Tokens", "/page/tokens", Section::Tokens),
            ("Audit", "/page/audit", Section::Audit),
        ]
        .map(|(name, to, section)| Way { name, to, is_here: section == self.section })
        .into()
    }
}

/// A page as it is sent.
pub(super) fn html(page: &impl Template) -> Response {
    html_with(StatusCode::OK, page)
}

/// The same, with another status. Whatever is on it, nothing is there that is not seen.
pub(super) fn html_with(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => {
            let kind = HeaderValue::from_static("text/html; charset=utf-8");
            (status, [(header::CONTENT_TYPE, kind)], plain::page(text)).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "a page cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Goes on to a place, and says there what was done.
pub(super) fn done(pages: &Pages, visitor: &Visitor, to: &str, text: impl Into<String>) -> Response {
    pages.sessions.tell(visitor.key, Told { text: text.into(), secret: None });
    Redirect::to(to).into_response()
}

/// Words with dashes, for people: `discovery-failing` as `discovery failing`.
pub(super) fn words(name: impl std::fmt::Display) -> String {
    name.to_string().replace('-', " ")
}

/// A link with a query; members that are empty are left out.
pub(super) fn link(path: &str, query: &[(&str, String)]) -> String {
    let pairs = query.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<_> =
        pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}
