//! The other end of a connection: what is known of it, and for how long it is borne with.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Listener;
use super::crowd::Place;

/// The time for TLS, and for the head of the first request.
pub(super) const HEAD: Duration = Duration::from_secs(5);
/// How long a stranger may be without a new request, or with one that does not end.
const QUIET: Duration = Duration::from_secs(10);
/// How long a stranger may stay at all.
const STRANGER: Duration = Duration::from_secs(60);
/// How long a peer that we know may be without a request. Envoy keeps a connection for an hour, so it is
/// Envoy who closes it, and no request meets a connection that ends.
const IDLE: Duration = Duration::from_secs(70 * 60);

/// The other end of a connection. Every request carries a copy.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    listener: Listener,
    address: SocketAddr,
    opened: Instant,
    place: Place,
    standing: Mutex<Standing>,
}

/// What a connection's peer has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// It has shown a right token.
    known: bool,
    /// It has sent the head of a request.
    asked: bool,
    /// Requests whose answer has not been sent.
    under_way: u32,
    /// When the last of them ended, or the first of them began.
    since: Instant,
}

/// A request under way, until this is dropped.
#[derive(Debug)]
pub(super) struct Turn(Peer);

// === impl Peer ===

impl Peer {
    pub(super) fn new(listener: Listener, address: SocketAddr, place: Place) -> Self {
        let opened = Instant::now();
        let standing = Mutex::new(Standing::new(opened));
        Self(Arc::new(Connection { listener, address, opened, place, standing }))
    }

    /// The listener that it came by.
    pub(crate) fn listener(&self) -> Listener {
        self.0.listener
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// It has shown a right token.
    pub(crate) fn becomes_known(&self) {
        let before = self.change(|standing| std::mem::replace(&mut standing.known, true));
        if !before {
            self.0.place.keep();
        }
    }

    /// Waits until it has to give way to others.
    pub(super) async fn displaced(&self) {
        self.0.place.displaced().await;
    }

    pub(super) fn begin(&self) -> Turn {
        self.change(|standing| standing.begin(Instant::now()));
        Turn(self.clone())
    }

    /// When its time is over, as it stands now; and whether it has done anything.
    pub(super) fn ends(&self) -> (Instant, bool) {
        self.change(|standing| (standing.ends(self.0.opened, Instant::now()), standing.asked))
    }

    /// Whether no request is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.change(|standing| standing.under_way == 0)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Standing) -> T) -> T {
        change(&mut self.0.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.change(|standing| standing.end(Instant::now()));
    }
}

// === impl Standing ===

impl Standing {
    fn new(opened: Instant) -> Self {
        Self { known: false, asked: false, under_way: 0, since: opened }
    }

    fn begin(&mut self, now: Instant) {
        self.asked = true;
        if self.under_way == 0 {
            self.since = now;
        }
        self.under_way = self.under_way.saturating_add(1);
    }

    fn end(&mut self, now: Instant) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            self.since = now;
        }
    }

    /// When its time is over. Whatever it does until then may make it later, and never earlier.
    fn ends(&self, opened: Instant, now: Instant) -> Instant {
        match (self.known, self.asked, self.under_way) {
            (false, false, _) => opened + HEAD,
            (false, true, _) => (self.since + QUIET).min(opened + STRANGER),
            (true, _, 0) => self.since + IDLE,
            (true, _, _) => now + IDLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_seconds_and_known_peers_an_hour() {
        let opened = Instant::now();
        let at = |seconds| opened + Duration::from_secs(seconds);
        let standing =
            |known, asked, under_way, since| Standing { known, asked, under_way, since: at(since) };
        for (what, standing, now, ends) in [
            ("nothing was sent", standing(false, false, 0, 0), 1, 5),
            ("a probe has its answer", standing(false, true, 0, 3), 4, 13),
            ("an answer is not read", standing(false, true, 9, 3), 4, 13),
            ("a probe each second", standing(false, true, 0, 58), 59, 60),
            ("an Envoy that rests", standing(true, true, 0, 100), 101, 4300),
            ("a long poll, or a stream", standing(true, true, 1, 100), 9000, 13_200),
        ] {
            assert_eq!(standing.ends(opened, at(now)), at(ends), "{what}");
        }
    }

    #[test]
    fn a_connection_rests_from_its_last_request_to_the_next() {
        let opened = Instant::now();
        let at = |seconds| opened + Duration::from_secs(seconds);
        let mut standing = Standing::new(opened);
        for (seconds, begins, under_way, since) in
            [(1, true, 1, 1), (2, true, 2, 1), (3, false, 1, 1), (4, false, 0, 4), (5, true, 1, 5)]
        {
            if begins {
                standing.begin(at(seconds));
            } else {
                standing.end(at(seconds));
            }
            assert_eq!((standing.under_way, standing.since), (under_way, at(since)), "{seconds}");
        }
        assert!(standing.asked && !standing.known);
    }
}
