//! TCP.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection, and how long it took.
#[derive(Debug)]
pub struct Connected {
    /// Where they are spoken to.
    pub stream: TcpStream,
    /// One round trip.
    pub took: Duration,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectTrouble {
    /// This machine has no way there, and has asked nobody: no IPv6, for one.
    #[error("this machine has no way there: {0}")]
    NoWay(String),
    /// Something on the way, or the machine itself, says no: why.
    #[error("{0}")]
    Refused(String),
    /// Nothing came back for so long.
    #[error("nothing came back within {0:?}")]
    Silent(Duration),
}

/// Connects, within `patience`.
pub async fn connect(address: SocketAddr, patience: Duration) -> Result<Connected, ConnectTrouble> {
    let begun = Instant::now();
    match timeout(patience, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            // What is sent next waits for nothing (Nagle); without it, it is only later.
            let _ = stream.set_nodelay(true);
            Ok(Connected { stream, took: begun.elapsed() })
        }
        Ok(Err(error)) => Err(trouble(&error)),
        Err(_) => Err(ConnectTrouble::Silent(patience)),
    }
}

fn trouble(error: &io::Error) -> ConnectTrouble {
    let ours = [
        io::ErrorKind::NetworkUnreachable,
        io::ErrorKind::AddrNotAvailable,
        io::ErrorKind::Unsupported,
        io::ErrorKind::PermissionDenied,
    ];
    if ours.contains(&error.kind()) {
        ConnectTrouble::NoWay(error.to_string())
    } else {
        ConnectTrouble::Refused(error.to_string())
    }
}
