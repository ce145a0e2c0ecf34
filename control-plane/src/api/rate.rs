//! How often a token may call the admin API: so that a script that runs wild does not take the store and the
//! processor from the others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;

use super::problem::Problem;
use crate::auth::Caller;
use crate::contract::Kind;
use crate::seldom::Seldom;

/// One request in so much time, in the long run: 100 a second.
const INTERVAL: Duration = Duration::from_millis(10);
/// So many at once.
const BURST: u32 = 500;
/// Tokens that are told apart.
const TOKENS: usize = 1024;

/// The requests of each token.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    book: Mutex<(Book, Seldom)>,
    refused: AtomicU64,
}

/// By the token's name: when its requests would have come, had they come one by one.
#[derive(Debug, Default)]
struct Book(HashMap<Arc<str>, Instant>);

// === impl Rates ===

impl Rates {
    /// How many requests were refused since the start.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn take(&self, name: &Arc<str>, now: Instant) -> Result<(), Duration> {
        let (book, seldom) = &mut *self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.take(name, now).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            if let Some(times) = seldom.tell(now) {
                tracing::warn!(token = %name, times, "calls are refused: a token calls too often");
            }
        })
    }
}

// === impl Book ===

impl Book {
    /// Notes a request, or says after how long to come again.
    fn take(&mut self, name: &Arc<str>, now: Instant) -> Result<(), Duration> {
        if !self.0.contains_key(name) && self.0.len() >= TOKENS {
            self.0.retain(|_, even| *even > now);
            let longest_ago = self.0.iter().min_by_key(|(_, even)| **even).map(|(name, _)| name.clone());
            if let Some(name) = longest_ago.filter(|_| self.0.len() >= TOKENS) {
                self.0.remove(&name);
            }
        }
        let even = self.0.entry(name.clone()).or_insert(now);
        let ahead = even.saturating_duration_since(now);
        let most = INTERVAL.saturating_mul(BURST.saturating_sub(1));
        if ahead > most {
            return Err(ahead.saturating_sub(most));
        }
        *even = (*even).max(now).checked_add(INTERVAL).unwrap_or(now);
        Ok(())
    }
}

/// Passes on the requests of tokens that do not call too often.
pub(crate) async fn limit(
    State(rates): State<Arc<Rates>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if let Some(name) = request.extensions().get::<Caller>().map(|caller| &caller.0) {
        rates.take(name, Instant::now()).map_err(|wait| {
            let detail = format!(
                "the token '{name}' calls too often: {BURST} requests at once, and {} a second in the long run",
                Duration::from_secs(1).as_millis().checked_div(INTERVAL.as_millis()).unwrap_or_default(),
            );
            let seconds = wait.as_secs().saturating_add(1);
            Problem::new(Kind::TooManyRequests, detail).with_header(header::RETRY_AFTER, seconds)
        })?;
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_call_many_times_at_once_and_then_at_its_rate() {
        let (mut book, start) = (Book::default(), Instant::now());
        let [alice, bob] = ["alice", "bob"].map(Arc::from);
        for _ in 0..BURST {
            assert_eq!(book.take(&alice, start), Ok(()));
        }
        assert_eq!(book.take(&alice, start), Err(INTERVAL));
        assert_eq!(book.take(&bob, start), Ok(()), "others are not slowed");
        for second in 1..5 {
            let now = start + Duration::from_secs(second);
            let taken = (0..200).filter(|_| book.take(&alice, now).is_ok()).count();
            assert_eq!(taken, 100, "at second {second}");
        }
        let later = start + Duration::from_secs(60);
        assert_eq!((0..600).filter(|_| book.take(&alice, later).is_ok()).count(), 500);
    }

    #[test]
    fn memory_is_bounded_whoever_calls() {
        let (mut book, now) = (Book::default(), Instant::now());
        for number in 0..10_000 {
            book.take(&number.to_string().into(), now).unwrap();
            assert!(book.0.len() <= TOKENS);
        }
    }
}
