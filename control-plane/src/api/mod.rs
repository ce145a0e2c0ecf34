//! The HTTP API: `admin` for people and their tools, `verdicts` for the filters, and `wire` for scripts that know
//! Wire's own list API.
//!
//! A request goes through the layers from the outside in: number, route (404, 405), time limit, token and
//! role (401, 403), trace, rate (429), then the handler. So nobody learns without a token what is on the list.

mod account;
pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod brig;
pub(crate) mod bulk;
mod describe;
pub(crate) mod domains;
pub(crate) mod explain;
pub(crate) mod extract;
mod findings;
mod guard;
mod health;
mod json;
mod lookups;
mod metrics;
pub(crate) mod number;
mod page;
pub(crate) mod partners;
pub(crate) mod problem;
pub(crate) mod rate;
mod reports;
pub(crate) mod status;
mod store;
pub(crate) mod tokens;
pub(crate) mod traced;
mod verdicts;
mod wire;

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::AllowList;
use tokio::task::AbortHandle;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::auth::{Guard, Issuer};
use crate::brig::Brig;
use crate::config::Certificates;
use crate::contract::Kind;
use crate::list_file::ListFile;
use crate::listener::{Crowds, Listener};
use crate::partners::Partners;
use crate::reload::Reload;
use crate::telemetry::Telemetry;
use crate::verdicts::Verdicts;
use crate::xds::Targets;
use problem::Problem;
pub(crate) use rate::Rates;

/// The longest that a request may take. Discovery, the slowest thing we do, has its own bound below.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(30);
/// The longest that a filter may wait for changes. Nothing else bounds that request: a second limit
/// would take 1.5 KiB of memory for each filter that waits.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// What the handlers work on. Every request that is under way has one, so it is small.
#[derive(Clone)]
pub(crate) struct Api(Arc<Parts>);

/// What there is to work on.
pub(crate) struct Parts {
    /// The allow list.
    pub(crate) list: AllowList,
    /// The verdicts on it.
    pub(crate) verdicts: Verdicts,
    /// How the targets of domains are to be reached.
    pub(crate) targets: Targets,
    /// Reads the configuration anew.
    pub(crate) reload: Reload,
    /// The task that keeps them fresh.
    pub(crate) refresher: AbortHandle,
    /// Who may call.
    pub(crate) guard: Guard,
    /// Makes and revokes tokens.
    pub(crate) issuer: Issuer,
    /// How often they do.
    pub(crate) rates: Arc<Rates>,
    /// Whether a change of what is there needs a condition.
    pub(crate) require_match: bool,
    /// When we were started.
    pub(crate) started: Instant,
    /// The listeners' own.
    pub(crate) certificates: Certificates,
    /// The value of `discovery.dnssec`.
    pub(crate) dnssec: String,
    /// What filters tell of partners.
    pub(crate) partners: Partners,
    /// Keeps our list in step with brig's, where that is wanted.
    pub(crate) brig: Option<Brig>,
    /// Keeps the list in step with a file, where that is wanted.
    pub(crate) list_file: Option<ListFile>,
    /// Is told of calls.
    pub(crate) telemetry: Telemetry,
    /// Who is connected.
    pub(crate) crowds: Crowds,
}

