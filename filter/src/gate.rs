//! What a worker remembers between requests, and how it learns: the feed, and lookups.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use fedgate_policy::report::PERMITTED;
use fedgate_policy::{Answer, Domain, Refusal, RequestId, Speaker, UnixTime, Verdict};

use crate::config::Config;
use crate::connection::{Connections, Downstream};
use crate::control_plane::{self, AskError};
use crate::feed::Feed;
use crate::host::{self, Call, Now, WallClock};
use crate::lookups::{Lookups, Question, Waiting};
use crate::metrics::{Counter, Metrics};
use crate::partners::Partner;
use crate::reports::Reports;
use crate::speakers::{self, News, Speakers};
use crate::table::{Freshness, Known, Table};
use crate::tallies::{End, Tally};

/// How often the feed is looked after, and metrics are handed to Envoy.
const TICK: Duration = Duration::from_millis(100);
/// The shortest time that the feed's answer is held back while nothing changes.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);
/// The shortest that Envoy takes: a lookup is sent on the next tick.
const AT_ONCE: Duration = Duration::from_millis(1);
/// How often trouble is told that goes on.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Where is told what belongs behind the cluster.
const SEE: &str = "docs/configuration.md, One control plane, one store";

/// How long the control plane may be away before anything is said of it: as long as it takes to restart it. When
/// it stops, it answers those who wait, so that it was heard a moment before.
const RESTART: Duration = Duration::from_secs(5);

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
    wall: Cell<WallClock>,
    speakers: RefCell<Speakers>,
    /// When it was last told that the control plane begins anew again and again.
    told: Cell<Option<Now>>,
    lookups: RefCell<Lookups>,
    /// What was wrong when the control plane was last asked; told when it changes, not every time.
    trouble: RefCell<Option<AskError>>,
    /// How the table stood when that was last told.
    freshness: Cell<Freshness>,
    /// What is to be told to the control plane; none where nothing is.
    reports: Option<RefCell<Reports>>,
}

/// Says that something passes in shadow.
pub(crate) fn tell_spared(refusal: &Refusal) {
    log::info!("shadow: would refuse with {}: {refusal}", refusal.label());
}

// === impl Gate ===

