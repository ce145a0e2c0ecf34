//! What a page needs beside its text: built in, and named by its content, so that a browser may keep it for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::dressed;

/// How long a browser may keep them: their names change with them.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

struct Asset {
    name: String,
    kind: &'static str,
    text: &'static str,
}

static ALL: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    let of = |name: &str, end: &str, kind, text: &'static str| {
        let hash = hex::encode(Sha256::digest(text));
        let hash = hash.get(..12).unwrap_or_default();
        Asset { name: format!("{name}.{hash}.{end}"), kind, text }
    };
    [
        of("style", "css", "text/css; charset=utf-8", include_str!("../../templates/assets/style.css")),
        of(
            "live",
            "js",
            "text/javascript; charset=utf-8",
            include_str!("../../templates/assets/live.js"),
        ),
        of("icon", "svg", "image/svg+xml", include_str!("../../templates/assets/icon.svg")),
    ]
});

/// The paths of style, script and icon.
pub(super) fn paths() -> [String; 3] {
    ALL.each_ref().map(|it| format!("/page/assets/{}", it.name))
}

/// One of them; anybody may have it.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let Some(it) = ALL.iter().find(|it| it.name == name) else {
        return dressed::nowhere().await.into_response();
    };
    let headers =
        [(header::CONTENT_TYPE, HeaderValue::from_static(it.kind)), (header::CACHE_CONTROL, FOR_EVER)];
    (headers, it.text).into_response()
}
