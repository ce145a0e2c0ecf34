//! Makes and revokes the tokens of the store.

use std::sync::Arc;

use fedgate_allow_list::{AllowList, Author, Moment, Role, Token as Stored, WriteError};

use super::token::{self, Digest, TokenError};
use super::{Accepted, Source, Tokens};

/// How many tokens the store has at most: each call is compared with all of them.
const MOST: usize = 10_000;

/// The one way to make and to revoke.
#[derive(Clone)]
pub(crate) struct Issuer {
    tokens: Tokens,
    list: AllowList,
}

/// A token that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Whose it is to be.
    pub(crate) name: String,
    /// What they may do.
    pub(crate) role: Role,
    /// From then on it is refused.
    pub(crate) expires_at: Option<Moment>,
}

/// Why a token was not made, or not revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    /// The name would not be clear in a log.
    #[error(transparent)]
    Name(#[from] TokenError),
    /// It would be refused from the beginning.
    #[error("expires_at: {0} is over: name a moment that is to come, or none")]
    Over(Moment),
    /// The configuration has a token of this name.
    #[error("the configuration has a token named '{0}': choose another name")]
    Configured(Arc<str>),
    /// It is the configuration that has this token.
    #[error(
        "the token '{0}' is in the configuration of `fedgate serve`, not in the store: take it out there, then `fedgate reload`"
    )]
    NotOurs(Arc<str>),
    /// Nobody could make another one.
    #[error(
        "the token '{0}' is the last one of role admin: make another one first, or revoke it all the same with `force=true` (`--force`); then `fedgate serve` makes a new one at its next start"
    )]
    LastAdmin(Arc<str>),
    /// There are as many as there may be.
    #[error("the store has {MOST} tokens, which is the most: revoke those that nobody uses")]
    TooMany,
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// The list did not take it.
    #[error(transparent)]
    Write(#[from] WriteError),
}

// === impl Issuer ===

impl Issuer {
    /// Makes tokens in the store of `list`, which are accepted by way of `tokens`.
    pub(crate) fn new(tokens: Tokens, list: AllowList) -> Self {
        Self { tokens, list }
    }

    /// All tokens that are accepted.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Makes a token; its text, which nobody can have again, and the token as it is accepted.
    pub(crate) async fn make(
        &self,
        wanted: Wanted,
        author: Author,
    ) -> Result<(String, Arc<Accepted>), IssueError> {
        let text = token::random()?;
        let made = self.take_in(wanted, Digest::of(text.as_bytes()), author).await?;
        Ok((text, made))
    }

    /// Accepts the token of this digest from now on.
    pub(super) async fn take_in(
        &self,
        wanted: Wanted,
        digest: Digest,
        author: Author,
    ) -> Result<Arc<Accepted>, IssueError> {
        let Wanted { name, role, expires_at } = wanted;
        let name = token::name(&name)?;
        if let Some(end) = expires_at.filter(|end| end.0 <= author.at) {
            return Err(IssueError::Over(end));
        }
        let _turn = self.tokens.turn().await;
        if self.tokens.named(&name).is_some_and(|it| it.source == Source::Configuration) {
            return Err(IssueError::Configured(name));
        }
        if self.list.look(|state| state.tokens.len()) >= MOST {
            return Err(IssueError::TooMany);
        }
        if let Some(same) = self.tokens.find(&digest) {
            return Err(WriteError::SameToken(same.token.name.clone()).into());
        }
        let stored = Stored {
            name: name.clone(),
            role,
            sha256: digest.octets(),
            created_at: Moment::of(author.at).0,
            created_by: author.by.clone(),
            expires_at: expires_at.map(|end| end.0),
            last_used_at: None,
            revision: 0,
        };
        self.list.make_token(stored, author).await?;
        self.tokens.named(&name).ok_or_else(|| WriteError::NoToken(name).into())
    }

