//! What a worker remembers between requests, and how it learns: the feed, and lookups.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use fedgate_policy::{Domain, Refusal, RequestId, Verdict};

use crate::config::Config;
use crate::connection::{Connections, Downstream};
use crate::control_plane::{self, AskError};
use crate::feed::Feed;
use crate::host::{self, Call, Now};
use crate::lookups::{Lookups, Waiting};
use crate::metrics::{Counter, Metrics};
use crate::table::{Freshness, Known, Table};

/// How often the feed is looked after, and metrics are handed to Envoy.
const TICK: Duration = Duration::from_millis(100);
/// The shortest time that the feed's answer is held back while nothing changes.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The shortest that Envoy takes: a lookup is sent on the next tick.
const AT_ONCE: Duration = Duration::from_millis(1);

/// One plugin configuration's gate on one worker.
pub(crate) struct Gate {
    /// The plugin's configuration.
    pub(crate) config: Config,
    /// What is counted.
    pub(crate) metrics: Metrics,
    root: u32,
    table: RefCell<Table>,
    connections: RefCell<Connections>,
    feed: RefCell<Feed>,
    lookups: RefCell<Lookups>,
    /// What was wrong when the control plane was last asked; told when it changes, not every time.
    trouble: RefCell<Option<AskError>>,
    /// How the table stood when that was last told.
    freshness: Cell<Freshness>,
}

// === impl Gate ===

impl Gate {
    /// A gate that knows nothing yet. `root` is the root context, from which questions are asked.
    pub(crate) fn new(config: Config, root: u32) -> Self {
        host::tick_every(AT_ONCE);
        host::declare_admitted();
        Self {
            metrics: Metrics::define(),
            root,
            table: RefCell::new(Table::new(config.max_staleness)),
            connections: RefCell::new(Connections::new()),
            feed: RefCell::default(),
            lookups: RefCell::default(),
            trouble: RefCell::default(),
            freshness: Cell::new(Freshness::Warming),
            config,
        }
    }

    /// The current request's connection.
    pub(crate) fn connection(&self) -> Rc<Downstream> {
        self.connections.borrow_mut().current(&self.config)
    }

    /// Judges by what is known of `domain`; `None` where nothing is.
    pub(crate) fn judge<Permit>(
        &self,
        domain: &Domain,
        now: Now,
        judge: impl FnOnce(Option<&Verdict>) -> Result<Permit, Refusal>,
    ) -> Option<Result<Permit, Refusal>> {
        match self.table.borrow_mut().known(domain, now) {
            Known::Verdict(verdict) => Some(judge(Some(verdict))),
            Known::Denied => Some(judge(Some(&Verdict::denied(domain.clone(), 0)))),
            Known::Nothing => None,
        }
    }

    /// Has the control plane asked about `domain` on behalf of a stream, which waits. `false` where
    /// too many questions are under way.
    pub(crate) fn look_up(
        &self,
        domain: Domain,
        request_id: Option<RequestId>,
        stream: Weak<dyn Waiting>,
    ) -> bool {
        let waits = self.lookups.borrow_mut().wait(domain, request_id, stream);
        if waits {
            host::tick_every(AT_ONCE);
        }
        waits
    }

    /// Whether calls can be decided: by a table that counts; or, where there is to be none, as long as the
    /// control plane answers.
    pub(crate) fn can_decide(&self) -> bool {
        match self.table.borrow().freshness(host::now()) {
            Freshness::Fresh | Freshness::Stale => true,
            Freshness::Warming if self.config.max_staleness.is_zero() => self.trouble.borrow().is_none(),
            Freshness::Warming | Freshness::TooStale => false,
        }
    }

    /// What is due: questions that wait to be sent, the feed, metrics.
    pub(crate) fn tick(&self) {
        let now = host::now();
        let queued = self.lookups.borrow_mut().take_queued();
        for (domain, request_id) in queued {
            let request_id = request_id.as_ref();
            match control_plane::ask_verdict(&self.config.control_plane, &domain, request_id) {
                Ok(call) => self.lookups.borrow_mut().sent(call, domain),
                Err(error) => self.conclude(&domain, Err(error), now),
            }
        }
        let feed_is_due = self.feed.borrow().is_due(now);
        if feed_is_due {
            self.poll(now);
        }
        self.tell_freshness(now);
        self.metrics.flush(&self.table.borrow(), now);
        host::tick_every(TICK);
    }

