//! Writes into the store as spans: for how long the disk takes, and whose they are.

use std::fs::File;
use std::sync::Arc;
use std::time::SystemTime;

use fedgate_allow_list::audit::{Query, Record, Retention};
use fedgate_allow_list::{Change, State, Store, StoreError};
use fedgate_policy::Domain;
use opentelemetry::KeyValue;

use super::{Span, SpanKind, number, text};

/// A store whose writes are spans.
pub(crate) struct TracedStore<S>(pub(crate) S);

impl<S: Store> Store for TracedStore<S> {
    fn keep(&mut self, changes: &[Change], records: &[Record]) -> Result<(), StoreError> {
        let span = Span::begin("write", SpanKind::Internal, || about(changes, records));
        self.0.keep(changes, records).inspect_err(|error| span.fail(error))
    }

    fn load(&mut self) -> Result<State, StoreError> {
        self.0.load()
    }

    fn audit(&mut self, query: &Query) -> Result<Vec<(i64, Record)>, StoreError> {
        self.0.audit(query)
    }

    fn trim_audit(&mut self, keep: Retention, now: SystemTime) -> Result<usize, StoreError> {
        self.0.trim_audit(keep, now)
    }

    fn used(&mut self, tokens: &[(Arc<str>, SystemTime)]) -> Result<(), StoreError> {
        self.0.used(tokens)
    }

    fn copy(&mut self) -> Result<File, StoreError> {
        self.0.copy()
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.0.check()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.0).close()
    }
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
