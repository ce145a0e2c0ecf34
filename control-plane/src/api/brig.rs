//! The admin API on brig: how our list stands to its, and taking its over.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use fedgate_allow_list::Effect;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::{By, DryRun, Query};
use super::problem::Problem;
use crate::brig::{Difference, ImportError, Kind as Differs, Report};
use crate::contract::{BrigStatus, Details, Drift, DriftCounts, Imported, ImportedDomain, Kind};

/// How many domains are told.
const MAX_TOLD: usize = 1000;

/// The guarded routes.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(status)).routes(routes!(import))
}

/// How our list stands to brig's, by brig's last answer.
#[utoipa::path(get, path = "/v1/brig", tag = "admin", responses((status = 200, body = BrigStatus)))]
async fn status(State(api): State<Api>) -> Json<BrigStatus> {
    Json(standing(&api))
}

/// How our list stands to brig's.
pub(crate) fn standing(api: &Api) -> BrigStatus {
    let report = api.brig.as_ref().map(crate::brig::Brig::report);
    report.map_or_else(|| off(api), shown)
}

/// Takes brig's rows over into our list, all or none, and notes them as ours to change. What is closed in brig is
/// passed over.
#[utoipa::path(
    post, path = "/v1/brig/import", tag = "admin", params(DryRun),
    responses(
        (status = 200, body = Imported),
        (status = 400, body = Details, content_type = "application/problem+json"),
        (status = 409, body = Details, content_type = "application/problem+json", description = "there is no brig, or it is the master"),
        (status = 422, body = Details, content_type = "application/problem+json", description = "some rows mean nothing to us; `errors` names them"),
        (status = 502, body = Details, content_type = "application/problem+json", description = "brig does not answer as it should"),
    ),
)]
async fn import(
    State(api): State<Api>,
    By(author): By,
    Query(DryRun { dry_run }): Query<DryRun>,
) -> Result<Json<Imported>, Problem> {
    let Some(brig) = &api.brig else {
        let detail = "there is no brig to import from: set `[brig] url`, and restart";
        return Err(Problem::new(Kind::Conflict, detail));
    };
    let effects = brig.import(author.clone(), dry_run).await?;
    let mut imported = Imported { dry_run, created: 0, changed: 0, same: 0, domains: Vec::new() };
    for (domain, effect) in effects {
        let (count, effect) = match effect {
            Effect::Created => (&mut imported.created, Some("created")),
            Effect::Changed => (&mut imported.changed, Some("changed")),
            Effect::Same | Effect::Removed => (&mut imported.same, None),
        };
        *count = count.saturating_add(1);
        let told = effect.map(|effect| ImportedDomain { domain, effect: effect.to_owned() });
        imported.domains.extend(told);
    }
    let Imported { created, changed, same, .. } = imported;
    if !dry_run {
        tracing::info!(
            by = %author.by, request_id = author.request_id.as_deref(), created, changed, same,
            "brig's rows imported"
        );
    }
    Ok(Json(imported))
}

fn off(api: &Api) -> BrigStatus {
    BrigStatus {
        mode: "off".to_owned(),
        url: None,
        overwrite: false,
        in_step: false,
        last_success: None,
        failing_since: None,
        cause: None,
        rows: 0,
        full: false,
        strategy: api.list.strategy().0.name().to_owned(),
        strategy_of_brig: None,
        doubted: 0,
        counts: DriftCounts::default(),
        drift: Vec::new(),
        strange: Vec::new(),
        still_listed_count: 0,
        still_listed: Vec::new(),
    }
}

fn shown(report: Report) -> BrigStatus {
    let in_step = report.is_in_step();
    let count = |kind| report.drift.iter().filter(|it| it.kind == kind).count();
    let counts = DriftCounts {
        missing: count(Differs::Missing),
        differing: count(Differs::Differing),
        open: count(Differs::Open),
        not_ours: count(Differs::NotOurs),
        of_the_file: count(Differs::OfTheFile),
        unreadable: count(Differs::Unreadable),
    };
    let moment = |at: SystemTime| humantime::format_rfc3339_millis(at).to_string();
    let (failing_since, cause) = report.failing.map(|(since, cause)| (moment(since), cause)).unzip();
    let (ours, brigs) = report.strategies;
    BrigStatus {
        mode: report.mode.name().to_owned(),
        url: Some(report.url.into()),
        overwrite: report.overwrite,
        in_step,
        last_success: report.last_success.map(moment),
        failing_since,
        cause,
        rows: report.rows,
        full: report.is_full,
        strategy: ours.to_owned(),
        strategy_of_brig: brigs,
        doubted: report.doubt.map_or(0, |(gone, _)| gone),
        counts,
        drift: report.drift.into_iter().take(MAX_TOLD).map(told).collect(),
        strange: report.strange.into_iter().take(MAX_TOLD).collect(),
        still_listed_count: report.still_listed.len(),
        still_listed: report.still_listed.into_iter().take(MAX_TOLD).collect(),
    }
}

fn told(Difference { domain, kind, ours, brig, cause }: Difference) -> Drift {
    Drift { domain, kind: kind.name().to_owned(), ours, brig, cause }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Follows => Self::new(Kind::Conflict, error.to_string()),
            ImportError::Call(_) => Self::new(Kind::BrigFailed, error.to_string()),
            ImportError::Rows(ref rows) => {
                let rows = rows.clone();
                Self::new(Kind::UnprocessableContent, error.to_string()).with_errors(rows)
            }
            ImportError::Write(error) => error.into(),
        }
    }
}