    /// An answer has come.
    pub(crate) fn answered(&self, call: Call, body_size: usize) {
        let now = host::now();
        // What is borrowed is given back before anything is done with it: a second borrow would panic.
        let of_feed = self.feed.borrow_mut().ends(call);
        let domain = self.lookups.borrow_mut().ends(call);
        match domain {
            Some(domain) => self.conclude(&domain, control_plane::verdict(&domain, body_size), now),
            None if of_feed => self.learn(control_plane::page(body_size), now),
            None => {}
        }
    }

    fn poll(&self, now: Now) {
        if self.config.max_staleness.is_zero() {
            return;
        }
        let asked = {
            let feed = self.feed.borrow();
            // After a failure no answer is to be held back: it says that there are answers again.
            let wait = if feed.fails() {
                Duration::ZERO
            } else {
                (self.config.max_staleness / 2).max(SHORTEST_WAIT)
            };
            control_plane::ask_feed(&self.config.control_plane, feed.cursor(), wait)
        };
        match asked {
            Ok(call) => self.feed.borrow_mut().asked(call),
            Err(error) => self.learn(Err(error), now),
        }
    }

    fn learn(&self, page: Result<fedgate_policy::FeedPage, AskError>, now: Now) {
        self.watch(page.as_ref().err());
        match page {
            Ok(page) => {
                self.metrics.count(Counter::FeedPages);
                self.feed.borrow_mut().heard(page.cursor.clone());
                self.table.borrow_mut().apply(page, now);
                self.poll(now);
            }
            Err(error) => {
                self.metrics.count(Counter::FeedFailures);
                self.table.borrow_mut().miss();
                self.feed.borrow_mut().failed(&error, now, host::random());
            }
        }
    }

    /// Lets all who waited for a verdict go on with it, or without.
    fn conclude(&self, domain: &Domain, verdict: Result<Verdict, AskError>, now: Now) {
        self.watch(verdict.as_ref().err());
        self.metrics.count(Counter::Lookups);
        let verdict = verdict.ok();
        if let Some(verdict) = &verdict {
            self.table.borrow_mut().keep(verdict.clone(), now);
        }
        let streams = self.lookups.borrow_mut().take_streams(domain);
        // A stream that has ended meanwhile is gone, and so is the only strong reference to it.
        for stream in streams.iter().filter_map(Weak::upgrade) {
            stream.conclude(verdict.as_ref(), now);
        }
        if host::act_for(self.root).is_err() {
            log::error!("the root context is gone");
        }
    }

    fn watch(&self, error: Option<&AskError>) {
        let before = self.trouble.replace(error.cloned());
        match (before, error) {
            (Some(before), Some(error)) if before == *error => {}
            (_, Some(error)) => log::error!("no answer from the control plane: {error}"),
            (Some(_), None) => log::info!("the control plane answers again"),
            (None, None) => {}
        }
    }

    /// Logs how the table stands, once for each change. A failed poll is told before the next is made,
    /// since both wait for a tick.
    fn tell_freshness(&self, now: Now) {
        let table = self.table.borrow();
        let freshness = table.freshness(now);
        if self.freshness.replace(freshness) == freshness {
            return;
        }
        let (age, cluster) = (table.age(now).as_secs(), &self.config.control_plane.cluster);
        let max = self.config.max_staleness.as_secs();
        match freshness {
            Freshness::Warming => {}
            Freshness::Fresh => log::info!(
                "the table is fresh: {} listed domains; requests are decided at once, changes count at once",
                table.len()
            ),
            Freshness::Stale => log::warn!(
                "the table is stale: the control plane was last heard {age} s ago; requests are decided by \
                 what it said, until that is {max} s old (max_staleness_s), and changes do not count; see \
                 that `fedgate serve` runs, and that Envoy reaches it (cluster {cluster})"
            ),
            Freshness::TooStale => log::error!(
                "the table is too stale: the control plane was not heard for more than {max} s \
                 (max_staleness_s); requests are refused with 503 verdict-unavailable, but where a lookup \
                 succeeds; see that `fedgate serve` runs, and that Envoy reaches it (cluster {cluster})"
            ),
        }
    }
}
