//! The listeners' front: what a connection may cost before anybody knows whose it is, and for how long.
//!
//! ```text
//!  accept ─► crowd: is there room? ─► TLS ─► head of a request ─► guard: a right token? ─► handler
//!              │ no: who has proven nothing             │                   │ yes: a peer we know,
//!              ▼ goes, of the most crowded address      ▼ not in time: cut  ▼ which nobody displaces
//! ```
//!
//! A peer is a stranger until it shows a token that is right for what it asks. Strangers have seconds, a
//! bounded number of places, and give way to those who come after them; so however many there are, whoever
//! has a token gets in, and proves it with the first request. Each listener counts by itself.

mod budget;
mod connection;
mod crowd;
mod peer;
pub(crate) mod tls;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::seldom::Seldom;
pub(crate) use budget::{Budget, Limits};
use connection::Front;
pub(crate) use crowd::{SharedCrowd, network};
pub(crate) use peer::Peer;
use tls::Tls;

/// How long requests that are under way may go on after the signal to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// The pause after the system has no connection for us, because of its limits.
const PAUSE: Duration = Duration::from_millis(100);

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Listener {
    /// The admin API.
    Admin,
    /// The verdict API.
    Verdicts,
    /// xDS, which is HTTP/2 and nothing else.
    Xds,
    /// Wire's own list API.
    Wire,
}

/// The crowds of all listeners, each by itself.
#[derive(Clone, Debug)]
pub(crate) struct Crowds {
    admin: SharedCrowd,
    verdicts: SharedCrowd,
    xds: SharedCrowd,
    wire: SharedCrowd,
}

/// A listener that serves; ends after the signal to stop, once its connections have.
pub(crate) struct Serving(JoinHandle<()>);

/// Serves what comes in by `socket`, until `stopped`.
pub(crate) fn serve(
    listener: Listener,
    socket: TcpListener,
    tls: Option<&Tls>,
    router: Router,
    crowd: SharedCrowd,
    stopped: watch::Receiver<bool>,
) -> Serving {
    let front = Arc::new(Front::new(listener, tls, router));
    Serving(tokio::spawn(accept(front, socket, crowd, stopped)))
}

/// Waits until all have ended, but no longer than [`DRAIN`].
pub(crate) async fn drain(listeners: impl IntoIterator<Item = Serving>) {
    let all = async {
        for Serving(task) in listeners {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener ended badly");
            }
        }
    };
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        tracing::warn!(seconds = DRAIN.as_secs(), "requests still under way are cut off");
    }
}

async fn accept(
    front: Arc<Front>,
    socket: TcpListener,
    crowd: SharedCrowd,
    stopped: watch::Receiver<bool>,
) {
    let listener = front.listener.name();
    let [mut failed, mut turned_away, mut crowded] = [(); 3].map(|()| Seldom::default());
    // Each connection holds a sender: once all are gone, so are the connections.
    let (held, mut all_gone) = mpsc::channel::<()>(1);
    let mut stop = stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = until(&mut stop) => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            // That connection ended before we had it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if let Some(times) = failed.tell(Instant::now()) {
                    tracing::error!(listener, %error, times, "a connection cannot be accepted");
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some((place, displaced)) = crowd::enter(&crowd, address.ip()).await else {
            if let Some(times) = turned_away.tell(Instant::now()) {
                tracing::error!(
                    listener, times, peer = %address,
                    "connections are turned away: there are as many as there may be, all with a token"
                );
            }
            continue;
        };
        if let Some(network) = displaced
            && let Some(times) = crowded.tell(Instant::now())
        {
            tracing::warn!(
                listener, times, %network,
                "connections give way to others: there are more without a token than have a place"
            );
        }
        tune(&stream);
        let peer = Peer::new(front.listener, address, place);
        let (front, stopped, held) = (front.clone(), stopped.clone(), held.clone());
        tokio::spawn(async move {
            front.attend(stream, peer, stopped).await;
            drop(held);
        });
    }
    drop((socket, held));
    all_gone.recv().await;
}

/// Waits for the signal to stop.
async fn until(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the end also.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Sets what the system does for a connection. A page of the feed is small, and the filter waits for it:
/// nothing is to be gained by waiting for more to send with it. And who does not read, or is gone, is not
/// waited for longer than this.
fn tune(stream: &TcpStream) {
    const UNREAD: Duration = Duration::from_secs(60);
    let unread = u32::try_from(UNREAD.as_millis()).unwrap_or(u32::MAX);
    let tuned = stream
        .set_nodelay(true)
        .and_then(|()| Ok(rustix::net::sockopt::set_tcp_user_timeout(stream, unread)?))
        .and_then(|()| Ok(rustix::net::sockopt::set_socket_keepalive(stream, true)?))
        .and_then(|()| Ok(rustix::net::sockopt::set_tcp_keepidle(stream, UNREAD)?));
    if let Err(error) = tuned {
        tracing::debug!(%error, "a connection keeps the system's settings");
    }
}

// === impl Crowds ===

impl Crowds {
    /// Nobody, so far.
    pub(crate) fn new(budget: &Budget) -> Self {
        let of = |listener| SharedCrowd::new(budget.limits(listener));
        Self {
            admin: of(Listener::Admin),
            verdicts: of(Listener::Verdicts),
            xds: of(Listener::Xds),
            wire: of(Listener::Wire),
        }
    }

    /// That of one listener.
    pub(crate) fn of(&self, listener: Listener) -> &SharedCrowd {
        match listener {
            Listener::Admin => &self.admin,
            Listener::Verdicts => &self.verdicts,
            Listener::Xds => &self.xds,
            Listener::Wire => &self.wire,
        }
    }
}

// === impl Listener ===

impl Listener {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Admin, Self::Verdicts, Self::Xds, Self::Wire];

    /// Its name in configuration and log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Verdicts => "verdicts",
            Self::Xds => "xds",
            Self::Wire => "wire",
        }
    }
}