impl Gate {
    /// A gate that knows nothing yet. `root` is the root context, from which questions are asked.
    pub(crate) fn new(config: Config, root: u32) -> Self {
        host::tick_every(AT_ONCE);
        host::declare_admitted();
        let now = host::now();
        let wall = Cell::new(host::wall_clock(now));
        let worker = format!("{:016x}", host::random_number());
        let reports = Reports::new(worker, config.role.name(), now, host::random());
        Self {
            reports: config.reports.then(|| RefCell::new(reports)),
            metrics: Metrics::define(config.role.name()),
            root,
            table: RefCell::new(Table::new(config.max_staleness)),
            connections: RefCell::new(Connections::new()),
            feed: RefCell::default(),
            wall,
            speakers: RefCell::default(),
            told: Cell::default(),
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

    /// The time by which certificates are judged: that of the last tick's wall clock.
    pub(crate) fn unix(&self, now: Now) -> UnixTime {
        self.wall.get().unix(now)
    }

    /// Judges by what is known of `domain`; `None` where nothing is. Also the domain's place among the counts.
    pub(crate) fn judge<Permit>(
        &self,
        domain: &Domain,
        now: Now,
        judge: impl FnOnce(Option<&Verdict>) -> Result<Permit, Refusal>,
    ) -> (Option<Result<Permit, Refusal>>, Partner) {
        let mut table = self.table.borrow_mut();
        let (known, noted) = table.known(domain, now);
        let partner = noted.map_or(Partner::NONE, |noted| self.metrics.partner(noted, domain));
        let decision = match known {
            Known::Verdict(verdict) => Some(judge(Some(verdict))),
            Known::Denied => Some(judge(Some(&Verdict::denied(domain.clone(), 0)))),
            Known::Unavailable => Some(judge(None)),
            Known::Nothing => None,
        };
        (decision, partner)
    }

    /// Has the control plane asked on behalf of a stream, which waits; or refuses that, where too many
    /// questions are under way.
    pub(crate) fn look_up(
        &self,
        question: Question,
        request_id: Option<RequestId>,
        stream: Weak<dyn Waiting>,
    ) -> Result<(), Refusal> {
        let domain = question.domain.clone();
        let waits = self.lookups.borrow_mut().wait(question, request_id, stream);
        waits.map_err(|own| Refusal::TooManyQuestions { domain, own })?;
        host::tick_every(AT_ONCE);
        Ok(())
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
        self.wall.set(host::wall_clock(now));
        self.rest(now);
        let queued = self.lookups.borrow_mut().take_queued();
        for (question, request_id) in queued {
            let request_id = request_id.as_ref();
            match control_plane::ask_verdict(&self.config.control_plane, &question, request_id) {
                Ok(call) => self.lookups.borrow_mut().sent(call, question),
                Err(error) => self.conclude(&question, Err(error), now),
            }
        }
        let feed_is_due = self.feed.borrow().is_due(now);
        if feed_is_due {
            self.poll(now);
        }
        self.tell_freshness(now);
        self.metrics.flush(&self.table.borrow(), now, self.wall.get());
        self.report(now);
        host::tick_every(TICK);
    }

    /// An answer has come.
    pub(crate) fn answered(&self, call: Call, body_size: usize) {
        let now = host::now();
        // What is borrowed is given back before anything is done with it: a second borrow would panic.
        let of_feed = self.feed.borrow_mut().ends(call);
        let question = self.lookups.borrow_mut().ends(call);
        if let Some(reports) = &self.reports {
            // A report takes a turn of the cluster's: so polls alone would not hear each who answers there.
            let taken = || {
                let speaker = control_plane::taken(body_size)?;
                self.speakers.borrow_mut().compare(&speaker, now);
                self.hear(speaker, now);
                Ok(())
            };
            reports.borrow_mut().ends(call, taken, now, host::random());
        }
        match question {
            Some(question) => {
                self.conclude(&question, control_plane::verdict(&question.domain, body_size), now);
            }
            None if of_feed => self.learn(control_plane::page(body_size), now),
            None => {}
        }
    }

    /// Notes for the next report what a request or a call came to that did not pass; `domain` is whose it is,
    /// as far as that is known, and `more` adds what was seen.
    pub(crate) fn note(
        &self,
        domain: Option<Domain>,
        end: End,
        partner: Partner,
        more: impl FnOnce(Tally) -> Tally,
    ) {
        let Some(reports) = &self.reports else { return };
        let tally = more(Tally::new(1, host::now(), partner != Partner::NONE));
        reports.borrow_mut().note(domain, end, tally);
    }

    /// Tells what was seen, where that is due and the control plane is not known to be away.
    fn report(&self, now: Now) {
        let Some(reports) = &self.reports else { return };
        let mut reports = reports.borrow_mut();
        self.metrics.take_passed(|domain, count, peer| {
            let certificate = peer.and_then(|peer| peer.shown.clone());
            let tally = Tally { certificate, ..Tally::new(count, now, true) };
            reports.note(domain.cloned(), End::new(PERMITTED), tally);
        });
        if !reports.is_due(now) || self.feed.borrow().fails() || self.trouble.borrow().is_some() {
            return;
        }
        let (report, batch) = reports.take(self.table.borrow().state(now), now);
        match control_plane::tell(&self.config.control_plane, &report) {
            Ok(call) => reports.sent(call, batch),
            Err(error) => reports.ended(batch, Err(error), now, host::random()),
        }
    }

    fn poll(&self, now: Now) {
        if self.config.max_staleness.is_zero() {
            return;
        }
        let asked = {
            let feed = self.feed.borrow();
            // After a failure no answer is to be held back: it says that there are answers again. Nor where
            // each may come from another.
            let speakers = self.speakers.borrow();
            let wait = if feed.fails() || speakers.in_turn() || speakers.are_suspect(now) {
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
        self.watch(page.as_ref().err(), now);
        match page {
            Ok(page) => {
                self.metrics.count(Counter::FeedPages);
                if page.reset {
                    self.metrics.count(Counter::FeedResets);
                }
                self.hear(page.speaker(), now);
                let (cursor, in_turn) = (page.cursor.clone(), self.speakers.borrow().in_turn());
                self.feed.borrow_mut().heard(cursor, page.reset, in_turn, now, host::random());
                self.table.borrow_mut().apply(page, now);
                self.tell_resets(now);
                let is_due = self.feed.borrow().is_due(now);
                if is_due {
                    self.poll(now);
                }
            }
            Err(error) => {
                self.metrics.count(Counter::FeedFailures);
                self.table.borrow_mut().miss();
                self.feed.borrow_mut().failed(&error, now, host::random());
            }
        }
    }

    /// Lets all who waited for a verdict go on with it, or without.
    fn conclude(&self, question: &Question, answer: Result<Answer, AskError>, now: Now) {
        let answer = answer.and_then(|answer| control_plane::fresh(answer, self.config.max_staleness));
        self.watch(answer.as_ref().err(), now);
        self.metrics.count(Counter::Lookups);
        let verdict = answer.ok().map(|Answer { verdict, speaker, .. }| {
            self.hear(speaker, now);
            verdict
        });
        if let Some(verdict) = &verdict {
            self.table.borrow_mut().keep(verdict.clone(), now);
        }
        let streams = self.lookups.borrow_mut().take_streams(question);
        // A stream that has ended meanwhile is gone, and so is the only strong reference to it.
        for stream in streams.iter().filter_map(Weak::upgrade) {
            stream.conclude(verdict.as_ref(), now);
        }
        if host::act_for(self.root).is_err() {
            log::error!("the root context is gone");
        }
    }

    /// Notes who has answered.
    fn hear(&self, speaker: Speaker, now: Now) {
        let mut speakers = self.speakers.borrow_mut();
        let news = speakers.hear(speaker, now);
        self.table.borrow_mut().dispute(speakers.in_turn());
        let [Some(one), Some(other)] = speakers.last_two() else { return };
        match news {
            News::None => {}
            News::OtherStore => log::warn!(
                "another store: {one} answers, before it was {other}; from now on its list counts; see that \
                 this was meant ({SEE})"
            ),
            News::InTurn => {
                self.metrics.count(Counter::DisputedAnswers);
                if self.is_to_be_told(now) {
                    log::error!(
                        "two control planes answer in turn that do not share a store: {one}, and {other}; \
                         until one has been silent for {} s, only what both list passes, and nothing new; \
                         stop one of them, or take it out of cluster {} ({SEE})",
                        speakers::MEMORY.as_secs(),
                        self.config.control_plane.cluster
                    );
                }
            }
        }
    }

    /// Whether there is one control plane again.
    fn rest(&self, now: Now) {
        let mut speakers = self.speakers.borrow_mut();
        let before = speakers.in_turn();
        speakers.rest(now);
        if before && !speakers.in_turn() {
            self.table.borrow_mut().dispute(false);
            self.told.set(None);
            log::info!("a single control plane answers again: what it lists passes");
        }
    }

    fn tell_resets(&self, now: Now) {
        let tables = self.feed.borrow().trouble(now);
        if let Some(tables) = tables
            && !self.speakers.borrow().in_turn()
            && self.is_to_be_told(now)
        {
            log::error!(
                "the feed began anew {tables} times in a row: the control plane is restarted again and again, \
                 as its own log tells, or several that do not share a store are behind cluster {} ({SEE})",
                self.config.control_plane.cluster
            );
        }
    }

    /// Whether trouble with who answers was not told of late.
    fn is_to_be_told(&self, now: Now) -> bool {
        let is_due = self.told.get().is_none_or(|told| now.since(told) >= TOLD_EVERY);
        if is_due {
            self.told.set(Some(now));
        }
        is_due
    }

    /// Logs what is wrong with the control plane, once for each change.
    fn watch(&self, error: Option<&AskError>, now: Now) {
        if error == Some(&AskError::NoAnswer) && self.may_be_restarting(now) {
            return;
        }
        let before = self.trouble.replace(error.cloned());
        match (before, error) {
            (Some(before), Some(error)) if before == *error => {}
            (_, Some(error)) => log::error!("no answer from the control plane: {error}"),
            (Some(_), None) => log::info!("the control plane answers again"),
            (None, None) => {}
        }
    }

    fn may_be_restarting(&self, now: Now) -> bool {
        let table = self.table.borrow();
        let counts = matches!(table.freshness(now), Freshness::Fresh | Freshness::Stale);
        counts && table.age(now) < RESTART
    }

    /// Logs how the table stands, once for each change. A failed poll is told before the next is made,
    /// since both wait for a tick.
    fn tell_freshness(&self, now: Now) {
        let table = self.table.borrow();
        let freshness = table.freshness(now);
        if freshness == Freshness::Stale && self.may_be_restarting(now) {
            return;
        }
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
