//! All tokens that we accept: those of the configuration, and those of the store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use fedgate_allow_list::{AllowList, Change, Role, StoreError, Token as Stored};
use fedgate_store::sqlite::{millis, time};
use subtle::ConditionallySelectable;
use tokio::sync::{Mutex, MutexGuard, watch};

use super::token::{Digest, Token};
use super::{Caller, Refused, bearer};

/// How long an end may go unseen if the wall clock is set forward.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// From one writing of uses to the next.
const USES: Duration = Duration::from_secs(60);

/// A handle, of which each listener holds a copy.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    accepted: Arc<watch::Sender<All>>,
    /// Whoever makes, revokes or replaces tokens does so alone, so that what he decided on still holds.
    turn: Arc<Mutex<()>>,
}

type All = Arc<[Arc<Accepted>]>;

/// A token that we accept. As long as it stays one, it is this very value.
pub(crate) struct Accepted {
    /// Whose it is, what it is for, and its digest.
    pub(crate) token: Token,
    /// Where it is from.
    pub(crate) source: Source,
    has_ended: AtomicBool,
    /// When it was last accepted, in milliseconds since 1970; 0: never.
    used: AtomicI64,
    /// As much of that as the store has.
    written: AtomicI64,
}

/// Where a token is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The configuration, which says no more of it.
    Configuration,
    /// The store.
    Store {
        /// When it was made.
        at: SystemTime,
        /// By whom.
        by: Arc<str>,
        /// From then on it is refused.
        expires_at: Option<SystemTime>,
    },
}

// === impl Tokens ===

impl Tokens {
    /// Those of the configuration, and those that `list` has beside it, from now on; or everything that
    /// cannot be so in both.
    pub(crate) fn new(configured: &[Token], list: &AllowList) -> Result<Self, Vec<String>> {
        let tokens = Self::of(configured);
        let follower = {
            let tokens = tokens.clone();
            move |change: &Change| {
                tokens.follow(change);
                true
            }
        };
        list.follow(
            |state| tokens.change(|all| all.extend(state.tokens.values().map(Accepted::stored))),
            follower,
        );
        let clashes = tokens.clashes(configured);
        if clashes.is_empty() { Ok(tokens) } else { Err(clashes) }
    }

    /// Those of the configuration alone.
    pub(crate) fn of(configured: &[Token]) -> Self {
        let all: All = configured.iter().cloned().map(Accepted::configured).collect();
        Self { accepted: Arc::new(watch::Sender::new(all)), turn: Arc::default() }
    }

    /// Whose call this is, if its token has one of `roles`.
    pub(super) fn authorize(
        &self,
        headers: &HeaderMap,
        roles: &[Role],
        now: SystemTime,
    ) -> Result<Caller, Refused> {
        let presented = bearer(headers).ok_or(Refused::NoToken)?;
        let accepted = self.find(&Digest::of(presented)).ok_or(Refused::Unknown)?;
        if let Some(expired) = accepted.expired(now) {
            return Err(expired);
        }
        accepted.uses(roles, now)?;
        Ok(Caller(accepted.token.name.clone(), accepted))
    }

    /// Whether the token of a caller who was let in counts still, and has one of `roles`.
    pub(super) fn authorize_again(
        &self,
        caller: &Caller,
        roles: &[Role],
        now: SystemTime,
    ) -> Result<(), Refused> {
        self.refuses(caller, now).map_or(Ok(()), Err)?;
        caller.1.uses(roles, now)
    }

    /// The token of this digest. Compares with every one of them, each in constant time, so that the
    /// time taken tells nothing of either.
    pub(super) fn find(&self, digest: &Digest) -> Option<Arc<Accepted>> {
        let all = self.accepted.borrow();
        let mut found = u32::MAX;
        for (index, accepted) in (0..u32::MAX).zip(all.iter()) {
            found.conditional_assign(&index, accepted.token.digest.ct_eq(digest));
        }
        all.get(usize::try_from(found).ok()?).cloned()
    }

    /// All of them, as they are now.
    pub(crate) fn all(&self) -> Arc<[Arc<Accepted>]> {
        self.accepted.borrow().clone()
    }

    /// The token of this name.
    pub(super) fn named(&self, name: &str) -> Option<Arc<Accepted>> {
        self.accepted.borrow().iter().find(|it| &*it.token.name == name).cloned()
    }

