//! Knocking at a host's addresses, to know which one opens.
//!
//! Envoy finds that out for each connection anew: it remembers no address that swallows what is sent to
//! it, and 300 ms are lost each time. So where a host has several addresses, we open a connection to each
//! from time to time, and have those tried last that did not open. It is only an order: what we cannot
//! reach, Envoy may.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::hosts::{Known, Ports};

/// How long after knocking somebody may open.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the first the others may open: as long as Envoy waits before it tries the next.
const LAG: Duration = Duration::from_millis(300);
/// How often we knock, at the most and at the least.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

/// Keeps up to date which addresses of a host are silent, at each of these ports.
pub(super) async fn knock(known: watch::Sender<Known>, ports: Ports) {
    let [shortest, longest] = PAUSES;
    let mut news = known.subscribe();
    loop {
        let doors = ports.doors(&news.borrow_and_update());
        let mut silent = BTreeSet::new();
        for sockets in &doors {
            silent.extend(silent_among(sockets).await);
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
        tokio::select! { () = changed => {}, () = due => {} }
    }
}

/// Those that do not open, if another does.
async fn silent_among(sockets: &[SocketAddr]) -> BTreeSet<SocketAddr> {
    let mut silent: BTreeSet<_> = sockets.iter().copied().collect();
    let knocks =
        sockets.iter().map(|&socket| async move { (socket, TcpStream::connect(socket).await.is_ok()) });
    let mut knocks: FuturesUnordered<_> = knocks.collect();
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
}
