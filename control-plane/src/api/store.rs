//! The admin API: a copy of the store.

use std::fs::File;
use std::io::{self, Read};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use fedgate_allow_list::StoreError;
use futures_util::{Stream, stream};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::extract::By;
use super::problem::Problem;
use crate::contract::Details;

/// Of databases of `SQLite`.
const TYPE: &str = "application/vnd.sqlite3";
/// How much of a copy is in memory, in octets.
const PIECE: usize = 64 << 10;

/// The routes of the store.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(backup))
}

/// A copy of the whole store, which holds the digests of tokens: for admins alone, and written down.
#[utoipa::path(
    post, path = "/v1/store/backup", tag = "admin",
    responses(
        (status = 200, body = String, content_type = "application/vnd.sqlite3", description = "a database of SQLite"),
        (status = 503, body = Details, content_type = "application/problem+json"),
        (status = 507, body = Details, content_type = "application/problem+json", description = "no room for a copy beside the store"),
    ),
)]
async fn backup(State(api): State<Api>, By(author): By) -> Result<Response, Problem> {
    let file = api.list.copy(&author).await.map_err(|error| Problem::from_store(&error))?;
    let length = file.metadata().map_err(|error| unknown(&error))?.len();
    tracing::info!(by = %author.by, request_id = author.request_id.as_deref(), octets = length, "store copied");
    let headers = [
        (header::CONTENT_TYPE, TYPE.to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces(file))).into_response())
}

/// What is in a file, piece after piece.
fn pieces(file: File) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file, async |file| {
        tokio::task::spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            let read = (&file).take(PIECE as u64).read_to_end(&mut piece)?;
            Ok((read > 0).then(|| (Bytes::from(piece), file)))
        })
        .await?
    })
}

fn unknown(error: &io::Error) -> Problem {
    Problem::from_store(&StoreError::Failed(error.to_string()))
}
