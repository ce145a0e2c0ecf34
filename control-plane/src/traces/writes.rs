//! Writes into the store as spans: for how long the disk takes, and whose they are.

use fedgate_allow_list::{Change, Record, StoreError};
use fedgate_policy::Domain;
use opentelemetry::KeyValue;

use super::{Span, SpanKind, number, text};

/// A write, which is a span.
pub(crate) fn write<T>(
    changes: &[Change],
    records: &[Record],
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let span = Span::begin("write", SpanKind::Internal, || about(changes, records));
    work().inspect_err(|error| span.fail(error))
}

/// All records of one write are by one author. What stood there, and stands there now, is the audit's to tell.
fn about(changes: &[Change], records: &[Record]) -> Vec<KeyValue> {
    let mut about =
        vec![number("fedgate.changes", changes.len()), number("fedgate.records", records.len())];
    let Some(first) = records.first() else { return about };
    about.push(text("fedgate.by", &first.by));
    about.extend(first.request_id.as_deref().map(|it| text("fedgate.request_id", it)));
    about.extend(first.revision.map(|revision| number("fedgate.revision", revision)));
    if let [only] = records {
        about.push(text("fedgate.deed", only.deed.name()));
        about.extend(only.domain.as_ref().map(Domain::as_str).map(|it| text("fedgate.domain", it)));
    }
    about
}
