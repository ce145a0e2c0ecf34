//! A law: what becomes of the wall clock changes nothing but what certificates are judged by.
//!
//! Feed, table and lookups are driven through any order of polls, failures, edits, lookups and requests, while
//! one clock goes on and the other jumps; beside them stands what is true by the clock that goes on.

use std::collections::HashMap;
use std::rc::Weak;
use std::time::Duration;

use fedgate_policy::{Asker, Domain, FeedPage, RequestId, Strategy, Verdict};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use crate::control_plane::AskError;
use crate::feed::Feed;
use crate::host::{Call, Now, WallClock};
use crate::lookups::{Lookups, Question, Waiting};
use crate::table::{Known, Table};

const MAX_STALENESS: Duration = Duration::from_secs(60);
const NAMES: [&str; 3] = ["a.com", "b.com", "c.com"];
/// What the wall clock says in the beginning.
const WALL: Duration = Duration::from_secs(1_800_000_000);

#[derive(Clone, Debug)]
enum Step {
    /// Milliseconds go by.
    Pass(u64),
    /// The wall clock is set, by so many seconds forward or back.
    SetWallClock(i64),
    /// A tick: what is due is asked, and answered or not.
    Tick,
    /// From now on the control plane answers, or does not.
    Answers(bool),
    /// A domain is listed, or no longer.
    List(usize, bool),
    /// A verdict of so many milliseconds is looked up.
    LookUp(usize, u64),
    /// A request comes.
    Request(usize),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (0u64..20_000).prop_map(Step::Pass),
        3 => (-7_200i64..7_200).prop_map(Step::SetWallClock),
        6 => Just(Step::Tick),
        1 => any::<bool>().prop_map(Step::Answers),
        2 => (name.clone(), any::<bool>()).prop_map(|(name, listed)| Step::List(name, listed)),
        1 => (name.clone(), 0u64..40_000).prop_map(|(name, life)| Step::LookUp(name, life)),
        6 => name.prop_map(Step::Request),
    ]
}

struct Nobody;

impl Waiting for Nobody {
    fn conclude(&self, _: Option<&Verdict>, _: Now) {}
}

/// The parts of a gate, and what is true of them.
struct World {
    passed: Duration,
    wall: Duration,
    feed: Feed,
    table: Table,
    lookups: Lookups,
    clock: WallClock,
    answers: bool,
    listed: [bool; NAMES.len()],
    /// What the filter was told of the list, and when.
    told: Option<([bool; NAMES.len()], Duration)>,
    /// Until when each domain may pass at most, by the feed and by lookups.
    lives: HashMap<usize, Duration>,
    /// When the last poll ended.
    polled: Duration,
}

impl World {
    fn new() -> Self {
        Self {
            passed: Duration::from_secs(5),
            wall: WALL,
            feed: Feed::default(),
            table: Table::new(MAX_STALENESS),
            lookups: Lookups::default(),
            clock: WallClock::new(WALL, Now::from_epoch(Duration::from_secs(5))),
            answers: true,
            listed: [true; NAMES.len()],
            told: None,
            lives: HashMap::new(),
            polled: Duration::ZERO,
        }
    }

