//! What brig's list makes of ours, where brig is the master. No I/O, no clock.
//!
//! Brig's API knows no removal: whoever removes a domain there writes `no_search` and no team. That is a word
//! that is believed at once. A row that is *not there* has been taken away by hand, or is not there because
//! something is wrong with brig, its database, or what answers in its place. So it counts only if the next
//! answer says so too; and never if the answer lacks all, or more than half, of what came from brig: then
//! nothing is taken away, until rows are back, are closed, or a person takes them off our list.

use std::collections::BTreeSet;

use fedgate_allow_list::terms::Action;
use fedgate_allow_list::{Entry, Owner, State};
use fedgate_policy::Domain;

use super::seen::Seen;
use crate::contract::Policy;

/// By whom the entries are that come from brig.
pub(crate) const BY: &str = "brig";

/// What is to be done to our list.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// Entries to put.
    pub(super) put: Vec<(Domain, Policy)>,
    /// Entries to remove, with their revisions.
    pub(super) remove: Vec<(Domain, i64)>,
    /// Entries whose rows are not there this time; the next answer decides.
    pub(super) absent: BTreeSet<Domain>,
    /// How many of so many entries have no row, where these are too many to be believed.
    pub(super) doubt: Option<(usize, usize)>,
}

/// What to do after an answer of brig's; `absent` are the entries whose rows were not in the one before.
pub(super) fn steps(state: &State, seen: &Seen, absent: &BTreeSet<Domain>) -> Steps {
    let mut steps = Steps::default();
    for (domain, policy) in &seen.rows {
        match state.domains.get(domain) {
            _ if policy.is_closed() => {}
            None => steps.put.push((domain.clone(), policy.clone())),
            Some(entry) if is_brigs(entry) && Policy::of(&entry.terms) != *policy => {
                steps.put.push((domain.clone(), policy.clone()));
            }
            Some(_) => {}
        }
    }
    // What a person has blocked since stays blocked, whatever becomes of the row.
    let from_brig =
        state.domains.iter().filter(|(_, entry)| is_brigs(entry) && entry.terms.action == Action::Allow);
    let (mut count, mut gone) = (0_usize, Vec::new());
    for (domain, entry) in from_brig {
        count = count.saturating_add(1);
        match seen.rows.get(domain) {
            Some(policy) if policy.is_closed() => steps.remove.push((domain.clone(), entry.revision)),
            None if !seen.unreadable.contains(domain) => gone.push((domain.clone(), entry.revision)),
            Some(_) | None => {}
        }
    }
    if !gone.is_empty() && (seen.count() == 0 || gone.len() > 1.max(count / 2)) {
        steps.doubt = Some((gone.len(), count));
    } else {
        steps.remove.extend(gone.iter().filter(|(domain, _)| absent.contains(domain)).cloned());
        steps.absent = gone.into_iter().map(|(domain, _)| domain).collect();
    }
    steps
}

