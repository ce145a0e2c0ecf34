use fedgate_allow_list::testing::{listing, us};
use fedgate_allow_list::{Condition, terms};
use fedgate_policy::{Outcome, Strategy};
use tokio::task::JoinSet;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn domain(name: &str) -> Domain {
    name.parse().unwrap()
}

fn known(host: &str) -> Arc<Known> {
    let outcome = Outcome::Hosts(vec![host.parse().unwrap()]);
    Arc::new(Known::answered(outcome, Instant::now(), MINUTE))
}

/// Starts as many watchers as that, all of whom wait.
async fn watchers(feed: &Arc<Feed>, count: usize) -> JoinSet<FeedPage> {
    let cursor = feed.page("", Duration::ZERO).await.cursor;
    let mut watchers = JoinSet::new();
    for _ in 0..count {
        let (feed, cursor) = (feed.clone(), cursor.clone());
        watchers.spawn(async move { feed.page(&cursor, MINUTE).await });
    }
    while feed.published.receiver_count() < count {
        tokio::task::yield_now().await;
    }
    watchers
}

#[tokio::test]
async fn an_edit_is_published_before_the_write_returns() {
    let list = listing(&["a.com"]).await;
    let feed = Feed::of(&list, 1, "", "store");
    let cursor = feed.page("", MINUTE).await.cursor;
    list.remove(domain("a.com"), Condition::None, us()).await.unwrap();
    let removed = feed.page(&cursor, Duration::ZERO).await;
    assert_eq!(removed.removed, [domain("a.com")]);
    list.put(domain("b.com"), terms::Change::default(), Condition::None, us()).await.unwrap();
    let added = feed.page(&removed.cursor, Duration::ZERO).await;
    assert_eq!(added.verdicts[0].domain, domain("b.com"));
    list.set_strategy(Strategy::AllowNone, Condition::None, us()).await.unwrap();
    assert_eq!(feed.page(&added.cursor, Duration::ZERO).await.strategy, Strategy::AllowNone);
    let note = serde_json::from_str(r#"{"note":"a note is no news"}"#).unwrap();
    let sequence = || feed.log.read().unwrap().sequence();
    let before = sequence();
    list.put(domain("b.com"), note, Condition::None, us()).await.unwrap();
    assert_eq!(sequence(), before);
}

#[tokio::test]
async fn ten_thousand_who_wait_all_hear_of_a_removal() {
    let list = listing(&["a.com", "b.com"]).await;
    let feed = Feed::of(&list, 1, "", "store");
    let mut watchers = watchers(&feed, 10_000).await;
    list.remove(domain("a.com"), Condition::None, us()).await.unwrap();
    let all = async {
        while let Some(page) = watchers.join_next().await {
            assert_eq!(page.unwrap().removed, [domain("a.com")]);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
}

#[tokio::test]
async fn the_end_answers_all_who_wait_and_keeps_nobody_waiting() {
    let feed = Feed::of(&listing(&["a.com"]).await, 1, "", "store");
    let mut watchers = watchers(&feed, 100).await;
    feed.end();
    let all = async {
        while let Some(page) = watchers.join_next().await {
            let page = page.unwrap();
            assert!(!page.reset && page.verdicts.is_empty() && page.removed.is_empty());
            assert_eq!(feed.page(&page.cursor, MINUTE).await.cursor, page.cursor);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn extensions_are_gathered_and_changes_are_not() {
    let list = listing(&["a.com", "b.com", "c.com"]).await;
    let feed = Feed::of(&list, 1, "", "store");
    let start = tokio::time::Instant::now();
    let mut watchers = watchers(&feed, 10).await;
    for name in ["a.com", "b.com"] {
        feed.learn(&domain(name), &known("fed.a.com"));
    }
    let mut cursor = String::new();
    while let Some(page) = watchers.join_next().await {
        let page = page.unwrap();
        assert_eq!(page.verdicts.len(), 2, "in one page");
        cursor = page.cursor;
    }
    assert!((200..210).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());

    let start = tokio::time::Instant::now();
    feed.learn(&domain("c.com"), &known("fed.c.com"));
    feed.learn(&domain("a.com"), &known("new.a.com"));
    let page = feed.page(&cursor, MINUTE).await;
    assert_eq!(page.verdicts.len(), 2, "the urgent one takes the other along");
    assert_eq!(start.elapsed(), Duration::ZERO);
    let nothing = feed.page(&page.cursor, MINUTE).await;
    assert_eq!((nothing.cursor, start.elapsed().as_secs()), (page.cursor, 60));
}
