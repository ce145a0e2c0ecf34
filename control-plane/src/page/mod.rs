//! The page: federation at a glance, for people who would rather look than read.
//!
//! ```text
//!  browser ─► dressed (headers, problems as pages) ─► entrance (session, same origin, role) ─► a screen
//!                                                                                               │
//!             what the API's handlers call: partners, status, list, explain, audit, tokens ◄────┘
//! ```
//!
//! It is made on the server, and works without a script; the script only fetches the page again when something has
//! changed. Nothing is decided here: each screen calls what the API's handlers call.

mod add;
mod assets;
mod audit;
mod chart;
mod check;
mod conflict;
mod deed;
mod documents;
mod dressed;
mod entrance;
mod entry;
mod explain;
mod form;
mod frame;
mod home;
mod import;
mod list;
mod live;
mod origin;
mod partner;
mod partners;
mod refusals;
mod session;
mod tokens;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::{any, get, post};
use fedgate_check::certificate::Trust;
use fedgate_policy::Domain;
use tokio::sync::watch;

use crate::api::{self, Api};
use crate::listener::Listener;
use check::Jobs;
pub(crate) use check::Tester;
use live::Live;
use session::Sessions;

/// What the page knows of us, by the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Our backend domain.
    pub(crate) own_domain: Option<Domain>,
    /// The authorities of our own certificates, in PEM: for others.
    pub(crate) own_ca: Option<Given<String>>,
    /// The authorities that our Envoy trusts.
    pub(crate) trust: Option<Given<Arc<Trust>>>,
}

/// What a file holds.
#[derive(Clone, Debug)]
pub(crate) struct Given<T> {
    /// The file.
    pub(crate) path: PathBuf,
    /// What is made of it.
    pub(crate) content: T,
}

/// What the screens work on.
#[derive(Clone)]
struct Pages {
    api: Api,
    sessions: Arc<Sessions>,
    live: Live,
    tester: Arc<Tester>,
    jobs: Arc<Jobs>,
}

/// The routes of the page, below `/page/`; none where there is nothing to test with.
pub(crate) fn router(api: &Api, tester: Option<Tester>, stopped: watch::Receiver<bool>) -> Router<Api> {
    let Some(tester) = tester else { return Router::new() };
    let has_tls = api.certificates.of(Listener::Admin).is_some();
    let pages = Pages {
        api: api.clone(),
        sessions: Arc::new(Sessions::new(has_tls)),
        live: Live::start(api, stopped),
        tester: Arc::new(tester),
        jobs: Arc::default(),
    };
    let rate = from_fn_with_state(api.rates.clone(), api::rate::limit);
    let traced = from_fn_with_state(Listener::Admin, api::traced::trace);
    let within = from_fn_with_state(api::TIME_LIMIT, api::limit_time);
    let enter = from_fn_with_state(pages.clone(), entrance::enter);
    let screens = screens().layer(within.clone()).route("/page/live", get(live::live));
    let screens =
        screens.layer(DefaultBodyLimit::max(entrance::FORM)).layer(rate).layer(traced).layer(enter);
    let open = Router::new()
        .route("/page/login", get(entrance::form).post(entrance::log_in))
        .route("/page/assets/{name}", get(assets::asset))
        .layer(within);
    let below = screens.merge(open);
    let below = below.method_not_allowed_fallback(dressed::no_such_method);
    let below = below.layer(from_fn_with_state(pages.clone(), dressed::dress)).with_state(pages);
    Router::new()
        .route("/", get(async || Redirect::to("/page/")))
        .route("/page", get(async || Redirect::to("/page/")))
        .merge(below)
}

fn screens() -> Router<Pages> {
    Router::new()
        .route("/page/", get(home::home))
        .route("/page/logout", post(entrance::log_out))
        .route("/page/partners", get(partners::partners))
        .route("/page/partners/{domain}", get(partner::partner))
        .route("/page/partners/{domain}/edit", get(entry::form).post(entry::change))
        .route("/page/partners/{domain}/{deed}", get(deed::ask).post(deed::act))
        .route("/page/add", get(add::start))
        .route("/page/add/look", get(add::look).post(add::begin))
        .route("/page/add/terms", get(add::terms).post(add::write))
        .route("/page/add/send", get(add::send))
        .route("/page/add/watch", get(add::watch))
        .route("/page/refusals", get(refusals::refusals))
        .route("/page/explain", get(explain::explain).post(explain::ask))
        .route("/page/checks", get(check::form).post(check::begin))
        .route("/page/checks/{id}", get(check::report))
        .route("/page/list", get(list::list))
        .route("/page/list/strategy", post(list::set_strategy))
        .route("/page/list/import", get(import::form).post(import::preview))
        .route("/page/list/import/apply", post(import::apply))
        .route("/page/tokens", get(tokens::tokens).post(tokens::make))
        .route("/page/tokens/{name}/revoke", get(tokens::ask).post(tokens::revoke))
        .route("/page/audit", get(audit::audit))
        .route("/page/audit.jsonl", get(audit::export))
        .route("/page/docs/{name}", get(documents::document))
        .route("/page/{*rest}", any(dressed::nowhere))
}