    /// Waits until the caller's token is refused, and says why.
    pub(super) async fn revoked(&self, caller: &Caller) -> Refused {
        let mut changes = self.accepted.subscribe();
        loop {
            if let Some(refused) = self.refuses(caller, SystemTime::now()) {
                return refused;
            }
            // Never, as we hold the sender.
            if changes.changed().await.is_err() {
                return Refused::Unknown;
            }
        }
    }

    /// Why the token of a caller who was let in is refused by now, if it is.
    pub(super) fn refuses(&self, Caller(_, accepted): &Caller, now: SystemTime) -> Option<Refused> {
        let is_there = self.accepted.borrow().iter().any(|it| Arc::ptr_eq(it, accepted));
        if is_there { accepted.expired(now) } else { Some(Refused::Unknown) }
    }

    /// Accepts these instead of those of the configuration before; or says everything that cannot be so
    /// beside the store, and changes nothing.
    pub(crate) async fn replace(&self, configured: &[Token]) -> Result<(), Vec<String>> {
        let _turn = self.turn().await;
        let clashes = self.clashes(configured);
        if !clashes.is_empty() {
            return Err(clashes);
        }
        self.change(|all| {
            let before = std::mem::take(all);
            let (old, stored): (Vec<_>, Vec<_>) =
                before.into_iter().partition(|it| it.source == Source::Configuration);
            let same = |token: &Token| old.iter().find(|it| it.token == *token).cloned();
            all.extend(
                configured
                    .iter()
                    .map(|token| same(token).unwrap_or_else(|| Accepted::configured(token.clone()))),
            );
            all.extend(stored);
        });
        self.warn_without_admin(SystemTime::now());
        Ok(())
    }

