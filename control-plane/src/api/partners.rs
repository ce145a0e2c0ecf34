//! The admin API: how we stand with each partner.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use fedgate_allow_list::{Author, Entry};
use fedgate_policy::Domain;
use serde::Deserialize;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::domains::{listed, look_up};
use super::extract::{By, DomainName, Query};
use super::problem::Problem;
use super::{Api, page};
use crate::contract::{
    Details, DomainText, Kind, Lookups, NOT_LISTED, PARTNER_STATES, PartnerInList, PartnerPage,
    Refreshed, Retried, SeenCertificate, SeenEnd, ShownPartner,
};
use crate::moment;
use crate::partners::{self, Certificate, Seen, Side, State as Standing, judge};
use crate::verdicts;

/// How many are looked at before others get their turn.
const STRETCH: usize = 1000;
/// How long filters may take to hear of an entry, in which they refuse what it allows.
const HEARING: std::time::Duration = std::time::Duration::from_secs(10);

/// The guarded routes.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(partners)).routes(routes!(partner)).routes(routes!(retry))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// The domain behind which the page begins.
    #[param(value_type = Option<DomainText>, nullable = false)]
    after: Option<Domain>,
    /// How many partners: 1 to 1000, 100 by default.
    #[param(minimum = 1, maximum = 1000, nullable = false)]
    limit: Option<usize>,
    /// Only those in this state.
    #[param(schema_with = state_schema)]
    state: Option<Wanted>,
}

#[derive(Clone, Copy, Debug)]
struct Wanted(Standing);

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let state = Standing::ALL.into_iter().find(|state| state.name() == name);
        state.map(Self).ok_or_else(|| {
            let names = PARTNER_STATES.join(", ");
            serde::de::Error::custom(format!("'{name}' is none of {names}"))
        })
    }
}

fn state_schema() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(PARTNER_STATES)).build()
}

/// How we stand with the partners, page by page: the domains that an entry allows.
#[utoipa::path(
    get, path = "/v1/partners", tag = "partners", params(PageQuery),
    responses((status = 200, body = PartnerPage)),
)]
async fn partners(
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<PartnerPage>, Problem> {
    let limit = page::size(query.limit)?;
    let mut partners = Vec::new();
    walk(&api, query.after, |of| {
        if query.state.is_none_or(|Wanted(state)| of.judged().state == state) {
            partners.push(of.told());
        }
        // One more than is shown, so as to know whether there is a next page.
        partners.len() <= limit
    })
    .await;
    let is_last = partners.len() <= limit;
    partners.truncate(limit);
    let next = partners.last().filter(|_| !is_last).map(|it| it.domain.clone());
    Ok(Json(PartnerPage { partners, next }))
}

/// All that is known of how we stand with one domain, also with one that is not listed and was seen.
#[utoipa::path(
    get, path = "/v1/partners/{domain}", tag = "partners",
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses(
        (status = 200, body = ShownPartner),
        (status = 404, body = Details, content_type = "application/problem+json", description = "it is neither listed, nor was it seen"),
    ),
)]
async fn partner(
    State(api): State<Api>,
    DomainName(domain): DomainName,
) -> Result<Json<ShownPartner>, Problem> {
    shown(&api, domain).await.map(Json)
}

/// All that is known of how we stand with one domain.
pub(crate) async fn shown(api: &Api, domain: Domain) -> Result<ShownPartner, Problem> {
    let entry = api.list.entry(&domain);
    let of = Partner::of(api, domain.clone(), entry.clone()).await;
    if entry.is_none() && of.seen.is_none() {
        let detail = format!("{domain} is not on the allow list, and was not seen since the start");
        return Err(Problem::new(Kind::NotListed, detail));
    }
    let lookups =
        if of.is_allowed() { Some(Lookups::new(&of.lookups, &api.targets, of.now).await) } else { None };
    Ok(ShownPartner {
        partner: of.told(),
        lookups,
        verdict: api.verdicts.known(domain.clone()).await,
        entry: entry.map(|entry| listed(domain, &entry)),
        seen: of.ends(),
    })
}

/// Has a partner tried anew: looks it up in DNS, has its targets' addresses looked up and knocked at, and forgets at
/// which of them nobody had opened. Trouble that filters saw before has to be seen again; that calls do not reach it,
/// if an address opens.
#[utoipa::path(
    post, path = "/v1/partners/{domain}/retry", tag = "partners",
    params(("domain" = DomainText, Path, description = "a backend domain")),
    responses(
        (status = 200, body = Retried, description = "what was done, and what the lookup came to"),
        (status = 404, body = Details, content_type = "application/problem+json", description = "not allowed, so not looked up"),
    ),
)]
async fn retry(
    State(api): State<Api>,
    By(author): By,
    DomainName(domain): DomainName,
) -> Result<impl IntoResponse, Problem> {
    let retried = try_anew(&api, &domain, &author).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(retried)))
}

