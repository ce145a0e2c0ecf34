//! The listed domains, page by page, and those of them alone that are asked for.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use fedgate_allow_list::Entry;
use fedgate_allow_list::terms::{Action, Mode};
use fedgate_policy::Domain;
use serde::Deserialize;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::Api;
use super::domains::listed;
use super::extract::{Query, entity_tag};
use super::problem::Problem;
use crate::contract::{self, DomainInList, DomainPage, DomainText, StateOfLookups};

/// How many domains a page holds, unless the caller says otherwise; and at most.
const PAGE: usize = 100;
const MAX_PAGE: usize = 1000;
/// How many entries are looked at before others get their turn.
const STRETCH: usize = 1000;

/// How many a page is to hold.
pub(super) fn size(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(Problem::bad_request(format!("limit is 1 to {MAX_PAGE}, not {limit}")));
    }
    Ok(limit)
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// The domain behind which the page begins.
    #[param(value_type = Option<DomainText>, nullable = false)]
    after: Option<Domain>,
    /// How many domains: 1 to 1000, 100 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    limit: Option<usize>,
    /// Only those of which this is so: the `state` of lookups, or `expired`.
    #[param(schema_with = state_schema)]
    state: Option<Wanted>,
    /// Only those whose entry does this.
    #[param(value_type = Option<Action>, nullable = false)]
    action: Option<Action>,
    /// Only those in this mode.
    #[param(value_type = Option<Mode>, nullable = false)]
    mode: Option<Mode>,
    /// Only those that have this in their domain or note, in any case of letters.
    #[param(nullable = false, example = "contract")]
    text: Option<String>,
}

/// What is to be so of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Expired,
    State(contract::State),
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let state = contract::State::deserialize(from)?;
        let contract::State::Other(name) = state else { return Ok(Self::State(state)) };
        if name == EXPIRED {
            return Ok(Self::Expired);
        }
        let names = contract::State::ALL.each_ref().map(contract::State::name).join(", ");
        Err(serde::de::Error::custom(format!("'{name}' is none of {names}, {EXPIRED}")))
    }
}

const EXPIRED: &str = "expired";

fn state_schema() -> Object {
    let names = contract::State::ALL.each_ref().map(contract::State::name);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names.into_iter().chain([EXPIRED])))
        .build()
}

/// The listed domains, page by page.
#[utoipa::path(
    get, path = "/v1/domains", tag = "domains", params(PageQuery),
    responses((status = 200, body = DomainPage, headers(("ETag" = String, description = "the list's revision")))),
)]
pub(super) async fn domains(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<impl IntoResponse, Problem> {
    let limit = size(query.limit)?;
    let tag = entity_tag(api.list.revision());
    let filter = Filter::new(&query);
    let (mut domains, mut after, mut more) = (Vec::new(), query.after, true);
    // One more than is shown, so as to know whether there is a next page.
    while more && domains.len() <= limit {
        let wanted = match query.state {
            Some(Wanted::State(_)) => STRETCH,
            Some(Wanted::Expired) | None => limit.saturating_add(1),
        };
        let page;
        (page, more) =
            api.list.page(after.as_ref(), wanted, |domain, entry| filter.passes(domain, entry));
        after = page.last().map(|(domain, _)| domain.clone());
        for (domain, entry) in page {
            if domains.len() > limit {
                break;
            }
            let (standing, now) = (api.verdicts.standing(&domain).await, Instant::now());
            if let Some(Wanted::State(state)) = &query.state
                && contract::State::from(standing.state(now)) != *state
            {
                continue;
            }
            let lookups = StateOfLookups::new(&standing, now);
            domains.push(DomainInList { listed: listed(domain, &entry), lookups });
        }
        tokio::task::yield_now().await;
    }
    let is_last = domains.len() <= limit;
    domains.truncate(limit);
    let next = domains.last().filter(|_| !is_last).map(|it| it.listed.domain.clone());
    Ok(([tag], Json(DomainPage { domains, next })))
}

/// What an entry itself can be asked.
struct Filter {
    action: Option<Action>,
    mode: Option<Mode>,
    /// In lower case.
    text: Option<String>,
    expired: bool,
}

impl Filter {
    fn new(query: &PageQuery) -> Self {
        Self {
            action: query.action,
            mode: query.mode,
            text: query.text.as_ref().map(|text| text.to_lowercase()),
            expired: query.state == Some(Wanted::Expired),
        }
    }

    fn passes(&self, domain: &Domain, entry: &Entry) -> bool {
        let terms = &entry.terms;
        self.action.is_none_or(|action| terms.action == action)
            && self.mode.is_none_or(|mode| terms.mode == mode)
            && (!self.expired || entry.lapsed)
            && self.text.as_ref().is_none_or(|text| {
                domain.as_str().contains(text) || terms.note.to_lowercase().contains(text)
            })
    }
}