    /// The right to make, revoke and replace tokens, until it is dropped.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Has tokens come to their end at their time by the wall clock, for ever. One that has stays so,
    /// even if that clock is set back.
    pub(crate) async fn keep_time(&self) {
        loop {
            let now = SystemTime::now();
            let until = self.end(now).and_then(|next| next.duration_since(now).ok());
            tokio::time::sleep(until.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)).await;
        }
    }

    /// Ends the tokens whose time is over, and what is held open with them; returns the next such time.
    fn end(&self, now: SystemTime) -> Option<SystemTime> {
        let all = self.all();
        let ended = all.iter().filter(|it| it.expires_at().is_some_and(|end| end <= now));
        let mut is_news = false;
        for accepted in ended.filter(|it| !it.has_ended.swap(true, Ordering::Relaxed)) {
            tracing::info!(token = &*accepted.token.name, "a token has come to its end: it is refused");
            is_news = true;
        }
        if is_news {
            self.accepted.send_modify(|_| {});
            self.warn_without_admin(now);
        }
        all.iter().filter_map(|it| it.expires_at().filter(|end| *end > now)).min()
    }

    /// Writes down once in a minute when tokens of the store were last used, for ever.
    pub(crate) async fn keep_uses(&self, list: &AllowList) {
        loop {
            tokio::time::sleep(USES).await;
            if let Err(error) = self.write_uses(list).await {
                tracing::warn!(%error, "when tokens were last used cannot be written down");
            }
        }
    }

    /// Writes down when tokens of the store were last used, as far as that is news.
    pub(crate) async fn write_uses(&self, list: &AllowList) -> Result<(), StoreError> {
        let all = self.all();
        let used = |it: &Arc<Accepted>| (it.clone(), it.used.load(Ordering::Relaxed));
        let news: Vec<_> = all
            .iter()
            .filter(|it| it.source != Source::Configuration)
            .map(used)
            .filter(|(it, used)| *used > it.written.load(Ordering::Relaxed))
            .collect();
        if news.is_empty() {
            return Ok(());
        }
        list.used(news.iter().map(|(it, used)| (it.token.name.clone(), time(*used))).collect()).await?;
        for (accepted, used) in news {
            accepted.written.store(used, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Whether anybody may make tokens.
    pub(super) fn has_admin(&self, now: SystemTime) -> bool {
        self.accepted.borrow().iter().any(|it| it.is_admin(now))
    }

    fn warn_without_admin(&self, now: SystemTime) {
        if !self.has_admin(now) {
            tracing::warn!(
                "no token of role admin counts any more: put one into the configuration, and reload; or restart, to have one made"
            );
        }
    }

    fn follow(&self, change: &Change) {
        match change {
            Change::Token(stored) => self.change(|all| all.push(Accepted::stored(stored))),
            Change::Revoke(name, _) => self.change(|all| {
                all.retain(|it| it.source == Source::Configuration || it.token.name != *name);
            }),
            Change::Put(..)
            | Change::Remove(..)
            | Change::Lapse(_)
            | Change::Strategy(..)
            | Change::Seal(..) => {}
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<Accepted>>)) {
        self.accepted.send_modify(|accepted| {
            let mut all = accepted.to_vec();
            change(&mut all);
            *accepted = all.into();
        });
    }

    /// What of these cannot be beside the tokens of the store.
    fn clashes(&self, configured: &[Token]) -> Vec<String> {
        let all = self.all();
        let stored = all.iter().filter(|it| it.source != Source::Configuration);
        let clash = |it: &Arc<Accepted>| {
            let other = configured
                .iter()
                .find(|token| token.name == it.token.name || token.digest == it.token.digest)?;
            let (name, stored) = (&other.name, &it.token.name);
            Some(if name == stored {
                format!(
                    "token: the name '{name}' is also that of a token in the store: choose another one, or revoke that first (`fedgate token revoke {name}`)"
                )
            } else {
                format!(
                    "token: '{name}' has the same sha256 as the token '{stored}' in the store, so nobody could tell who calls: make another one with `fedgate token new`"
                )
            })
        };
        stored.filter_map(clash).collect()
    }
}

// === impl Accepted ===

impl Accepted {
    #[cfg(test)]
    pub(super) fn of_a_test(name: &str) -> Arc<Self> {
        let token = Token { name: name.into(), role: Role::Admin, digest: Digest::of(name.as_bytes()) };
        Self::configured(token)
    }

    fn configured(token: Token) -> Arc<Self> {
        Self::new(token, Source::Configuration, 0)
    }

    fn stored(stored: &Stored) -> Arc<Self> {
        let Stored { name, role, sha256, created_at, created_by, expires_at, last_used_at, .. } = stored;
        let token = Token { name: name.clone(), role: *role, digest: (*sha256).into() };
        let (at, by, expires_at) = (*created_at, created_by.clone(), *expires_at);
        Self::new(token, Source::Store { at, by, expires_at }, last_used_at.map_or(0, millis))
    }

    fn new(token: Token, source: Source, used: i64) -> Arc<Self> {
        let (used, written) = (used.into(), used.into());
        Arc::new(Self { token, source, has_ended: AtomicBool::new(false), used, written })
    }

    /// When it was last accepted.
    pub(crate) fn last_used_at(&self) -> Option<SystemTime> {
        Some(self.used.load(Ordering::Relaxed)).filter(|used| *used > 0).map(time)
    }

    /// From when on it is refused.
    pub(crate) fn expires_at(&self) -> Option<SystemTime> {
        match &self.source {
            Source::Configuration => None,
            Source::Store { expires_at, .. } => *expires_at,
        }
    }

    /// Whether it has come to its end.
    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        self.expired(now).is_some()
    }

    /// Whether its bearer may make tokens.
    pub(super) fn is_admin(&self, now: SystemTime) -> bool {
        self.token.role == Role::Admin && !self.has_expired(now)
    }

    /// Notes a use for what needs one of `roles`, if this has one.
    fn uses(&self, roles: &[Role], now: SystemTime) -> Result<(), Refused> {
        let Token { name, role, .. } = &self.token;
        if !roles.contains(role) {
            let needed: Vec<_> = roles.iter().map(|role| role.name()).collect();
            let (name, role, needed) = (name.clone(), *role, needed.join(" or "));
            return Err(Refused::Role { name, role, needed });
        }
        self.used.store(millis(now), Ordering::Relaxed);
        Ok(())
    }

    fn expired(&self, now: SystemTime) -> Option<Refused> {
        let at = self.expires_at()?;
        let has_ended = at <= now || self.has_ended.load(Ordering::Relaxed);
        has_ended.then(|| Refused::Expired { name: self.token.name.clone(), at })
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.token, f)
    }
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