/// Whether an entry came from brig, and is not a file's by now.
fn is_brigs(entry: &Entry) -> bool {
    &*entry.created.by == BY && entry.owner() == Owner::Operators
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use fedgate_allow_list::{AllowList, Author, Condition, testing};

    use super::*;

    async fn by_brig(list: &AllowList, names: &[&str]) {
        let brig = Author { by: BY.into(), ..Author::system(SystemTime::now()) };
        for name in names {
            let change = Policy::default().change();
            list.put(name.parse().unwrap(), change, Condition::None, brig.clone()).await.unwrap();
        }
    }

    fn seen(open: &[&str], closed: &[&str]) -> Seen {
        let mut seen = Seen::default();
        for (names, policy) in [(open, Policy::default()), (closed, Policy::closed())] {
            seen.rows.extend(names.iter().map(|name| (name.parse().unwrap(), policy.clone())));
        }
        seen
    }

    /// Put, removed and absent domains, and the doubt.
    type Told<'a> = (Vec<&'a str>, Vec<&'a str>, Vec<&'a str>, Option<(usize, usize)>);

    fn told(steps: &Steps) -> Told<'_> {
        (
            steps.put.iter().map(|(domain, _)| domain.as_str()).collect(),
            steps.remove.iter().map(|(domain, _)| domain.as_str()).collect(),
            steps.absent.iter().map(Domain::as_str).collect(),
            steps.doubt,
        )
    }

    #[tokio::test]
    async fn a_closed_row_counts_at_once_an_absent_one_the_second_time_and_many_absent_ones_never() {
        let list = testing::listing(&["alice.com"]).await;
        by_brig(&list, &["a.com", "b.com", "c.com", "d.com"]).await;
        let all = ["a.com", "b.com", "c.com", "d.com"];
        for (open, closed, absent, expected) in [
            (&all[..], &[][..], &[][..], (vec![], vec![], vec![], None)),
            // New rows come at once.
            (
                &["a.com", "b.com", "c.com", "d.com", "e.com"],
                &[],
                &[],
                (vec!["e.com"], vec![], vec![], None),
            ),
            (&["b.com", "c.com", "d.com"], &["a.com"], &[], (vec![], vec!["a.com"], vec![], None)),
            (&[], &all, &[], (vec![], all.to_vec(), vec![], None)),
            (&["b.com", "c.com", "d.com"], &[], &[], (vec![], vec![], vec!["a.com"], None)),
            (
                &["b.com", "c.com", "d.com"],
                &[],
                &["a.com"],
                (vec![], vec!["a.com"], vec!["a.com"], None),
            ),
            // Half of them may go, and no more.
            (
                &["c.com", "d.com"],
                &[],
                &["a.com", "b.com"],
                (vec![], vec!["a.com", "b.com"], vec!["a.com", "b.com"], None),
            ),
            (&["d.com"], &[], &["a.com", "b.com", "c.com"], (vec![], vec![], vec![], Some((3, 4)))),
            (&[], &[], &all, (vec![], vec![], vec![], Some((4, 4)))),
            // What is closed is told, however much is not there.
            (&[], &["a.com"], &all, (vec![], vec!["a.com"], vec![], Some((3, 4)))),
        ] {
            let absent = absent.iter().map(|name| name.parse().unwrap()).collect();
            let steps = list.look(|state| steps(state, &seen(open, closed), &absent));
            assert_eq!(told(&steps), expected, "{open:?} {closed:?}");
        }
    }

    #[tokio::test]
    async fn the_only_domain_may_go_unless_the_answer_is_empty() {
        let list = testing::in_memory();
        by_brig(&list, &["a.com"]).await;
        let absent = ["a.com".parse().unwrap()].into();
        let steps_after = |seen: Seen| list.look(|state| steps(state, &seen, &absent));
        assert_eq!(told(&steps_after(seen(&[], &[]))).3, Some((1, 1)));
        assert_eq!(told(&steps_after(seen(&[], &["z.com"]))).1, ["a.com"]);
    }

    #[tokio::test]
    async fn what_others_wrote_or_blocked_is_left_alone() {
        let list = testing::in_memory();
        by_brig(&list, &["blocked.com"]).await;
        testing::put(&list, "blocked.com", r#"{"action":"block"}"#).await;
        testing::put(&list, "alice.com", r#"{"search_policy":"full_search"}"#).await;
        for seen in [
            seen(&["alice.com", "blocked.com"], &[]),
            seen(&[], &["alice.com", "blocked.com"]),
            seen(&[], &["z.com"]),
        ] {
            let all = ["alice.com", "blocked.com"].map(|name| name.parse().unwrap());
            let steps = list.look(|state| steps(state, &seen, &all.into()));
            assert_eq!(steps, Steps::default());
        }
    }

    #[tokio::test]
    async fn what_the_lists_file_has_taken_over_is_left_alone() {
        let list = testing::in_memory();
        by_brig(&list, &["a.com"]).await;
        let terms = list.terms(&"a.com".parse().unwrap()).unwrap();
        let wanted =
            std::collections::BTreeMap::from([("a.com".parse().unwrap(), (*terms).clone())]).into();
        list.keep_file(wanted, SystemTime::now()).await.unwrap();
        let mut full = seen(&[], &["z.com"]);
        full.rows.insert("a.com".parse().unwrap(), Policy::closed());
        assert_eq!(list.look(|state| steps(state, &full, &BTreeSet::new())), Steps::default());
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_changes_nothing() {
        let list = testing::in_memory();
        by_brig(&list, &["a.com"]).await;
        let unreadable: BTreeSet<Domain> = ["a.com", "b.com"].map(|name| name.parse().unwrap()).into();
        let seen = Seen { unreadable: unreadable.clone(), ..Seen::default() };
        assert_eq!(list.look(|state| steps(state, &seen, &unreadable)), Steps::default());
    }
}
