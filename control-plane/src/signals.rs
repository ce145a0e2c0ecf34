//! Signals that somebody may send us: none of them ends the process but by our own doing.
//!
//! Left alone are those that tell of a fault in the process itself, and what stops and continues it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

use rustix::process::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What each signal asks for. SIGPIPE has no line: Rust's runtime ignores it from the start.
const MEANINGS: [(Number, Signalled); 10] = [
    (Number::TERM, Signalled::Stop("SIGTERM")),
    (Number::INT, Signalled::Stop("SIGINT")),
    (Number::QUIT, Signalled::Stop("SIGQUIT")),
    (Number::HUP, Signalled::HangUp),
    (Number::USR1, Signalled::Other("SIGUSR1")),
    (Number::USR2, Signalled::Other("SIGUSR2")),
    (Number::ALARM, Signalled::Other("SIGALRM")),
    (Number::IO, Signalled::Other("SIGIO")),
    (Number::POWER, Signalled::Other("SIGPWR")),
    // A write beyond the limit of a file's size; then the write fails, and says so.
    (Number::XFSZ, Signalled::Other("SIGXFSZ")),
];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signalled {
    /// To end in good order.
    Stop(&'static str),
    /// To read the configuration anew.
    HangUp,
    /// Nothing that we know of.
    Other(&'static str),
}

impl fmt::Display for Signalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HangUp => "SIGHUP",
            Self::Stop(name) | Self::Other(name) => name,
        })
    }
}

/// Receives them.
pub(crate) struct Signals(Vec<(Signal, Signalled)>);

// === impl Signals ===

impl Signals {
    /// From now on they do not end the process.
    pub(crate) fn listen() -> io::Result<Self> {
        let listen = |(number, meaning): (Number, Signalled)| {
            Ok((signal(SignalKind::from_raw(number.as_raw()))?, meaning))
        };
        MEANINGS.into_iter().map(listen).collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) -> Signalled {
        poll_fn(|context| {
            let received = self
                .0
                .iter_mut()
                .find_map(|(signal, meaning)| signal.poll_recv(context).is_ready().then_some(*meaning));
            received.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
