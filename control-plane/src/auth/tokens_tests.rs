use axum::http::header;
use fedgate_allow_list::testing::{in_memory, us};

use super::*;

const ROLES: [Role; 3] = Role::ALL;

fn configured(names: &[(&str, &str)]) -> Vec<Token> {
    let token = |(name, role): &(&str, &str)| {
        Token::new(name, role, &Digest::of(name.as_bytes()).to_string()).unwrap()
    };
    names.iter().map(token).collect()
}

/// A token of the store whose text is its name.
fn stored(name: &str, role: Role, expires_at: Option<SystemTime>) -> Stored {
    Stored {
        name: name.into(),
        role,
        sha256: Digest::of(name.as_bytes()).octets(),
        created_at: at(0),
        created_by: "alice".into(),
        expires_at,
        last_used_at: None,
        revision: 0,
    }
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000 + seconds)
}

fn shown(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Bearer {text}").parse().unwrap());
    headers
}

/// Whose call it is that shows this text, or why it is refused.
fn called(tokens: &Tokens, text: &str, now: SystemTime) -> Result<String, String> {
    let caller = tokens.authorize(&shown(text), &ROLES, now);
    caller.map(|caller| caller.0.to_string()).map_err(|refused| refused.to_string())
}

#[tokio::test]
async fn tokens_of_both_sources_are_found_by_their_text_only() {
    let list = in_memory();
    let tokens = Tokens::new(&configured(&[("alice", "admin"), ("bob", "viewer")]), &list).unwrap();
    list.make_token(stored("carol", Role::Filter, None), us()).await.unwrap();
    for name in ["alice", "bob", "carol"] {
        assert_eq!(called(&tokens, name, at(0)).unwrap(), name);
    }
    for other in ["Alice", "alicee", "2bd806c9", "carol carol"] {
        assert_eq!(called(&tokens, other, at(0)).unwrap_err(), "we do not know this token", "{other}");
    }
    assert!(Tokens::of(&[]).find(&Digest::of(b"")).is_none());
    let refused = tokens.authorize(&shown("carol"), &[Role::Viewer, Role::Admin], at(0)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the token 'carol' has the role filter, and this needs viewer or admin"
    );
}

#[tokio::test]
async fn what_is_in_the_store_at_start_counts_and_what_is_revoked_counts_no_more() {
    let list = in_memory();
    list.make_token(stored("carol", Role::Filter, None), us()).await.unwrap();
    let tokens = Tokens::new(&[], &list).unwrap();
    let copy = tokens.clone();
    assert!(called(&copy, "carol", at(0)).is_ok());
    list.revoke_token("carol".to_owned(), us()).await.unwrap();
    assert!(called(&copy, "carol", at(0)).is_err());
}

#[tokio::test]
async fn a_token_counts_until_its_second_and_never_again() {
    let list = in_memory();
    let tokens = Tokens::new(&[], &list).unwrap();
    list.make_token(stored("carol", Role::Filter, Some(at(10))), us()).await.unwrap();
    assert!(called(&tokens, "carol", at(9)).is_ok());
    let expired = "the token 'carol' has expired at 2030-01-01T00:00:10Z: have another one made";
    assert_eq!(called(&tokens, "carol", at(10)).unwrap_err(), expired);
    assert_eq!(tokens.end(at(9)), Some(at(10)));
    assert_eq!(tokens.end(at(10)), None);
    assert_eq!(called(&tokens, "carol", at(0)).unwrap_err(), expired, "the clock was set back");
}

#[tokio::test]
async fn whoever_was_let_in_hears_when_his_token_counts_no_more() {
    let list = in_memory();
    let both = configured(&[("alice", "admin"), ("bob", "filter")]);
    let tokens = Tokens::new(&both, &list).unwrap();
    let far = SystemTime::now() + Duration::from_secs(3600);
    list.make_token(stored("carol", Role::Filter, None), us()).await.unwrap();
    list.make_token(stored("dave", Role::Filter, Some(far)), us()).await.unwrap();
    let enter = |name| tokens.authorize(&shown(name), &ROLES, SystemTime::now()).unwrap();
    let callers = ["bob", "carol", "dave"].map(enter);
    let [mut bob, mut carol, mut dave] =
        callers.each_ref().map(|caller| Box::pin(tokens.revoked(caller)));
    macro_rules! ready {
        ($it:expr) => {
            futures_util::poll!(&mut $it).is_ready()
        };
    }
    assert!(!ready!(bob) && !ready!(carol) && !ready!(dave));
    tokens.replace(&configured(&[("bob", "filter")])).await.unwrap();
    assert!(!ready!(bob) && !ready!(carol) && !ready!(dave), "another's token is gone");
    tokens.replace(&configured(&[("bob", "viewer")])).await.unwrap();
    assert!(ready!(bob) && !ready!(carol) && !ready!(dave), "it has another role");
    list.revoke_token("carol".to_owned(), us()).await.unwrap();
    assert!(ready!(carol) && !ready!(dave));
    tokens.end(far);
    let refused = futures_util::poll!(&mut dave);
    assert!(matches!(refused, std::task::Poll::Ready(Refused::Expired { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_name_or_a_digest_is_in_one_source_only() {
    let list = in_memory();
    let tokens = Tokens::new(&configured(&[("alice", "admin")]), &list).unwrap();
    list.make_token(stored("carol", Role::Filter, None), us()).await.unwrap();
    let twin = Token::new("dave", "viewer", &Digest::of(b"carol").to_string()).unwrap();
    for (wrong, expected) in [
        (configured(&[("carol", "admin")]), "the name 'carol' is also that of a token in the store"),
        (vec![twin], "'dave' has the same sha256 as the token 'carol' in the store"),
    ] {
        let errors = tokens.replace(&wrong).await.unwrap_err();
        assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:?}");
        assert!(called(&tokens, "alice", at(0)).is_ok(), "nothing has changed");
        assert_eq!(Tokens::new(&wrong, &list).unwrap_err(), errors);
    }
}

#[tokio::test]
async fn a_use_is_known_at_once_and_survives_a_reload() {
    let list = in_memory();
    let both = configured(&[("alice", "admin"), ("bob", "viewer")]);
    let tokens = Tokens::new(&both, &list).unwrap();
    assert_eq!(tokens.named("alice").unwrap().last_used_at(), None);
    called(&tokens, "alice", at(3)).unwrap();
    tokens.authorize(&shown("bob"), &[Role::Admin], at(3)).unwrap_err();
    tokens.replace(&both[..]).await.unwrap();
    assert_eq!(tokens.named("alice").unwrap().last_used_at(), Some(at(3)));
    assert_eq!(tokens.named("bob").unwrap().last_used_at(), None, "that was refused");
    list.close().await.unwrap();
    assert!(tokens.write_uses(&list).await.is_ok(), "there is nothing to write");
}
