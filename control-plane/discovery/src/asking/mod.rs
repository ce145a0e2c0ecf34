//! Asking DNS servers, on sockets of our own, with hickory's messages.
//!
//! ```text
//!  question ─► Servers ──► front ──────────────► Server ─ UDP, again and again ─ fit? ─► answer
//!              (a race)    next, a little later   Server    └─ too long: TCP ── fit? ─┘
//! ```
//!
//! [`fit`] says what a message is to a question, [`server`] asks one server, [`system`] knows which ones
//! the system has; here they are raced. hickory's own pool is passed by: it stops listening for a question
//! when it asks again, waits for one server's end before it asks the next, always asks with EDNS, and over
//! TCP takes whatever has the question's id.

mod fit;
mod server;
mod system;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hickory_proto::op::{Message, Query};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};

pub(super) use fit::mnemonic;
use server::{Server, Trouble};
pub use system::NoServers;

/// How often a silent server is sent a question within its time.
const ROUNDS: u32 = 3;
/// The longest that a server may be silent before the next one is asked as well.
const HEAD_START: Duration = Duration::from_millis(300);
/// How often one of the others is tried beside the one in front.
const TRIAL: Duration = Duration::from_secs(30);
/// Questions under way at one time, over all servers: each has a socket. Those for addresses have their own,
/// since who is called may name many hosts that nobody knows.
const SOCKETS: usize = 512;
const SOCKETS_FOR_ADDRESSES: usize = 256;
/// Servers that an error tells of.
const TOLD: usize = 4;

/// Servers that know the same.
pub(super) struct Servers {
    all: Vec<Server>,
    order: Mutex<Order>,
    sockets: Semaphore,
    sockets_for_addresses: Semaphore,
}

/// What questions are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Who speaks for a backend domain.
    Discovery,
    /// Where a host is.
    Addresses,
}

/// Who is asked first.
struct Order {
    /// The one that answered last, so that a dead one costs its head start once.
    front: usize,
    /// Who is tried next beside it, and when.
    trial: usize,
    due: Instant,
}

/// Why there is no answer: what came of each server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unanswered(Vec<(SocketAddr, Trouble)>);

/// The servers, and until when they are asked: all questions for one answer share its time.
#[derive(Clone)]
pub(super) struct Asking {
    servers: Arc<Servers>,
    purpose: Purpose,
    begun: Instant,
    until: Instant,
}

// === impl Servers ===

impl Servers {
    /// These servers, or the system's where there are none.
    pub(super) fn new(servers: &[SocketAddr]) -> Result<Self, NoServers> {
        let servers = self::servers(servers)?;
        let order = Order { front: 0, trial: 0, due: later(Instant::now(), TRIAL) };
        Ok(Self {
            all: servers.into_iter().map(Server::new).collect(),
            order: Mutex::new(order),
            sockets: Semaphore::new(SOCKETS),
            sockets_for_addresses: Semaphore::new(SOCKETS_FOR_ADDRESSES),
        })
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.all.iter().map(Server::address).collect()
    }

    /// To be asked for so long from now.
    pub(super) fn within(self: Arc<Self>, purpose: Purpose, time: Duration) -> Asking {
        let begun = Instant::now();
        Asking { servers: self, purpose, begun, until: later(begun, time) }
    }

    /// All servers in the order in which to ask them, and how many of them at once: one, or two where a
    /// trial is due.
    fn line_up(&self, now: Instant) -> (Vec<usize>, usize) {
        let count = self.all.len();
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = vec![order.front];
        if now >= order.due {
            order.due = later(now, TRIAL);
            let in_turn = (order.trial.saturating_add(1)..count).chain(0..count);
            if let Some(trial) = in_turn.into_iter().find(|&index| index != order.front) {
                order.trial = trial;
                line.push(trial);
            }
        }
        let at_once = line.len();
        let rest = (0..count).filter(|index| !line.contains(index)).collect::<Vec<_>>();
        line.extend(rest);
        (line, at_once)
    }

    fn put_in_front(&self, index: usize) {
        self.order.lock().unwrap_or_else(PoisonError::into_inner).front = index;
    }
}

