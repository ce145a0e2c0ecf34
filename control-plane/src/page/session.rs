//! Who is logged in: in memory, bounded, and for a while. A session is of this control plane alone, and is never more
//! than its token: each request asks whether that counts still.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::auth::{Caller, random};

/// For how long a session may be without a request that somebody made.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// For how long it lasts at most.
const LONGEST: Duration = Duration::from_secs(8 * 60 * 60);
/// How many there are at most; and of one token, so that nobody else is in the way of his.
const MOST: usize = 1000;
const OF_ONE: usize = 50;

/// All of them, by the SHA-256 of what the browser shows.
pub(super) struct Sessions {
    all: Mutex<HashMap<Key, Session>>,
    has_tls: bool,
}

/// Of which session it is; no use to whoever reads it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

struct Session {
    caller: Caller,
    /// What every form of the session carries.
    seal: Arc<str>,
    begun: Instant,
    used: Instant,
    /// What the next page is to say.
    told: Option<Told>,
}

/// What a page says once, of what was done just before.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// A sentence.
    pub(super) text: String,
    /// Beside it, what nobody can have again.
    pub(super) secret: Option<String>,
}

/// Who makes a request.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) key: Key,
    pub(super) caller: Caller,
    pub(super) seal: Arc<str>,
    /// Whether nobody in person asks: the script does, or a page that loads itself again.
    pub(super) by_itself: bool,
}

// === impl Sessions ===

impl Sessions {
    /// None yet.
    pub(super) fn new(has_tls: bool) -> Self {
        Self { all: Mutex::default(), has_tls }
    }

    /// Begins one; the cookie to set.
    pub(super) fn begin(&self, caller: Caller, now: Instant) -> Result<String, getrandom::Error> {
        let (text, seal) = (random()?, random()?.into());
        let mut all = lock(&self.all);
        all.retain(|_, it| !it.is_over(now));
        give_way(&mut all, OF_ONE, |it| it.caller.0 == caller.0);
        give_way(&mut all, MOST, |_| true);
        all.insert(Key::of(&text), Session { caller, seal, begun: now, used: now, told: None });
        Ok(self.cookie(&text, ""))
    }

    /// The one that the browser shows.
    pub(super) fn find(&self, cookies: &str, by_itself: bool, now: Instant) -> Option<Visitor> {
        let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        let key = pairs.find(|(name, _)| *name == self.name()).map(|(_, text)| Key::of(text))?;
        let mut all = lock(&self.all);
        let session = all.get_mut(&key)?;
        if session.is_over(now) {
            all.remove(&key);
            return None;
        }
        if !by_itself {
            session.used = now;
        }
        let (caller, seal) = (session.caller.clone(), session.seal.clone());
        Some(Visitor { key, caller, seal, by_itself })
    }

    /// Whether it lasts still, without use of it.
    pub(super) fn lasts(&self, key: Key, now: Instant) -> bool {
        lock(&self.all).get(&key).is_some_and(|it| !it.is_over(now))
    }

    /// Ends one; the cookie to set.
    pub(super) fn end(&self, key: Key) -> String {
        lock(&self.all).remove(&key);
        self.cookie("", "; Max-Age=0")
    }

    /// Has the next page of the session say this.
    pub(super) fn tell(&self, key: Key, told: Told) {
        if let Some(session) = lock(&self.all).get_mut(&key) {
            session.told = Some(told);
        }
    }

    /// What this page is to say.
    pub(super) fn told(&self, key: Key) -> Option<Told> {
        lock(&self.all).get_mut(&key)?.told.take()
    }

    /// `__Host-` is not to be had with a path.
    fn name(&self) -> &'static str {
        if self.has_tls { "__Secure-fedgate" } else { "fedgate" }
    }

    fn cookie(&self, text: &str, more: &str) -> String {
        let secure = if self.has_tls { "; Secure" } else { "" };
        format!("{}={text}; Path=/page; HttpOnly; SameSite=Strict{secure}{more}", self.name())
    }
}

/// Ends the idlest of these sessions, if they are so many that one more is too much.
fn give_way(all: &mut HashMap<Key, Session>, most: usize, is_one: impl Fn(&Session) -> bool) {
    let these = || all.iter().filter(|(_, it)| is_one(it));
    if these().count() >= most
        && let Some(idlest) = these().min_by_key(|(_, it)| it.used).map(|(key, _)| *key)
    {
        all.remove(&idlest);
    }
}

impl Session {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) >= IDLE
            || now.saturating_duration_since(self.begun) >= LONGEST
    }
}

impl Key {
    fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

fn lock(all: &Mutex<HashMap<Key, Session>>) -> MutexGuard<'_, HashMap<Key, Session>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Caller;

    fn shown(cookie: &str) -> &str {
        cookie.split(';').next().unwrap()
    }

    #[test]
    fn a_session_ends_by_itself_when_nobody_uses_it_and_after_a_working_day() {
        let (sessions, start) = (Sessions::new(false), Instant::now());
        let cookie = sessions.begin(Caller::named("alice"), start).unwrap();
        let find = |after, by_itself| sessions.find(shown(&cookie), by_itself, start + after).is_some();
        let minute = Duration::from_secs(60);
        assert!(find(29 * minute, false) && find(58 * minute, true) && !find(60 * minute, true));
        let cookie = sessions.begin(Caller::named("alice"), start).unwrap();
        let find = |after| sessions.find(shown(&cookie), false, start + after).is_some();
        assert!((0..24).all(|n| find(20 * n * minute)) && !find(480 * minute));
    }

    #[test]
    fn the_idlest_session_gives_way_where_there_are_too_many_first_of_the_same_token() {
        let (sessions, start) = (Sessions::new(true), Instant::now());
        let others = sessions.begin(Caller::named("bob"), start).unwrap();
        let first = sessions.begin(Caller::named("alice"), start).unwrap();
        assert!(first.starts_with("__Secure-fedgate=") && first.contains("; Secure"), "{first}");
        let later = start + Duration::from_secs(1);
        let second = sessions.begin(Caller::named("alice"), later).unwrap();
        for _ in 1..OF_ONE {
            sessions.begin(Caller::named("alice"), later).unwrap();
        }
        assert!(sessions.find(shown(&first), false, later).is_none());
        assert!(sessions.find(shown(&second), false, later).is_some());
        assert_eq!(lock(&sessions.all).len(), OF_ONE + 1);
        for number in 0..MOST {
            sessions.begin(Caller::named(&format!("person-{number}")), later).unwrap();
        }
        assert!(sessions.find(shown(&others), false, later).is_none());
        assert_eq!(lock(&sessions.all).len(), MOST);
    }

    #[test]
    fn only_the_whole_cookie_of_our_name_counts() {
        let (sessions, now) = (Sessions::new(false), Instant::now());
        let cookie = sessions.begin(Caller::named("alice"), now).unwrap();
        let text = shown(&cookie);
        for (cookies, expected) in [
            (text.to_owned(), true),
            (format!("a=b; {text}; c"), true),
            (format!("x{text}"), false),
            (text[..text.len() - 1].to_owned(), false),
            (format!("{text}0"), false),
            (String::new(), false),
        ] {
            assert_eq!(sessions.find(&cookies, false, now).is_some(), expected, "{cookies}");
        }
        let key = sessions.find(text, false, now).unwrap().key;
        sessions.end(key);
        assert!(sessions.find(text, false, now).is_none());
    }
}
