//! What a file of entries makes of the list: it owns what it brought, and what was as it says. No I/O, no clock.

use std::collections::BTreeMap;

use fedgate_policy::Domain;

use crate::audit::Author;
use crate::state::{Change, Entry, Owner, State};
use crate::terms::Terms;

/// By whom the entries are that a file owns: no token has this name.
pub const FILE: &str = "file";

/// What a file says: all its entries.
pub type Wanted = BTreeMap<Domain, Terms>;

impl State {
    /// The changes that bring the list in step with a file: its entries are put, and what it owns and does not name any
    /// more is removed. An entry of somebody else becomes the file's where both say the same, and stays as it is where
    /// not: see [`State::conflicts`].
    pub(crate) fn keep_file(&self, wanted: &Wanted, author: &Author) -> Vec<Change> {
        let mut revision = self.revision;
        let owned = self.domains.iter().filter(|(_, entry)| entry.owner() == Owner::File);
        let gone = owned.filter(|(domain, _)| !wanted.contains_key(*domain));
        let mut changes: Vec<_> =
            gone.map(|(domain, _)| Change::Remove(domain.clone(), next(&mut revision))).collect();
        for (domain, terms) in wanted {
            let present = self.domains.get(domain);
            let is_so = |entry: &Entry| entry.owner() == Owner::File && *entry.terms == *terms;
            if !present.is_some_and(|entry| is_so(entry) || is_in_the_way(entry, terms)) {
                let entry = Entry::written(present, terms.clone(), next(&mut revision), author);
                changes.push(Change::Put(domain.clone(), entry));
            }
        }
        changes
    }

    /// The changes that put what was in conflict with a file, and is no more. What the file owns stays, whatever it says:
    /// another control plane may have a newer one.
    pub(crate) fn take_up(&self, wanted: &Wanted, were: &[Domain], author: &Author) -> Vec<Change> {
        let mut revision = self.revision;
        let mut put = |domain: &Domain| {
            let (terms, present) = (wanted.get(domain)?, self.domains.get(domain));
            let stays = |entry: &Entry| entry.owner() == Owner::File || is_in_the_way(entry, terms);
            if present.is_some_and(stays) {
                return None;
            }
            let entry = Entry::written(present, terms.clone(), next(&mut revision), author);
            Some(Change::Put(domain.clone(), entry))
        };
        were.iter().filter_map(&mut put).collect()
    }

    /// The domains of a file that have an entry of somebody else, who says something else of them.
    pub fn conflicts(&self, wanted: &Wanted) -> Vec<Domain> {
        let differs = |domain: &Domain, terms: &Terms| {
            self.domains.get(domain).is_some_and(|entry| is_in_the_way(entry, terms))
        };
        let conflicts = wanted.iter().filter(|(domain, terms)| differs(domain, terms));
        conflicts.map(|(domain, _)| domain.clone()).collect()
    }
}

/// Whether somebody else says otherwise. What has come to its end says nothing.
fn is_in_the_way(entry: &Entry, terms: &Terms) -> bool {
    entry.owner() != Owner::File && !entry.lapsed && *entry.terms != *terms
}

