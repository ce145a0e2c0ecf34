//! Knocking at a host's addresses, to know which one opens.
//!
//! Envoy finds that out for each connection anew: it remembers no address that swallows what is sent to
//! it, and 300 ms are lost each time. So where a host has several addresses, we open a connection to each
//! from time to time, and have those tried last that did not open. It is only an order: what we cannot
//! reach, Envoy may.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, watch};

use super::hosts::Known;

/// How long after knocking somebody may open.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the first the others may open: as long as Envoy waits before it tries the next.
const LAG: Duration = Duration::from_millis(300);
/// How often we knock, at the most and at the least.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

/// The ports of a host that somebody wants to connect to.
#[derive(Clone, Default)]
pub(super) struct Ports(Arc<Wanted>);

#[derive(Default)]
struct Wanted {
    ports: Mutex<BTreeMap<u16, Weak<Want>>>,
    changed: Notify,
}

/// That a port is wanted, for as long as this lives.
pub(super) struct Want;

/// Keeps up to date which addresses of a host are silent, at each of these ports, when it is its turn.
pub(super) async fn knock(
    known: watch::Sender<Known>,
    ports: Ports,
    turns: Arc<Semaphore>,
    again: Arc<Notify>,
) {
    let [shortest, longest] = PAUSES;
    let mut news = known.subscribe();
    loop {
        let doors = ports.doors(&news.borrow_and_update());
        let mut silent = BTreeSet::new();
        for sockets in &doors {
            let turn = turns.acquire().await;
            silent.extend(silent_among(sockets).await);
            drop(turn);
        }
        known.send_if_modified(|known| std::mem::replace(&mut known.silent, silent.clone()) != silent);
        if !doors.is_empty() {
            tokio::time::sleep(shortest).await;
        }
        let changed = async {
            while ports.doors(&news.borrow_and_update()) == doors {
                tokio::select! {
                    () = ports.changed() => {}
                    // An error cannot be, as we have the sender.
                    _ = news.changed() => {}
                }
            }
        };
        let due = async {
            if doors.is_empty() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(longest.saturating_sub(shortest)).await;
        };
        tokio::select! { () = changed => {}, () = due => {}, () = again.notified() => {} }
    }
}

/// Whoever opens first, if anybody does.
pub(super) async fn opens(sockets: &[SocketAddr]) -> Option<SocketAddr> {
    let mut knocks: FuturesUnordered<_> = sockets.iter().map(|&it| knock_at(it)).collect();
    let first = async {
        while let Some((socket, opens)) = knocks.next().await {
            if opens {
                return Some(socket);
            }
        }
        None
    };
    tokio::time::timeout(PATIENCE, first).await.ok().flatten()
}

async fn knock_at(socket: SocketAddr) -> (SocketAddr, bool) {
    (socket, TcpStream::connect(socket).await.is_ok())
}

/// Those that do not open, if another does.
async fn silent_among(sockets: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let mut silent: BTreeSet<_> = sockets.iter().copied().collect();
    let mut knocks: FuturesUnordered<_> = sockets.iter().map(|&it| knock_at(it)).collect();
    let mut patience = PATIENCE;
    // Time has passed, or all have answered: in either case there is no more to learn.
    while let Ok(Some((socket, opens))) = tokio::time::timeout(patience, knocks.next()).await {
        if opens {
            silent.remove(&socket);
            patience = LAG;
        }
    }
    if silent.len() == sockets.len() { BTreeSet::new() } else { silent }
}

// === impl Ports ===

impl Ports {
    /// Notes that somebody wants to connect to this port.
    pub(super) fn want(&self, port: u16) -> Arc<Want> {
        let mut ports = self.lock();
        if let Some(want) = ports.get(&port).and_then(Weak::upgrade) {
            return want;
        }
        let want = Arc::new(Want);
        ports.insert(port, Arc::downgrade(&want));
        self.0.changed.notify_one();
        want
    }

    /// The host's addresses, for each port that is wanted; none where there is nothing to choose.
    fn doors(&self, known: &Known) -> Vec<Vec<SocketAddr>> {
        let addresses: Vec<_> = known.usable().copied().collect();
        let mut ports = self.lock();
        ports.retain(|_, want| want.strong_count() > 0);
        let doors = ports.keys().filter(|_| addresses.len() > 1);
        doors.map(|&port| addresses.iter().map(|&ip| SocketAddr::new(ip, port)).collect()).collect()
    }

    /// Waits until another port is wanted.
    async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u16, Weak<Want>>> {
        self.0.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_does_not_open_where_another_does_is_silent() {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (open, port) = (open.local_addr().unwrap(), open);
        let closed = SocketAddr::from(([127, 0, 0, 2], open.port()));
        assert_eq!(silent_among(&[closed, open]).await, [closed].into());
        assert_eq!(silent_among(&[open]).await, [].into());
        drop(port);
        assert_eq!(silent_among(&[closed, open]).await, [].into(), "that may be our own fault");
    }

    #[test]
    fn only_what_is_wanted_and_leaves_a_choice_is_knocked_at() {
        let ports = Ports::default();
        let (two, one) = (Known::of_texts(&["1.1.1.1", "2606::1"]), Known::of_texts(&["1.1.1.1"]));
        let (first, again, other) = (ports.want(443), ports.want(443), ports.want(8443));
        assert_eq!((ports.doors(&two).len(), ports.doors(&one).len()), (2, 0));
        drop((first, other));
        assert_eq!(ports.doors(&two), [["1.1.1.1:443", "[2606::1]:443"].map(|at| at.parse().unwrap())]);
        drop(again);
        assert!(ports.doors(&two).is_empty());
    }
}
