//! A law: however time leaps, each listed domain is looked up when it is due, and never left out for good.

use proptest::prelude::*;

use super::*;
use fedgate_discovery::Certainty;
use fedgate_policy::Outcome;

const NAMES: [&str; 3] = ["a.com", "b.com", "c.com"];
/// The longest life of an answer here.
const LONGEST: u64 = 300;
/// No pause is longer: an answer's life, or the longest after failures, with its jitter.
const BOUND: Duration = Duration::from_secs(LONGEST);

#[derive(Clone, Debug)]
enum Step {
    /// Milliseconds go by; where the machine slept, many.
    Pass(u64),
    /// What is due is begun.
    Begin,
    /// What is under way ends, with an answer of so many seconds, or with none.
    End(usize, Option<u64>),
    /// A domain is listed, or no longer.
    List(usize, bool),
    /// DNS is in doubt: the next domain is looked up now.
    Hasten,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => prop_oneof![0u64..5_000, 0u64..10_000_000].prop_map(Step::Pass),
        6 => Just(Step::Begin),
        6 => (name.clone(), prop::option::of(1..LONGEST)).prop_map(|(name, life)| Step::End(name, life)),
        2 => (name, any::<bool>()).prop_map(|(name, listed)| Step::List(name, listed)),
        1 => Just(Step::Hasten),
    ]
}

fn domain(name: usize) -> Domain {
    NAMES[name].parse().unwrap()
}

fn known(life: Option<u64>, now: Instant) -> Known {
    let outcome = Outcome::Hosts(vec!["fed.a.com".parse().unwrap()]);
    let failure = fedgate_policy::Failure {
        label: fedgate_policy::FailureLabel::DiscoveryFailure,
        message: String::new(),
    };
    let trouble = life.is_none().then_some(failure);
    let certainty = if life.is_some() { Certainty::Answered } else { Certainty::Transient };
    let life = Duration::from_secs(life.unwrap_or(2));
    Known { certainty, trouble, ..Known::answered(outcome, now, life) }
}

proptest! {
    #[test]
    fn lookups_go_on_however_time_leaps(steps in proptest::collection::vec(step(), 1..200)) {
        let mut now = Instant::now();
        let mut schedule = Schedule::default();
        let mut listed = [false; NAMES.len()];
        let mut under_way = [false; NAMES.len()];
        for step in &steps {
            match *step {
                Step::Pass(ms) => now += Duration::from_millis(ms),
                Step::Begin => {
                    while let Some(due) = schedule.take_due(now) {
                        let name = NAMES.iter().position(|name| *name == due.domain.as_str()).unwrap();
                        prop_assert!(listed[name], "what is not listed is not looked up");
                        prop_assert!(due.since.is_none_or(|since| since <= now));
                        under_way[name] = true;
                    }
                    prop_assert!(schedule.next_due().is_none_or(|due| due > now));
                }
                Step::End(name, life) if under_way[name] => {
                    under_way[name] = false;
                    schedule.finished(domain(name), &known(life, now), now, 0.5);
                }
                Step::End(..) => {}
                Step::List(name, true) => {
                    schedule.add(&domain(name), now);
                    under_way[name] &= listed[name];
                    listed[name] = true;
                }
                Step::List(name, false) => {
                    schedule.remove(&domain(name));
                    (listed[name], under_way[name]) = (false, false);
                }
                Step::Hasten => drop(schedule.hasten(now)),
            }
            for name in 0..NAMES.len() {
                let task = schedule.tasks.get(&domain(name));
                prop_assert_eq!(task.is_some(), listed[name]);
                let Some(task) = task else { continue };
                prop_assert_eq!(task.due.is_none(), under_way[name], "either it is under way, or it is due");
                prop_assert!(task.due.is_none_or(|due| due <= now + BOUND), "and that soon");
            }
        }
    }
}