fn next(revision: &mut i64) -> i64 {
    *revision = revision.saturating_add(1);
    *revision
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_memory, put, us};
    use crate::{AllowList, Condition, Effect, WriteError, terms};

    fn wanted(entries: &[(&str, &str)]) -> Wanted {
        let read = |(domain, terms): &(&str, &str)| {
            (domain.parse().unwrap(), serde_json::from_str(terms).unwrap())
        };
        entries.iter().map(read).collect()
    }

    /// A list whose file says this, beside what operators say.
    async fn kept(by_operators: &[(&str, &str)], by_file: &[(&str, &str)]) -> AllowList {
        let list = in_memory();
        list.guard_file();
        for (domain, terms) in by_operators {
            put(&list, domain, terms).await;
        }
        list.keep_file(wanted(by_file).into(), us().at).await.unwrap();
        list
    }

    fn told(list: &AllowList) -> Vec<(String, Owner, String)> {
        let of = |(domain, entry): (&Domain, &Entry)| {
            (domain.to_string(), entry.owner(), entry.terms.note.clone())
        };
        list.look(|state| state.domains.iter().map(of).collect())
    }

    fn is(domain: &str, owner: Owner, note: &str) -> (String, Owner, String) {
        (domain.to_owned(), owner, note.to_owned())
    }

    #[tokio::test]
    async fn a_file_brings_changes_and_takes_away_its_own_and_leaves_the_rest_alone() {
        let list =
            kept(&[("alice.com", r#"{"note":"hers"}"#)], &[("a.com", "{}"), ("b.com", "{}")]).await;
        let (theirs, files) = (Owner::Operators, Owner::File);
        assert_eq!(
            told(&list),
            [is("a.com", files, ""), is("alice.com", theirs, "hers"), is("b.com", files, "")]
        );
        let revision = list.revision();
        let (outcome, _) =
            list.keep_file(wanted(&[("a.com", "{}"), ("b.com", "{}")]).into(), us().at).await.unwrap();
        assert_eq!((outcome.unchanged, list.revision()), (2, revision), "nothing is written anew");
        list.keep_file(wanted(&[("b.com", r#"{"note":"n"}"#)]).into(), us().at).await.unwrap();
        assert_eq!(told(&list), [is("alice.com", theirs, "hers"), is("b.com", files, "n")]);
        list.keep_file(wanted(&[]).into(), us().at).await.unwrap();
        assert_eq!(told(&list), [is("alice.com", theirs, "hers")]);
    }

    #[tokio::test]
    async fn what_somebody_else_says_otherwise_stays_and_what_he_says_too_becomes_the_files() {
        let list = kept(
            &[("blocked.com", r#"{"action":"block"}"#), ("same.com", r#"{"note":"n"}"#)],
            &[("blocked.com", "{}"), ("same.com", r#"{"note":"n"}"#)],
        )
        .await;
        assert_eq!(
            told(&list),
            [is("blocked.com", Owner::Operators, ""), is("same.com", Owner::File, "n")]
        );
        let said = wanted(&[("blocked.com", "{}"), ("same.com", r#"{"note":"n"}"#)]);
        assert_eq!(list.look(|state| state.conflicts(&said)), ["blocked.com".parse().unwrap()]);
        assert!(!list.allows(&"blocked.com".parse().unwrap()));
        let created = list.entry(&"same.com".parse().unwrap()).unwrap().created.by;
        assert_ne!(&*created, FILE, "who listed it is still told");
        list.remove("blocked.com".parse().unwrap(), Condition::None, us()).await.unwrap();
        list.keep_file(said.clone().into(), us().at).await.unwrap();
        assert!(list.look(|state| state.conflicts(&said)).is_empty());
        assert!(list.allows(&"blocked.com".parse().unwrap()));
    }

    #[tokio::test]
    async fn what_a_file_owns_nobody_else_changes_while_it_is_kept() {
        let list = kept(&[("alice.com", "{}")], &[("a.com", "{}")]).await;
        let a: Domain = "a.com".parse().unwrap();
        let block = || serde_json::from_str::<terms::Change>(r#"{"action":"block"}"#).unwrap();
        let is_refused = |result: Result<(), WriteError>| {
            assert!(matches!(result, Err(WriteError::OfFile(domain)) if domain == a));
        };
        is_refused(list.put(a.clone(), block(), Condition::None, us()).await.map(|_| ()));
        is_refused(list.remove(a.clone(), Condition::None, us()).await);
        let many = vec![(a.clone(), block())];
        is_refused(list.put_all(many, false, Condition::None, us()).await.map(|_| ()));
        // What says nothing new is no change; and whoever takes away all that is not named, does not mean the file's.
        let (_, effect) =
            list.put(a.clone(), terms::Change::default(), Condition::None, us()).await.unwrap();
        assert_eq!(effect, Effect::Same);
        list.put_all(vec![], true, Condition::None, us()).await.unwrap();
        assert_eq!(told(&list), [is("a.com", Owner::File, "")]);

        let left = in_memory();
        left.keep_file(wanted(&[("a.com", "{}")]).into(), us().at).await.unwrap();
        left.put(a.clone(), block(), Condition::None, us()).await.unwrap();
        assert_eq!(left.entry(&a).unwrap().owner(), Owner::Operators, "no file is kept there");
    }

    #[tokio::test]
    async fn an_end_that_has_come_stays_so_whatever_the_file_says_beside_it() {
        let list = kept(&[], &[("a.com", r#"{"expires_at":"2001-01-01T00:00:00Z"}"#)]).await;
        let a: Domain = "a.com".parse().unwrap();
        assert!(!list.lists(&a));
        let later = r#"{"expires_at":"2001-01-01T00:00:00Z","note":"n"}"#;
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        list.keep_file(wanted(&[("a.com", later)]).into(), long_ago).await.unwrap();
        assert!(!list.lists(&a) && list.entry(&a).unwrap().terms.note == "n");
        list.keep_file(wanted(&[("a.com", "{}")]).into(), us().at).await.unwrap();
        assert!(list.lists(&a));
    }
}