/// Has a partner tried anew.
pub(crate) async fn try_anew(api: &Api, domain: &Domain, author: &Author) -> Result<Retried, Problem> {
    let attempt = look_up(api, domain).await?;
    let lookups = api.verdicts.standing(domain).await;
    let (targets, _) = lookups.targets(Instant::now());
    let forgotten: Vec<_> = api.targets.retry(targets).iter().map(ToString::to_string).collect();
    let now = Instant::now();
    let opened = api.targets.opens(targets).await;
    api.partners.tried(domain, opened.is_some(), now);
    let opened = opened.map(|it| it.to_string());
    let (by, request_id) = (&author.by, author.request_id.as_deref());
    tracing::info!(%by, request_id, %domain, answered = attempt.answered, ?forgotten, opened, "partner tried anew");
    Ok(Retried { lookup: Refreshed::new(attempt, Instant::now()), forgotten, opened })
}

/// Shows the partners behind one to `visit`, in alphabetical order, until it has enough.
pub(crate) async fn walk(
    api: &Api,
    after: Option<Domain>,
    mut visit: impl FnMut(&Partner) -> bool + Send,
) {
    let (mut after, mut more) = (after, true);
    while more {
        let page;
        (page, more) = api.list.page(after.as_ref(), STRETCH, |_, entry| entry.allows());
        after = page.last().map(|(domain, _)| domain.clone());
        for (domain, entry) in page {
            if !visit(&Partner::of(api, domain, Some(entry)).await) {
                return;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// What there is to say of a domain, at one moment.
pub(crate) struct Partner {
    pub(crate) domain: Domain,
    pub(crate) entry: Option<Entry>,
    pub(crate) lookups: verdicts::Standing,
    pub(crate) seen: Option<Arc<Seen>>,
    pub(crate) now: Instant,
}

// === impl Partner ===

impl Partner {
    pub(crate) async fn of(api: &Api, domain: Domain, entry: Option<Entry>) -> Self {
        let (lookups, seen) = (api.verdicts.standing(&domain).await, api.partners.seen(&domain));
        Self { domain, entry, lookups, seen, now: Instant::now() }
    }

    /// Whether an entry allows it.
    fn is_allowed(&self) -> bool {
        self.entry.as_ref().is_some_and(Entry::allows)
    }

    /// How we stand with it.
    pub(crate) fn judged(&self) -> partners::Judged<'_> {
        let listed = self.entry.as_ref().and_then(|it| moment::instant(it.updated.at, self.now));
        judge(self.lookups.state(self.now), self.seen.as_deref(), heard(listed, self.now), self.now)
    }

    pub(crate) fn told(&self) -> PartnerInList {
        let (judged, now) = (self.judged(), self.now);
        let is_allowed = self.is_allowed();
        let trouble = judged.trouble.as_ref().filter(|_| is_allowed);
        let failing =
            self.lookups.failing_since().filter(|_| judged.state == Standing::DiscoveryFailing);
        let of = |at: Instant| moment::of(at, now);
        let good = |side| self.seen.as_ref().and_then(|seen| seen.good(side)).map(of);
        let state = if is_allowed { judged.state.name() } else { NOT_LISTED };
        PartnerInList {
            domain: self.domain.clone(),
            state: state.to_owned(),
            severity: judged.severity().filter(|_| is_allowed).map(|it| it.name().to_owned()),
            label: trouble.map(|trouble| trouble.label.name().to_owned()),
            cause: partners::cause(&judged, &self.lookups, now).filter(|_| is_allowed),
            since: trouble.map(|trouble| trouble.since).or(failing).map(of),
            last: trouble.map(|trouble| of(trouble.end.last)),
            count: trouble.map(|trouble| trouble.end.count),
            last_request: good(Side::Ingress),
            last_call: good(Side::Egress),
            certificate: self.certificate(),
        }
    }

    fn certificate(&self) -> Option<SeenCertificate> {
        let (certificate, at) = self.seen.as_ref()?.certificate.as_ref()?;
        let Certificate { names, issuer, serial, not_after } = &**certificate;
        Some(SeenCertificate {
            names: names.clone(),
            issuer: issuer.clone(),
            serial: serial.clone(),
            not_after: not_after.to_string(),
            ended: not_after.0 < seconds_now(),
            seen_at: moment::of(*at, self.now),
        })
    }

    fn ends(&self) -> Vec<SeenEnd> {
        let ends = self.seen.iter().flat_map(|seen| &seen.ends);
        ends.map(|((side, label), end)| SeenEnd {
            role: side.name().to_owned(),
            label: label.name().to_owned(),
            count: end.count,
            since: moment::of(end.since, self.now),
            last: moment::of(end.last, self.now),
            presented: end.certificate.as_ref().map(|it| it.names.clone()),
            upstream: end.upstream.map(|it| it.to_string()),
        })
        .collect()
    }
}

/// By when filters have heard of an entry that is of this moment. One that is ahead tells nothing: the wall clock was
/// set back, and refusals of now would count as older than the entry.
fn heard(listed: Option<Instant>, now: Instant) -> Option<Instant> {
    listed.filter(|at| *at <= now).and_then(|at| at.checked_add(HEARING))
}

/// The wall clock, as certificates have it.
pub(super) fn seconds_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_future_hides_no_refusal() {
        let (now, second) = (Instant::now(), std::time::Duration::from_secs(1));
        for (listed, expected) in
            [(None, None), (Some(now), Some(now + HEARING)), (Some(now + 3600 * second), None)]
        {
            assert_eq!(heard(listed, now), expected);
        }
    }

    #[test]
    fn the_documented_states_are_those_that_there_are() {
        assert_eq!(Standing::ALL.map(Standing::name), PARTNER_STATES);
    }
}