impl From<Parts> for Api {
    fn from(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The service behind the listener `admin`, with these routes beside the API, which see to themselves.
pub(crate) fn admin(api: Api, beside: Router<Api>) -> Router {
    let guard = from_fn_with_state((api.guard.clone(), Listener::Admin), guard::authorize);
    let rate = from_fn_with_state(api.rates.clone(), rate::limit);
    let guarded = admin::guarded().merge(tokens::guarded()).merge(audit::guarded());
    let guarded = guarded.merge(brig::guarded()).merge(store::guarded()).merge(metrics::guarded());
    let guarded = guarded.merge(partners::guarded()).merge(status::guarded());
    api.telemetry.listens(Listener::Admin.name());
    let traced = from_fn_with_state(Listener::Admin, traced::trace);
    let reading = from_fn_with_state(api.guard.clone(), guard::authorize_reading);
    let reading =
        explain::guarded().route_layer(rate.clone()).route_layer(traced.clone()).route_layer(reading);
    let guarded = guarded.route_layer(rate).route_layer(traced).route_layer(guard);
    let guarded = within(TIME_LIMIT, guarded.merge(reading));
    let (router, openapi) = OpenApiRouter::with_openapi(describe::about(Listener::Admin))
        .merge(guarded)
        .merge(within(TIME_LIMIT, health::open()))
        .split_for_parts();
    let timing = from_fn_with_state((api.telemetry.clone(), Listener::Admin), time);
    let router = described(Listener::Admin, router, openapi).merge(beside).with_state(api);
    numbered(Listener::Admin, router.layer(timing))
}

/// The service behind the listener `verdicts`.
pub(crate) fn verdicts(api: Api) -> Router {
    let guard = from_fn_with_state((api.guard.clone(), Listener::Verdicts), guard::authorize);
    let number = from_fn_with_state(Listener::Verdicts, number::number);
    let traced = from_fn_with_state(Listener::Verdicts, traced::trace);
    api.telemetry.listens(Listener::Verdicts.name());
    let at_once = verdicts::guarded().route_layer(traced).merge(reports::guarded());
    let at_once = at_once.route_layer(guard.clone()).merge(health::open());
    let at_once = at_once.layer(from_fn_with_state((api.telemetry.clone(), Listener::Verdicts), time));
    let (router, openapi) = OpenApiRouter::with_openapi(describe::about(Listener::Verdicts))
        .merge(within(TIME_LIMIT, at_once).route_layer(number))
        .merge(verdicts::waiting().route_layer(guard))
        .split_for_parts();
    common(described(Listener::Verdicts, router, openapi).with_state(api))
}

/// The service behind the listener `wire`; where it is `open`, it needs no token.
pub(crate) fn wire(api: Api, open: bool) -> Router {
    let guard = from_fn_with_state((api.guard.clone(), open), wire::authorize);
    let traced = from_fn_with_state(Listener::Wire, traced::trace);
    api.telemetry.listens(Listener::Wire.name());
    let (router, openapi) = OpenApiRouter::with_openapi(describe::about(Listener::Wire))
        .merge(within(TIME_LIMIT, wire::guarded().route_layer(traced).route_layer(guard)))
        .split_for_parts();
    let timing = from_fn_with_state((api.telemetry.clone(), Listener::Wire), time);
    let router = described(Listener::Wire, router, openapi).with_state(api);
    numbered(Listener::Wire, router.layer(timing))
}

/// With its own description, which is written once: anybody may have it.
fn described(listener: Listener, router: Router<Api>, mut openapi: OpenApi) -> Router<Api> {
    describe::complete(&mut openapi, listener);
    let json = Bytes::from(openapi.to_json().unwrap_or_default());
    let describe = async || ([(header::CONTENT_TYPE, "application/json")], json);
    router.route("/openapi.json", axum::routing::get(describe))
}

/// Tells telemetry of a call.
async fn time(
    State((telemetry, listener)): State<(Telemetry, Listener)>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let (begun, method) = (Instant::now(), method(request.method()));
    let response = next.run(request).await;
    let route = route.as_ref().map(MatchedPath::as_str);
    telemetry.called(listener.name(), method, route, response.status().as_u16(), begun.elapsed());
    response
}

/// One of those that we know: anybody can make up others.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| method == known).unwrap_or("other")
}

/// What holds for every route, and for none; and a number for every request.
fn numbered(listener: Listener, router: Router) -> Router {
    let number = from_fn_with_state(listener, number::number);
    otherwise(router).layer(number).layer(map_response(with_headers))
}

/// What holds for every route, and for none. What waits has no number of its own, for the sake of its size.
fn common(router: Router) -> Router {
    otherwise(router).layer(map_response(with_headers))
}

/// What is answered where there is no such route.
fn otherwise(router: Router) -> Router {
    router
        .fallback(async || Problem::new(Kind::NoSuchResource, "there is no such resource"))
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "this resource does not know this method")
        })
}

/// Routes that may take so long, and no longer.
fn within(limit: Duration, routes: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    routes.route_layer(from_fn_with_state(limit, limit_time))
}

pub(crate) async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("this took longer than {} seconds", limit.as_secs());
        Problem::new(Kind::TimedOut, detail).into_response()
    })
}

/// Adds what every answer carries.
async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // A browser that is made to open our JSON is not to take it for anything else.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Else the HTTP server sets it, and every connection keeps each second's date to compress later
    // headers with (HPACK): several KiB for each filter. What is sensitive is not kept.
    if let Ok(mut date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
        date.set_sensitive(true);
        headers.insert(header::DATE, date);
    }
    response
}

#[cfg(test)]
mod account_tests;
#[cfg(test)]
mod audit_tests;
#[cfg(test)]
mod lookups_tests;
#[cfg(test)]
mod page_tests;
#[cfg(test)]
mod partners_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tokens_tests;
#[cfg(test)]
mod writes_tests;