    fn now(&self) -> Now {
        Now::from_epoch(self.passed)
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Pass(ms) => {
                let passed = Duration::from_millis(ms);
                (self.passed, self.wall) = (self.passed + passed, self.wall + passed);
            }
            Step::SetWallClock(by) => {
                let step = Duration::from_secs(by.unsigned_abs());
                self.wall = if by < 0 { self.wall.saturating_sub(step) } else { self.wall + step };
            }
            Step::Tick => self.tick()?,
            Step::Answers(answers) => self.answers = answers,
            Step::List(name, listed) => self.listed[name] = listed,
            Step::LookUp(name, life) => self.look_up(name, life),
            Step::Request(name) => self.request(name)?,
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), TestCaseError> {
        let now = self.now();
        self.clock = WallClock::new(self.wall, now);
        prop_assert_eq!(self.clock.unix(now).0, i64::try_from(self.wall.as_secs()).unwrap());
        let paused = self.passed.saturating_sub(self.polled);
        let due = self.feed.is_due(now);
        prop_assert!(due || paused < Duration::from_millis(1_500), "no poll for {:?}", paused);
        if !due {
            return Ok(());
        }
        self.feed.asked(Call(1));
        prop_assert!(self.feed.ends(Call(1)));
        self.polled = self.passed;
        if !self.answers {
            self.table.miss();
            self.feed.failed(&AskError::NoAnswer, now, 0.5);
            return Ok(());
        }
        let reset = self.feed.cursor().is_none();
        let verdicts = (0..NAMES.len()).filter(|name| self.listed[*name]).map(|name| {
            self.lives.insert(name, self.passed + Duration::from_secs(30));
            verdict(name, 30_000)
        });
        let page = FeedPage {
            cursor: "x".to_owned(),
            basis: None,
            store: None,
            control_plane: None,
            age_ms: None,
            reset,
            more: false,
            strategy: Strategy::AllowDynamic,
            verdicts: verdicts.collect(),
            removed: (0..NAMES.len()).filter(|name| !self.listed[*name]).map(domain).collect(),
        };
        self.feed.heard("x".to_owned(), reset, false, now, 0.5);
        self.table.apply(page, now);
        self.told = Some((self.listed, self.passed));
        Ok(())
    }

    fn look_up(&mut self, name: usize, life: u64) {
        let question = Question { asker: Asker::Ours, domain: domain(name) };
        let waits = self.lookups.wait(question.clone(), RequestId::of(b"r"), Weak::<Nobody>::new());
        assert_eq!(waits, Ok(()), "no lookup is refused because of a clock");
        let queued = self.lookups.take_queued();
        assert_eq!(queued.len(), 1);
        self.lookups.sent(Call(2), question.clone());
        assert_eq!(self.lookups.ends(Call(2)).as_ref(), Some(&question));
        assert_eq!(self.lookups.take_streams(&question).len(), 1);
        self.table.keep(verdict(name, life), self.now());
        let end = self.passed + Duration::from_millis(life).min(MAX_STALENESS);
        let longest = self.lives.entry(name).or_default();
        *longest = end.max(*longest);
    }

    fn request(&mut self, name: usize) -> Result<(), TestCaseError> {
        let (passed, told) = (self.passed, self.told);
        let in_force = told.filter(|(_, at)| passed.saturating_sub(*at) <= MAX_STALENESS);
        let now = self.now();
        match self.table.known(&domain(name), now).0 {
            Known::Verdict(_) => {
                let end = self.lives.get(&name).copied().unwrap_or_default();
                prop_assert!(passed < end, "{} passes beyond its life", NAMES[name]);
                prop_assert!(in_force.is_none_or(|(listed, _)| listed[name]), "it was removed");
            }
            Known::Denied => {
                prop_assert!(in_force.is_some_and(|(listed, _)| !listed[name]), "it is listed");
            }
            Known::Nothing => {
                // It is looked up: nothing is refused for good because a clock was set.
                prop_assert!(in_force.is_none_or(|(listed, _)| listed[name]), "it was removed");
            }
            Known::Unavailable => prop_assert!(false, "there is one control plane"),
        }
        Ok(())
    }
}

fn domain(name: usize) -> Domain {
    NAMES[name].parse().unwrap()
}

fn verdict(name: usize, ttl_ms: u64) -> Verdict {
    let outcome = fedgate_policy::Outcome::Hosts(vec!["fed.a.com".parse().unwrap()]);
    Verdict { domain: domain(name), outcome, ttl_ms, shadow: false }
}

proptest! {
    #[test]
    fn whatever_the_wall_clock_does_polls_go_on_lives_end_and_removals_count(
        steps in proptest::collection::vec(step(), 1..200)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step)?;
        }
    }
}
