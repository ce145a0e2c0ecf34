//! Discovery and store, timed: each as it is, with a word to telemetry, and a span where there are traces.

use std::fs::File;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use fedgate_allow_list::audit::{self, Retention};
use fedgate_allow_list::{Change, Health, Record, State, Store, StoreError, Told, Whole};
use fedgate_discovery::{
    Certainty, Discover, Discovered, Discovering, Family, Proof, Resolve, Resolving,
};
use fedgate_policy::{Domain, HostName, Outcome};

use crate::telemetry::{Kind, Lookup, Operation, Telemetry};
use crate::traces;

/// This, timed.
pub(crate) struct Measured<T> {
    inner: T,
    telemetry: Telemetry,
}

impl<T> Measured<T> {
    /// `inner`, of which `telemetry` is told.
    pub(crate) fn new(inner: T, telemetry: Telemetry) -> Self {
        Self { inner, telemetry }
    }
}

impl<D: Discover> Discover for Measured<D> {
    fn discover<'a>(&'a self, domain: &'a Domain, proof: Proof) -> Discovering<'a> {
        Box::pin(async move {
            let begun = Instant::now();
            let found = traces::discovery(domain, self.inner.discover(domain, proof)).await;
            self.telemetry.looked_up(Kind::Srv, outcome(&found), begun.elapsed());
            found
        })
    }

    fn basis(&self) -> String {
        self.inner.basis()
    }

    fn width(&self) -> usize {
        self.inner.width()
    }

    fn servers(&self) -> String {
        self.inner.servers()
    }
}

impl<D: Resolve> Resolve for Measured<D> {
    fn resolve<'a>(&'a self, host: &'a HostName, family: Family) -> Resolving<'a> {
        Box::pin(async move {
            let begun = Instant::now();
            let found = traces::addresses(host, family, self.inner.resolve(host, family)).await;
            let kind = match family {
                Family::V4 => Kind::A,
                Family::V6 => Kind::Aaaa,
            };
            let outcome = match (&found.trouble, found.usable.is_empty()) {
                (Some(_), _) => Lookup::Failed,
                (None, true) => Lookup::None,
                (None, false) => Lookup::Found,
            };
            self.telemetry.looked_up(kind, outcome, begun.elapsed());
            found
        })
    }

    fn remembered(&self, host: &HostName, family: Family) -> Option<Vec<IpAddr>> {
        self.inner.remembered(host, family)
    }
}

fn outcome(found: &Discovered) -> Lookup {
    match (found.certainty, &found.outcome) {
        (Certainty::Transient, _) => Lookup::Failed,
        (Certainty::Answered, Outcome::Hosts(_)) => Lookup::Found,
        (Certainty::Answered, Outcome::Failure(_)) => Lookup::None,
    }
}

impl Measured<Box<dyn Store>> {
    fn time<T>(
        &mut self,
        operation: Operation,
        work: impl FnOnce(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let result = work(&mut *self.inner);
        self.telemetry.stored(operation, result.is_ok(), begun.elapsed());
        result
    }
}

impl Store for Measured<Box<dyn Store>> {
    fn identity(&mut self) -> Result<String, StoreError> {
        self.inner.identity()
    }

    fn watch(&mut self) -> Option<tokio::sync::mpsc::Receiver<Told>> {
        self.inner.watch()
    }

    fn load(&mut self) -> Result<State, StoreError> {
        self.time(Operation::Read, |store| store.load())
    }

    fn keep(
        &mut self,
        base: i64,
        changes: &[Change],
        records: &[Record],
    ) -> Result<Option<Arc<str>>, StoreError> {
        let seal = self.time(Operation::Write, |store| {
            traces::write(changes, records, || store.keep(base, changes, records))
        })?;
        self.telemetry.recorded(records.len());
        Ok(seal)
    }

    fn confirm(&mut self, base: i64) -> Result<(), StoreError> {
        self.time(Operation::Check, |store| store.confirm(base))
    }

    fn lapse(&mut self, records: &[Record]) -> Result<(), StoreError> {
        self.time(Operation::Write, |store| store.lapse(records))?;
        self.telemetry.recorded(records.len());
        Ok(())
    }

    fn audit(&mut self, query: &audit::Query) -> Result<Vec<(i64, Record)>, StoreError> {
        self.time(Operation::Read, |store| store.audit(query))
    }

    fn trim_audit(&mut self, keep: Retention, now: SystemTime) -> Result<usize, StoreError> {
        self.time(Operation::Upkeep, |store| store.trim_audit(keep, now))
    }

    fn used(&mut self, tokens: &[(Arc<str>, SystemTime)]) -> Result<(), StoreError> {
        self.time(Operation::Upkeep, |store| store.used(tokens))
    }

    fn whole(&mut self) -> Result<Whole, StoreError> {
        self.time(Operation::Backup, |store| store.whole())
    }

    fn fill(&mut self, whole: &Whole) -> Result<(), StoreError> {
        self.time(Operation::Backup, |store| store.fill(whole))
    }

    fn copy(&mut self) -> Result<File, StoreError> {
        self.time(Operation::Backup, |store| store.copy())
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.time(Operation::Check, |store| store.check())
    }

    fn health(&mut self) -> Health {
        self.inner.health()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.inner.close()
    }
}
