//! A report: what a worker of a filter saw since its last one, and its JSON. It is told on the side: a report that is
//! lost is a count that is lost, never a decision.
//!
//! ```json
//! {"worker":"3f9c41d07ab85e26","role":"ingress","version":"0.1.0",
//!  "feed":{"heard_ms":1200,"whole":true,"entries":12},
//!  "lines":[{"domain":"a.com","label":"authentication-failure","count":3,"first_ms":4000,"last_ms":100,
//!            "certificate":{"names":"DNS:x.a.com","issuer":"CN=Root","serial":"0a1b","not_after":1790000000}},
//!           {"domain":"c.com","label":"federation-connection-refused","count":2,"first_ms":900,"last_ms":40,
//!            "upstream":"192.0.2.7:443"}],
//!  "others":5}
//! ```

use serde::{Deserialize, Serialize};

use crate::certificate::Portrait;
use crate::feed::Speaker;
use crate::legible::legible;
use crate::name::Domain;

/// The most lines of a report; what else there was to tell is [`Report::others`].
pub const MAX_LINES: usize = 1000;
/// How much is told of a certificate's names, and of its issuer, in characters.
const NAMES: usize = 300;
const ISSUER: usize = 200;

/// What a worker saw since its last report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// This worker, by a name that it made up when it began.
    pub worker: String,
    /// What its filter does: `ingress` or `egress`.
    pub role: String,
    /// The module's.
    pub version: String,
    /// How its table stands.
    pub feed: FeedState,
    /// What came to the same end, by domain and end; at most [`MAX_LINES`].
    pub lines: Vec<Line>,
    /// Requests and calls that found no place in `lines`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub others: u32,
}

/// How a worker's table stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// How long ago the control plane was heard last, in milliseconds; none where it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_ms: Option<u64>,
    /// Whether it holds all that is listed.
    pub whole: bool,
    /// How many domains it holds.
    pub entries: u32,
}

/// Requests, or calls, of one domain that came to the same end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The backend domain, which parsed: of the caller, or called.
    pub domain: Domain,
    /// [`PERMITTED`], or the label of the refusal or of the failed call; where the other backend answered with an
    /// error, with the label that it says behind a slash: `federation-remote-error/federation-denied`.
    pub label: String,
    /// How many.
    pub count: u32,
    /// How long ago the first was, in milliseconds.
    pub first_ms: u64,
    /// How long ago the last was, in milliseconds.
    pub last_ms: u64,
    /// What the last caller presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Shown>,
    /// The address that the last call went to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Whether they passed all the same, in shadow. Whoever does not know of this takes them for refused.
    #[serde(default, skip_serializing_if = "is_no")]
    pub spared: bool,
}

/// A report was taken, and this is by whom: whoever reports learns of a second control plane by that, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// See [`Speaker::store`].
    #[serde(default)]
    pub store: Option<String>,
    /// See [`Speaker::control_plane`].
    #[serde(default)]
    pub control_plane: Option<String>,
}

impl From<Speaker> for Taken {
    fn from(Speaker { store, control_plane }: Speaker) -> Self {
        Self { store, control_plane }
    }
}

impl From<Taken> for Speaker {
    fn from(Taken { store, control_plane }: Taken) -> Self {
        Self { store, control_plane }
    }
}

/// The label of requests that passed, and of calls that were answered well.
pub const PERMITTED: &str = "permitted";

/// What a certificate says of itself, in bounded, legible text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// As [`crate::Portrait::names`].
    pub names: String,
    /// As [`crate::Portrait::issuer`].
    pub issuer: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
    /// The last second of its validity, in seconds since 1970.
    pub not_after: i64,
}

impl Shown {
    /// What its texts take in memory, in octets.
    pub fn weight(&self) -> usize {
        [&self.names, &self.issuer, &self.serial].map(String::capacity).into_iter().sum()
    }
}

impl From<&Portrait> for Shown {
    fn from(portrait: &Portrait) -> Self {
        Self {
            names: legible(&portrait.names, NAMES),
            issuer: legible(&portrait.issuer, ISSUER),
            serial: portrait.serial.clone(),
            not_after: portrait.not_after.0,
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_no(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_as_it_was_written_and_leaves_out_what_there_is_not() {
        let report = Report {
            worker: "3f9c41d07ab85e26".to_owned(),
            role: "egress".to_owned(),
            version: "0.1.0".to_owned(),
            feed: FeedState { heard_ms: None, whole: false, entries: 0 },
            lines: vec![Line {
                domain: "c.com".parse().unwrap(),
                label: "federation-connection-refused".to_owned(),
                count: 2,
                first_ms: 900,
                last_ms: 40,
                certificate: None,
                upstream: Some("192.0.2.7:443".to_owned()),
                spared: false,
            }],
            others: 0,
        };
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"{"worker":"3f9c41d07ab85e26","role":"egress","version":"0.1.0","feed":{"whole":false,"entries":0},"lines":[{"domain":"c.com","label":"federation-connection-refused","count":2,"first_ms":900,"last_ms":40,"upstream":"192.0.2.7:443"}]}"#
        );
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn what_passed_in_shadow_is_told_and_an_older_filter_says_nothing_of_it() {
        let line =
            r#"{"domain":"a.com","label":"authentication-failure","count":1,"first_ms":0,"last_ms":0}"#;
        let told = line.replace('}', r#","spared":true}"#);
        for (json, spared) in [(line, false), (&told, true)] {
            let line: Line = serde_json::from_str(json).unwrap();
            assert_eq!((line.spared, &*serde_json::to_string(&line).unwrap()), (spared, json));
        }
    }

    #[test]
    fn a_domain_that_does_not_parse_is_in_no_report() {
        let json = r#"{"worker":"1","role":"ingress","version":"1","feed":{"whole":true,"entries":1},"lines":[{"domain":"a..com","label":"permitted","count":1,"first_ms":0,"last_ms":0}]}"#;
        assert!(serde_json::from_str::<Report>(json).is_err());
    }
}