    /// Revokes a token; the last of role admin only by `force`.
    pub(crate) async fn revoke(
        &self,
        name: &str,
        force: bool,
        author: Author,
    ) -> Result<(), IssueError> {
        let _turn = self.tokens.turn().await;
        let Some(accepted) = self.tokens.named(name) else {
            return Err(WriteError::NoToken(name.into()).into());
        };
        if accepted.source == Source::Configuration {
            return Err(IssueError::NotOurs(accepted.token.name.clone()));
        }
        let is_other_admin = |it: &Arc<Accepted>| !Arc::ptr_eq(it, &accepted) && it.is_admin(author.at);
        let is_last = accepted.is_admin(author.at) && !self.tokens.all().iter().any(is_other_admin);
        if is_last && !force {
            return Err(IssueError::LastAdmin(accepted.token.name.clone()));
        }
        Ok(self.list.revoke_token(name.to_owned(), author).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fedgate_allow_list::testing::{Nowhere, in_memory, us};

    use super::*;
    use crate::auth::Token;

    fn issuer(configured: &[(&str, &str)]) -> Issuer {
        let token = |(name, role): &(&str, &str)| {
            Token::new(name, role, &Digest::of(name.as_bytes()).to_string()).unwrap()
        };
        let list = in_memory();
        let tokens = Tokens::new(&configured.iter().map(token).collect::<Vec<_>>(), &list).unwrap();
        Issuer::new(tokens, list)
    }

    fn wanted(name: &str, role: Role) -> Wanted {
        Wanted { name: name.to_owned(), role, expires_at: None }
    }

    #[tokio::test]
    async fn a_token_that_is_made_is_accepted_until_it_is_revoked() {
        let issuer = issuer(&[("alice", "admin")]);
        let (text, made) = issuer.make(wanted("bob", Role::Viewer), us()).await.unwrap();
        let digest = Digest::of(text.as_bytes());
        assert!(Arc::ptr_eq(&issuer.tokens().find(&digest).unwrap(), &made));
        issuer.revoke("bob", false, us()).await.unwrap();
        assert!(issuer.tokens().find(&digest).is_none());
    }

    #[tokio::test]
    async fn what_cannot_be_made_is_refused_with_the_reason() {
        let issuer = issuer(&[("alice", "admin")]);
        issuer.make(wanted("bob", Role::Viewer), us()).await.unwrap();
        let over = Some(Moment::of(us().at - Duration::from_secs(1)));
        for (wanted, expected) in [
            (wanted("a b", Role::Admin), "a token's name has 1 to 64 letters"),
            (wanted(&"a".repeat(65), Role::Admin), "a token's name has 1 to 64 letters"),
            (wanted("alice", Role::Viewer), "the configuration has a token named 'alice'"),
            (wanted("bob", Role::Viewer), "there is a token named 'bob': revoke it first"),
            (Wanted { expires_at: over, ..wanted("carol", Role::Viewer) }, "is over: name a moment"),
        ] {
            let error = issuer.make(wanted.clone(), us()).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{wanted:?}: {error}");
        }
        let twin = issuer.take_in(wanted("carol", Role::Viewer), Digest::of(b"alice"), us()).await;
        assert!(twin.unwrap_err().to_string().contains("'alice' has the same digest"));
        assert_eq!(issuer.tokens().all().len(), 2);
    }

    #[tokio::test]
    async fn the_last_administrator_goes_by_force_alone() {
        let filter_only = issuer(&[("envoy", "filter")]);
        let soon = Some(Moment::of(us().at + Duration::from_secs(3600)));
        filter_only.make(wanted("one", Role::Admin), us()).await.unwrap();
        let two = Wanted { expires_at: soon, ..wanted("two", Role::Admin) };
        filter_only.make(two, us()).await.unwrap();
        filter_only.make(wanted("viewer", Role::Viewer), us()).await.unwrap();
        let later = Author { at: us().at + Duration::from_secs(3601), ..us() };
        let refused = filter_only.revoke("one", false, later).await.unwrap_err().to_string();
        assert!(refused.contains("'one' is the last one of role admin"), "two is over: {refused}");
        filter_only.revoke("two", false, us()).await.unwrap();
        assert!(matches!(
            filter_only.revoke("one", false, us()).await,
            Err(IssueError::LastAdmin(name)) if &*name == "one"
        ));
        filter_only.revoke("viewer", false, us()).await.unwrap();
        assert!(filter_only.tokens().has_admin(us().at));
        filter_only.revoke("one", true, us()).await.unwrap();
        assert!(!filter_only.tokens().has_admin(us().at));

        let configured = issuer(&[("alice", "admin")]);
        configured.make(wanted("one", Role::Admin), us()).await.unwrap();
        configured.revoke("one", false, us()).await.unwrap();
        for (name, expected) in [("alice", "is in the configuration"), ("one", "no token named 'one'")] {
            let error = configured.revoke(name, true, us()).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }

    #[tokio::test]
    async fn what_the_store_does_not_take_is_not_accepted() {
        let list = AllowList::open(Box::new(Nowhere { full: true }), us().at).unwrap();
        let issuer = Issuer::new(Tokens::new(&[], &list).unwrap(), list);
        assert!(issuer.make(wanted("bob", Role::Admin), us()).await.is_err());
        assert!(issuer.tokens().all().is_empty());
    }
}
