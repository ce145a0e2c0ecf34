//! A law: what is remembered never lives longer than its answer, however the wall clock is set, and through
//! restarts and boots.

use std::time::UNIX_EPOCH;

use fedgate_policy::Outcome;
use fedgate_store::sqlite::Database;
use proptest::prelude::*;
use tempfile::TempDir;

use super::sqlite::Sqlite;
use super::*;

const LIFE: u64 = 600;
const WALL: u64 = 1_800_000_000;

#[derive(Clone, Debug)]
enum Step {
    /// Seconds go by.
    Pass(u64),
    /// The wall clock is set, by so many seconds, and we see it.
    SetWallClock(i64),
    /// DNS answers, for [`LIFE`].
    Find,
    /// The process ends, the clock is set or not, and the next one begins.
    Restart(i64),
    /// The machine boots.
    Boot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..400).prop_map(Step::Pass),
        2 => (-7_200i64..7_200).prop_map(Step::SetWallClock),
        3 => Just(Step::Find),
        3 => prop_oneof![Just(0), -7_200i64..7_200].prop_map(Step::Restart),
        1 => Just(Step::Boot),
    ]
}

/// A machine with one store.
struct Machine {
    /// Seconds that have really passed.
    passed: u64,
    /// By how many the wall clock is ahead.
    ahead: i64,
    boot: u32,
    booted_at: u64,
    store: Sqlite,
    state: State,
    /// When DNS last answered, and in which boot.
    found: Option<(u64, u32)>,
    _directory: TempDir,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite(Database::open(&directory.path().join("fedgate.db")).unwrap());
        let state = state();
        Self {
            passed: 0,
            ahead: 0,
            boot: 0,
            booted_at: 0,
            store,
            state,
            found: None,
            _directory: directory,
        }
    }

    fn now(&self) -> When {
        let wall = (WALL + self.passed).checked_add_signed(self.ahead).unwrap();
        When {
            wall: UNIX_EPOCH + Duration::from_secs(wall),
            boot: self.boot.to_string().into(),
            booted_ms: i64::try_from(1_000 * (self.passed - self.booted_at)).unwrap(),
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Pass(seconds) => self.passed += seconds,
            Step::SetWallClock(by) => {
                self.ahead += by;
                self.store.step(&self.now()).unwrap();
            }
            Step::Find => {
                self.state.found(&domain(), &found(), self.now());
                self.store.write(&self.state.take(usize::MAX)).unwrap();
                self.found = Some((self.passed, self.boot));
            }
            Step::Restart(by) => {
                self.ahead += by;
                self.restart(true)?;
            }
            Step::Boot => {
                (self.boot, self.booted_at) = (self.boot + 1, self.passed);
                self.restart(false)?;
            }
        }
        Ok(())
    }

    fn restart(&mut self, same_boot: bool) -> Result<(), TestCaseError> {
        self.store.step(&self.now()).unwrap();
        self.state = state();
        let (recalled, corrupt) = self.state.recall(self.store.recall().unwrap(), |_| true, &self.now());
        prop_assert!(corrupt.is_empty());
        let age = self.found.map_or(LIFE, |(at, _)| self.passed - at);
        let left = recalled.first().map_or(0, |it| it.found.ttl.as_secs());
        prop_assert!(left <= LIFE.saturating_sub(age), "{left} s are left after {age}");
        let known = self.found.is_some_and(|(_, boot)| boot == self.boot);
        if same_boot && known {
            prop_assert_eq!(left, LIFE.saturating_sub(age), "nor is it forgotten before");
        }
        Ok(())
    }
}

fn state() -> State {
    State::new("x".to_owned(), Duration::from_secs(86_400))
}

fn domain() -> Domain {
    "a.com".parse().unwrap()
}

fn found() -> Discovered {
    let outcome = Outcome::Hosts(vec!["fed.a.com".parse().unwrap()]);
    let (targets, passed_over) = (Vec::new(), Vec::new());
    let ttl = Duration::from_secs(LIFE);
    Discovered { outcome, targets, passed_over, ttl, certainty: Certainty::Answered, is_proven: false }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn nothing_that_is_remembered_outlives_its_answer(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let mut machine = Machine::new();
        for step in &steps {
            machine.take(step)?;
        }
    }
}
