//! What filters report: documents the JSON of [`fedgate_policy::report::Report`].
#![allow(dead_code, reason = "documents JSON that the policy defines, and a test holds it to that")]

use super::text::DomainText;

/// What a worker of a filter saw since its last report.
#[derive(utoipa::ToSchema)]
#[schema(as = Report)]
pub(crate) struct ReportSchema {
    /// The worker, by a name that it made up when it began.
    #[schema(
        example = "3f9c41d07ab85e26",
        min_length = 1,
        max_length = 64,
        pattern = "^[A-Za-z0-9._+-]+$"
    )]
    worker: String,
    /// What its filter does: `ingress` or `egress`.
    #[schema(example = "ingress", pattern = "^(ingress|egress)$")]
    role: String,
    /// The module's.
    #[schema(example = "0.1.0", min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9._+-]+$")]
    version: String,
    feed: FeedStateSchema,
    /// What came to the same end, by domain and end.
    #[schema(max_items = 1000)]
    lines: Vec<LineSchema>,
    /// Requests and calls that found no place in `lines`.
    #[schema(nullable = false, format = "uint32", minimum = 0, maximum = 4_294_967_295_u32)]
    others: Option<u32>,
}

/// How a worker's table stands.
#[derive(utoipa::ToSchema)]
#[schema(as = FeedState)]
struct FeedStateSchema {
    /// How long ago the control plane was heard last, in milliseconds; absent where it never was.
    #[schema(format = "uint64", minimum = 0, maximum = 18_446_744_073_709_551_615_u64)]
    heard_ms: Option<u64>,
    /// Whether it holds all that is listed.
    whole: bool,
    /// How many domains it holds.
    #[schema(format = "uint32", minimum = 0, maximum = 4_294_967_295_u32)]
    entries: u32,
}

/// Requests, or calls, of one domain that came to the same end.
#[derive(utoipa::ToSchema)]
#[schema(as = ReportLine)]
struct LineSchema {
    /// Of the caller, or called.
    #[schema(value_type = DomainText)]
    domain: String,
    /// `permitted`, or the label of the refusal or of the failed call; where the other backend answered with an error,
    /// with what it says behind a slash.
    #[schema(example = "authentication-failure")]
    label: String,
    #[schema(format = "uint32", minimum = 0, maximum = 4_294_967_295_u32)]
    count: u32,
    /// How long ago the first was, in milliseconds.
    #[schema(format = "uint64", minimum = 0, maximum = 18_446_744_073_709_551_615_u64)]
    first_ms: u64,
    /// How long ago the last was, in milliseconds.
    #[schema(format = "uint64", minimum = 0, maximum = 18_446_744_073_709_551_615_u64)]
    last_ms: u64,
    /// What the last caller presented.
    certificate: Option<ShownSchema>,
    /// Address and port that the last call went to.
    #[schema(example = "192.0.2.7:443")]
    upstream: Option<String>,
    /// Whether they passed all the same, in shadow; absent where not.
    #[schema(nullable = false)]
    spared: Option<bool>,
}

/// What a certificate says of itself, in legible text.
#[derive(utoipa::ToSchema)]
#[schema(as = ReportedCertificate)]
struct ShownSchema {
    #[schema(example = "DNS:infra.a.com")]
    names: String,
    #[schema(example = "CN=R13, O=Example, C=US")]
    issuer: String,
    /// In hexadecimal digits.
    #[schema(example = "0a1b", max_length = 128, pattern = "^[0-9A-Fa-f]*$")]
    serial: String,
    /// The last second of its validity, in seconds since 1970.
    not_after: i64,
}

#[cfg(test)]
mod tests {
    use fedgate_policy::report::{FeedState, Line, Report, Shown};
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[track_caller]
    fn assert_described<S: PartialSchema>(sent: &impl serde::Serialize) {
        let (sent, schema) = (json!(sent), json!(S::schema()));
        let described = schema["properties"].as_object().unwrap();
        let keys = |of: &serde_json::Map<_, _>| of.keys().cloned().collect::<Vec<String>>();
        assert_eq!(keys(sent.as_object().unwrap()), keys(described));
    }

    #[test]
    fn the_documented_report_is_the_one_that_is_read() {
        let shown = Shown {
            names: "DNS:a".to_owned(),
            issuer: "CN=R".to_owned(),
            serial: "0a".to_owned(),
            not_after: 1,
        };
        let feed = FeedState { heard_ms: Some(1), whole: true, entries: 1 };
        let line = Line {
            domain: "a.com".parse().unwrap(),
            label: "permitted".to_owned(),
            count: 1,
            first_ms: 1,
            last_ms: 1,
            certificate: Some(shown.clone()),
            upstream: Some("192.0.2.7:443".to_owned()),
            spared: true,
        };
        assert_described::<ShownSchema>(&shown);
        assert_described::<FeedStateSchema>(&feed);
        assert_described::<LineSchema>(&line);
        assert_described::<ReportSchema>(&Report {
            worker: "w".to_owned(),
            role: "ingress".to_owned(),
            version: "1".to_owned(),
            feed,
            lines: vec![line],
            others: 1,
        });
    }
}

/// A report counts.
#[derive(utoipa::ToSchema)]
#[schema(as = Taken)]
pub(crate) struct TakenSchema {
    /// As in a page of the feed.
    #[schema(required, example = "3f0c9a5be81d7264")]
    store: Option<String>,
    /// As in a page of the feed.
    #[schema(required, example = "d7ad3ed29f31d1c5")]
    control_plane: Option<String>,
}
