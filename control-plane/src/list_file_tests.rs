use fedgate_allow_list::testing::{in_memory, put, us};
use fedgate_allow_list::{Condition, Owner};

use super::*;

struct Site {
    list: AllowList,
    file: ListFile,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let list = in_memory();
        let file = ListFile::new(dir.path().join(name), list.clone());
        Self { list, file, _dir: dir }
    }

    /// A file that is written, and looked at as one that is whole.
    async fn says(&self, text: &str) {
        self.holds(text);
        self.file.look(true).await;
    }

    fn holds(&self, text: &str) {
        std::fs::write(self.file.0.path.clone(), text).unwrap();
    }

    fn listed(&self) -> Vec<String> {
        self.list.look(|state| state.domains.keys().map(ToString::to_string).collect())
    }

    fn cause(&self) -> String {
        self.file.report().failing.map(|(_, cause)| cause).unwrap_or_default()
    }
}

const TWO: &str = "[[domains]]\ndomain = \"a.com\"\n[[domains]]\ndomain = \"b.com\"\nnote = \"n\"\n";

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_its_trouble_ends_with_the_next_that_can() {
    let site = Site::new("list.toml");
    site.file.look(true).await;
    assert!(site.cause().contains("cannot be read"), "{}", site.cause());
    site.says(TWO).await;
    assert_eq!(
        (site.listed(), site.cause()),
        (vec!["a.com".to_owned(), "b.com".to_owned()], String::new())
    );
    let revision = site.list.revision();
    for (text, expected) in [
        ("", "names no domain"),
        ("# all gone\n", "names no domain"),
        ("[[domains]]\ndomain = \"a.com", "line 2"),
        ("[[domains]]\ndomain = \"a_b.com\"\n", "line 1: 'a_b.com' is not a backend domain"),
        (
            "[[domains]]\ndomain = \"a.com\"\n[[domains]]\ndomain = \"A.com\"\n",
            "stands in line 1 already",
        ),
        ("strategy = \"allowAll\"\ndomains = []\n", "sets a strategy"),
        ("[[domains]]\ndomain = \"a.com\"\nactoin = \"block\"\n", "actoin"),
    ] {
        site.says(text).await;
        assert!(site.cause().contains(expected), "{text:?}: {}", site.cause());
        assert_eq!(site.list.revision(), revision, "{text:?}");
    }
    site.says("domains = []\n").await;
    assert_eq!((site.listed(), site.cause()), (vec![], String::new()));
    std::fs::remove_file(&site.file.0.path).unwrap();
    site.file.look(false).await;
    assert!(site.cause().contains("cannot be read"), "{}", site.cause());
}

#[tokio::test]
async fn a_change_counts_once_two_looks_have_seen_it() {
    let site = Site::new("list.jsonl");
    site.says("{\"domain\":\"a.com\"}\n{\"domain\":\"b.com\"}\n").await;
    // Half of what is to come.
    site.holds("{\"domain\":\"a.com\"}\n");
    site.file.look(false).await;
    site.holds("{\"domain\":\"a.com\"}\n{\"domain\":\"b.com\"}\n{\"domain\":\"c.com\"}\n");
    site.file.look(false).await;
    assert_eq!(site.listed(), ["a.com", "b.com"]);
    site.file.look(false).await;
    assert_eq!(site.listed(), ["a.com", "b.com", "c.com"]);
}

#[tokio::test]
async fn what_somebody_else_says_otherwise_is_told_and_the_file_has_it_once_the_way_is_clear() {
    let site = Site::new("list.toml");
    put(&site.list, "a.com", r#"{"action":"block"}"#).await;
    site.says(TWO).await;
    let a: Domain = "a.com".parse().unwrap();
    let report = site.file.report();
    assert_eq!(
        (report.entries, report.conflicts, report.failing),
        (2, vec![(a.clone(), us().by)], None)
    );
    assert!(!site.list.allows(&a));
    site.list.remove(a.clone(), Condition::None, us()).await.unwrap();
    site.file.look(false).await;
    assert!(site.list.allows(&a) && site.file.report().conflicts.is_empty());
    assert_eq!(site.list.entry(&a).unwrap().owner(), Owner::File);
}

#[tokio::test]
async fn what_another_control_plane_has_made_of_a_newer_file_is_not_undone() {
    let site = Site::new("list.toml");
    site.says(TWO).await;
    let newer = portable::read("[[domains]]\ndomain = \"c.com\"\n", Format::Toml).unwrap().domains;
    site.list.keep_file(newer.into(), SystemTime::now()).await.unwrap();
    site.file.look(false).await;
    site.file.look(true).await;
    assert_eq!(site.listed(), ["c.com"], "our own file has not changed yet");
}

#[tokio::test]
async fn a_conflict_that_comes_or_goes_undoes_nothing_of_a_newer_file() {
    let site = Site::new("list.toml");
    let a: Domain = "a.com".parse().unwrap();
    put(&site.list, "a.com", r#"{"action":"block"}"#).await;
    site.says(TWO).await;
    // Elsewhere the file says the same as the operator by now, and names b.com no more.
    let newer = "[[domains]]\ndomain = \"a.com\"\naction = \"block\"\n";
    let newer = portable::read(newer, Format::Toml).unwrap().domains;
    site.list.keep_file(newer.into(), SystemTime::now()).await.unwrap();
    site.file.look(false).await;
    assert_eq!(site.listed(), ["a.com"]);
    assert!(!site.list.allows(&a), "it stays blocked");
    put(&site.list, "b.com", r#"{"action":"block"}"#).await;
    site.file.look(false).await;
    assert_eq!(site.file.report().conflicts.len(), 1);
    assert!(!site.list.allows(&a));
}

#[tokio::test]
async fn an_entry_that_has_ended_is_not_in_the_files_way() {
    let site = Site::new("list.toml");
    put(&site.list, "a.com", r#"{"expires_at":"2001-01-01T00:00:00Z"}"#).await;
    site.says(TWO).await;
    assert!(site.file.report().conflicts.is_empty());
    assert!(site.list.allows(&"a.com".parse().unwrap()));
}

#[tokio::test]
async fn what_came_of_a_write_that_failed_is_not_believed() {
    let site = Site::new("list.toml");
    site.says(TWO).await;
    let hash = site.file.known().kept.as_mut().unwrap().hash.take();
    site.list.keep_file(Wanted::default().into(), SystemTime::now()).await.unwrap();
    // The same text as before: it is brought in step with once more.
    site.file.look(false).await;
    assert_eq!(site.listed(), ["a.com", "b.com"]);
    assert_eq!(site.file.known().kept.as_ref().unwrap().hash, hash);
}

#[tokio::test]
async fn a_list_that_went_back_is_brought_in_step_once_more() {
    let site = Site::new("list.toml");
    site.says(TWO).await;
    site.file.known().revision = i64::MAX;
    site.list.keep_file(Wanted::default().into(), SystemTime::now()).await.unwrap();
    site.file.look(false).await;
    assert_eq!(site.listed(), ["a.com", "b.com"]);
}
