//! Whether we live, and whether we are of use: the same on both listeners, and open to all.

use std::fmt::Write as _;
use std::time::Instant;

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::problem::Problem;
use crate::contract::{Details, Kind};
use crate::moment;
use crate::verdicts::DnsTrouble;

/// The open routes.
pub(super) fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

/// Answers as long as the process lives.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = str)))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Answers whether the store is readable and discovery is running. Where DNS as a whole fails, a second
/// line says so, and since when; that is no reason to take us out of service: what was found before
/// still stands, and nobody else would know more. Calls that were refused for want of a right token are
/// counted on a line of their own, and so are calls of tokens that call too often.
#[utoipa::path(
    get, path = "/readyz", tag = "health", security(()),
    responses(
        (status = 200, body = str),
        (status = 503, body = Details, content_type = "application/problem+json"),
    ),
)]
async fn readyz(State(api): State<Api>) -> Result<String, Problem> {
    let unready = |detail: String| Problem::new(Kind::NotReady, detail);
    api.list.check().await.map_err(|error| unready(error.to_string()))?;
    if api.refresher.is_finished() {
        return Err(unready("the task that keeps verdicts fresh has ended: restart fedgate".to_owned()));
    }
    let refused = (api.guard.failures().count(), api.rates.refused());
    Ok(ready(api.verdicts.dns(), Instant::now(), refused))
}

fn ready(dns: Option<DnsTrouble>, now: Instant, (refused, limited): (u64, u64)) -> String {
    let mut lines = "ok\n".to_owned();
    // Writing to a string does not fail.
    if let Some(dns) = dns {
        let _ = writeln!(lines, "dns: failing since {}: {}", moment::of(dns.since, now), dns.cause);
    }
    if refused > 0 {
        let _ = writeln!(lines, "refused: {refused} calls without a right token since the start");
    }
    if limited > 0 {
        let _ =
            writeln!(lines, "limited: {limited} calls of tokens that call too often since the start");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_calls_are_counted_where_there_are_any() {
        let refused = "refused: 7 calls without a right token since the start\n";
        assert_eq!(ready(None, Instant::now(), (7, 0)), format!("ok\n{refused}"));
        let limited = "limited: 3 calls of tokens that call too often since the start\n";
        assert_eq!(ready(None, Instant::now(), (7, 3)), format!("ok\n{refused}{limited}"));
    }

    #[test]
    fn the_trouble_of_dns_is_a_second_line() {
        let now = Instant::now();
        assert_eq!(ready(None, now, (0, 0)), "ok\n");
        let dns = DnsTrouble { since: now, cause: "no answer in time".to_owned() };
        let body = ready(Some(dns), now, (0, 0));
        let (first, second) = body.split_once('\n').unwrap();
        assert_eq!(first, "ok");
        assert!(
            second.starts_with("dns: failing since 20") && second.ends_with("Z: no answer in time\n")
        );
    }
}
