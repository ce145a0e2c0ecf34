//! The line between Envoy and the control plane, which a test can hold up or cut.

use std::net::SocketAddr;

use fedgate_tests::World;
use fedgate_tests::control_plane::VERDICTS_PORT;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What has Envoy ask the line, and not the control plane: an edit of its configuration.
pub(crate) const ASK_THE_LINE: (&str, &str) = ("port_value: 8601", "port_value: 8611");
const LINE_PORT: u16 = 8611;

/// Carries questions to the control plane, and its answers back.
pub(crate) struct Line(watch::Sender<State>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Flows,
    Holds,
    Cut,
}

// === impl Line ===

impl Line {
    /// Lays the line of a world that was made with [`ASK_THE_LINE`].
    pub(crate) fn lay(world: &World) -> Self {
        let (sender, state) = watch::channel(State::Flows);
        let listener = world.run(TcpListener::bind((world.ip(), LINE_PORT))).unwrap();
        let control_plane = SocketAddr::from((world.ip(), VERDICTS_PORT));
        world.runtime().spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, control_plane, state.clone()));
            }
        });
        Self(sender)
    }

    /// From now on questions arrive, and their answers are on the way.
    pub(crate) fn hold(&self) {
        self.0.send_replace(State::Holds);
    }

    /// Ends every connection, and each new one.
    pub(crate) fn cut(&self) {
        self.0.send_replace(State::Cut);
    }

    /// Delivers what was held, and all that follows.
    pub(crate) fn flow(&self) {
        self.0.send_replace(State::Flows);
    }
}

async fn carry(near: TcpStream, control_plane: SocketAddr, mut state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(control_plane).await else { return };
    let ((mut questions, to_near), (answers, mut to_far)) = (near.into_split(), far.into_split());
    let held = state.clone();
    // However one of them ends, the connection is over.
    tokio::select! {
        _ = io::copy(&mut questions, &mut to_far) => {}
        _ = deliver(answers, to_near, held) => {}
        _ = state.wait_for(|state| *state == State::Cut) => {}
    }
}

async fn deliver(
    mut answers: OwnedReadHalf,
    mut to_near: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    loop {
        let read = answers.read(&mut buffer).await?;
        // The sender lives as long as the test.
        let _ = state.wait_for(|state| *state != State::Holds).await;
        if read == 0 {
            return Ok(());
        }
        to_near.write_all(&buffer[..read]).await?;
    }
}