// === impl Asking ===

impl Asking {
    /// The first answer of any server. The next one is asked when the one before has failed, or has had
    /// its head start; none is given up for that.
    pub(super) async fn ask(&self, query: &Query, proofs: bool) -> Result<Message, Unanswered> {
        let Self { servers, begun, until, .. } = self;
        let time = until.saturating_duration_since(*begun);
        let pause = time / ROUNDS;
        // So that the last one is asked within half of the time.
        let count = u32::try_from(servers.all.len()).unwrap_or(u32::MAX).max(1);
        let head_start = HEAD_START.min(time / count.saturating_mul(2));

        let (line, at_once) = servers.line_up(Instant::now());
        let mut line = line.into_iter().filter_map(|index| Some((index, servers.all.get(index)?)));
        let ask = |(index, server)| async move {
            (index, server, self.ask_one(server, query, proofs, pause).await)
        };
        let mut asked: FuturesUnordered<_> = line.by_ref().take(at_once).map(ask).collect();
        let mut turn = later(Instant::now(), head_start);
        let mut patience = *until;
        let mut troubles = Vec::new();
        loop {
            let all_are_asked = troubles.len().saturating_add(asked.len()) == servers.all.len();
            let next = tokio::select! {
                Some((index, server, answered)) = asked.next() => {
                    let trouble = match answered {
                        Ok(message) => {
                            servers.put_in_front(index);
                            return Ok(message);
                        }
                        Err(trouble) => trouble,
                    };
                    tracing::debug!(%query, server = %server.address(), %trouble, "DNS server passed over");
                    if trouble.is_refusal() {
                        // An answer: whoever is silent beside it is not waited for to the end.
                        patience = patience.min(later(Instant::now(), pause));
                    }
                    troubles.push((server.address(), trouble));
                    line.next()
                }
                () = sleep_until(turn), if !all_are_asked => line.next(),
                () = sleep_until(patience), if patience < *until => return Err(Unanswered(troubles)),
            };
            if let Some(next) = next {
                asked.push(ask(next));
                turn = later(Instant::now(), head_start);
            } else if asked.is_empty() {
                return Err(Unanswered(troubles));
            }
        }
    }

    async fn ask_one(
        &self,
        server: &Server,
        query: &Query,
        proofs: bool,
        pause: Duration,
    ) -> Result<Message, Trouble> {
        let sockets = match self.purpose {
            Purpose::Discovery => &self.servers.sockets,
            Purpose::Addresses => &self.servers.sockets_for_addresses,
        };
        let Ok(Ok(_socket)) = timeout_at(self.until, sockets.acquire()).await else {
            return Err(Trouble::Ours("as many questions are under way as there may be".to_owned()));
        };
        server.ask(query, proofs, pause, self.until).await
    }
}

// === impl Unanswered ===

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (server, trouble)) in self.0.iter().take(TOLD).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{server}: {trouble}")?;
        }
        match self.0.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// In a word, what `octets` are to the question `asked` under this id; and the answer, where they are it.
#[cfg(feature = "fuzzing")]
pub(super) fn judged(id: u16, asked: &Query, octets: &[u8]) -> (&'static str, Option<Message>) {
    match fit::fit(id, asked, octets) {
        fit::Fit::Answer(message) => ("answer", Some(message)),
        fit::Fit::Foreign(_) => ("foreign", None),
        fit::Fit::Truncated => ("truncated", None),
        fit::Fit::Refusal(fit::Refusal::Malformed(_)) => ("malformed", None),
        fit::Fit::Refusal(fit::Refusal::Code(_) | fit::Refusal::Referral) => ("refusal", None),
    }
}

fn later(now: Instant, by: Duration) -> Instant {
    now.checked_add(by).unwrap_or(now)
}

/// These servers, or the system's where there are none.
pub(super) fn servers(named: &[SocketAddr]) -> Result<Vec<SocketAddr>, NoServers> {
    if named.is_empty() { system::servers() } else { Ok(named.to_vec()) }
}

#[cfg(test)]
mod tests;
