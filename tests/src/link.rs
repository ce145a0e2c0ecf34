//! The network between two programs: passes on what they say, or makes trouble.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::rng::Rng;

/// How the network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It passes on what is said.
    #[default]
    Pass,
    /// Each piece arrives this much later.
    Slow(Duration),
    /// What the server says is replaced by octets without meaning; connections on which that was so end with it.
    Garbage(u64),
    /// Nothing arrives until this is over.
    Hang,
    /// Connections end, and so do new ones.
    Cut,
}

/// One link. All its connections end with the runtime.
#[derive(Clone, Debug)]
pub struct Link(watch::Sender<Mode>);

/// Sees the calls that a service receives: the eight digits after [`CALL`] in each path.
pub type Tap = Arc<dyn Fn(u64) + Send + Sync>;

/// How the name of each call's remote procedure begins.
pub const CALL: &str = "call-";
const DIGITS: usize = 8;
/// How long a DNS server is waited for.
const DNS_PATIENCE: Duration = Duration::from_secs(10);

type Watch = watch::Receiver<Mode>;

// === impl Link ===

impl Link {
    /// Passes on connections from here to there.
    pub fn tcp(runtime: &Runtime, here: SocketAddr, there: SocketAddr, tap: Option<Tap>) -> Self {
        let link = Self(watch::Sender::default());
        link.accept(runtime, here, there, tap);
        link
    }

    /// Passes on datagrams, each of which has one answer, and connections.
    pub fn dns(runtime: &Runtime, here: SocketAddr, there: SocketAddr) -> Self {
        let link = Self(watch::Sender::default());
        link.accept(runtime, here, there, None);
        let socket = runtime.block_on(UdpSocket::bind(here)).expect("a free port for a link");
        runtime.spawn(datagrams(Arc::new(socket), there, link.0.subscribe()));
        link
    }

    /// Makes it so from now on.
    pub fn set(&self, mode: Mode) {
        self.0.send_replace(mode);
    }

    fn accept(&self, runtime: &Runtime, here: SocketAddr, there: SocketAddr, tap: Option<Tap>) {
        let listener = runtime.block_on(TcpListener::bind(here)).expect("a free port for a link");
        let mode = self.0.subscribe();
        runtime.spawn(async move {
            // An error is that of a connection which has gone already, or of descriptors that are short.
            loop {
                if let Ok((client, _)) = listener.accept().await
                    && *mode.borrow() != Mode::Cut
                {
                    tokio::spawn(connection(client, there, mode.clone(), tap.clone()));
                }
            }
        });
    }
}

async fn connection(client: TcpStream, there: SocketAddr, mode: Watch, tap: Option<Tap>) {
    let Ok(server) = TcpStream::connect(there).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let up = Pump { mode: mode.clone(), spoils: None, taps: tap.map(|tap| (tap, vec![])) };
    let down = Pump { mode, spoils: Some(Rng::new(0)), taps: None };
    // Each way ends when its end has come; where a connection broke, both do.
    let _ = tokio::try_join!(up.run(from_client, to_server), down.run(from_server, to_client));
}

/// One way of a connection.
struct Pump {
    mode: Watch,
    spoils: Option<Rng>,
    taps: Option<(Tap, Vec<u8>)>,
}

// === impl Pump ===

impl Pump {
    async fn run(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; 16 << 10];
        let (mut ends, mut spoiled) = (self.mode.clone(), false);
        loop {
            // Noise may be the beginning of something that never ends.
            let is_over = |mode| mode == Mode::Cut || spoiled && !matches!(mode, Mode::Garbage(_));
            let read = tokio::select! {
                read = from.read(&mut buffer) => read?,
                () = is(&mut ends, is_over) => return cut(),
            };
            if let Some((tap, rest)) = &mut self.taps {
                rest.extend_from_slice(&buffer[..read]);
                listen(tap, rest);
            }
            is(&mut self.mode, |mode| mode != Mode::Hang).await;
            if read == 0 {
                return to.shutdown().await;
            }
            let octets = &mut buffer[..read];
            let mode = *self.mode.borrow();
            match mode {
                Mode::Pass | Mode::Hang => {}
                Mode::Slow(delay) => tokio::time::sleep(delay).await,
                Mode::Cut => return cut(),
                Mode::Garbage(seed) => {
                    if let Some(rng) = &mut self.spoils {
                        *rng = Rng::new(seed ^ rng.draw());
                        rng.fill(octets);
                        spoiled = true;
                    }
                }
            }
            tokio::select! {
                written = to.write_all(octets) => written?,
                () = is(&mut ends, |mode| mode == Mode::Cut) => return cut(),
            }
        }
    }
}

/// Waits until the mode is one of these.
async fn is(mode: &mut Watch, wanted: impl Fn(Mode) -> bool) {
    if mode.wait_for(|mode| wanted(*mode)).await.is_err() {
        // The link is gone: it stays as it is, until the runtime goes as well.
        std::future::pending::<()>().await;
    }
}

fn cut() -> io::Result<()> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// Tells of the calls in what came, and keeps what may be the beginning of another.
fn listen(tap: &Tap, rest: &mut Vec<u8>) {
    let marker = CALL.as_bytes();
    let length = marker.len() + DIGITS;
    while let Some(start) = rest.windows(length).position(|window| window.starts_with(marker)) {
        let digits = rest.get(start + marker.len()..start + length).unwrap_or_default();
        if let Some(id) = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()) {
            tap(id);
        }
        rest.drain(..start + length);
    }
    let done = rest.len().saturating_sub(length - 1);
    rest.drain(..done);
}

async fn datagrams(socket: Arc<UdpSocket>, there: SocketAddr, mode: Watch) {
    let mut buffer = vec![0; 4096];
    loop {
        // An error is what became of an earlier answer, and no concern of this one.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let question = buffer[..length].to_vec();
        let (socket, mode) = (Arc::clone(&socket), mode.clone());
        tokio::spawn(async move {
            if let Some(answer) = answer(&question, there, mode).await {
                // Whoever asked may have gone.
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

/// What comes back of a question; nothing where it is lost, on its way there or back.
async fn answer(question: &[u8], there: SocketAddr, mode: Watch) -> Option<Vec<u8>> {
    let now = || *mode.borrow();
    if matches!(now(), Mode::Hang | Mode::Cut) {
        return None;
    }
    let upstream = UdpSocket::bind((there.ip(), 0)).await.ok()?;
    upstream.connect(there).await.ok()?;
    upstream.send(question).await.ok()?;
    let mut buffer = vec![0; 4096];
    let length = tokio::time::timeout(DNS_PATIENCE, upstream.recv(&mut buffer)).await.ok()?.ok()?;
    buffer.truncate(length);
    match now() {
        Mode::Pass => {}
        Mode::Slow(delay) => tokio::time::sleep(delay).await,
        Mode::Hang | Mode::Cut => return None,
        Mode::Garbage(seed) => {
            let id = u64::from(u16::from_be_bytes([*question.first()?, *question.get(1)?]));
            let mut rng = Rng::new(seed ^ id);
            // Half of it seems to be an answer to this very question.
            let head = if rng.coin() { 4.min(length) } else { 0 };
            rng.fill(&mut buffer[head..]);
        }
    }
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crate::address::Address;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(200);
    const PATIENCE: Duration = Duration::from_secs(30);

    /// What comes back of a word in this time; nothing, or the end.
    async fn said(stream: &mut TcpStream, time: Duration) -> Result<Vec<u8>, &'static str> {
        stream.write_all(b"a word").await.map_err(|_| "broken")?;
        let mut answer = vec![0; 6];
        match tokio::time::timeout(time, stream.read_exact(&mut answer)).await {
            Err(_) => Err("nothing"),
            Ok(Err(_)) => Err("broken"),
            Ok(Ok(_)) => Ok(answer),
        }
    }

    #[test]
    fn a_link_does_what_its_mode_says_to_connections_old_and_new() {
        let runtime = Runtime::new().unwrap();
        let home = Address::claim();
        let [here, there] = [20_001, 20_002].map(|port| SocketAddr::from((home.ip(), port)));
        let echo = runtime.block_on(TcpListener::bind(there)).unwrap();
        runtime.spawn(async move {
            while let Ok((stream, _)) = echo.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        let link = Link::tcp(&runtime, here, there, None);
        runtime.block_on(async {
            let mut old = TcpStream::connect(here).await.unwrap();
            assert_eq!(said(&mut old, PATIENCE).await.unwrap(), b"a word");
            link.set(Mode::Garbage(7));
            let mut new = TcpStream::connect(here).await.unwrap();
            assert_ne!(said(&mut old, PATIENCE).await.unwrap(), b"a word");
            assert_ne!(said(&mut new, PATIENCE).await.unwrap(), b"a word");
            link.set(Mode::Hang);
            assert_eq!(said(&mut old, PATIENCE).await, Err("broken"), "its ends no longer agree");
            let mut old = TcpStream::connect(here).await.unwrap();
            assert_eq!(said(&mut old, MOMENT).await, Err("nothing"));
            link.set(Mode::Pass);
            let mut late = [0; 6];
            old.read_exact(&mut late).await.unwrap();
            assert_eq!(&late, b"a word", "it came when it could");
            link.set(Mode::Cut);
            let mut new = TcpStream::connect(here).await.unwrap();
            assert_eq!(said(&mut old, PATIENCE).await, Err("broken"));
            assert_eq!(said(&mut new, PATIENCE).await, Err("broken"));
        });
    }

    #[test]
    fn a_tap_sees_each_call_once_wherever_the_pieces_begin() {
        let text = b"POST /federation/brig/call-00000042 HTTP/1.1\r\n\r\nPOST /call-00000043 HTTP/1.1";
        for cut in 0..text.len() {
            let seen = Arc::new(Mutex::new(vec![]));
            let tap: Tap = {
                let seen = Arc::clone(&seen);
                Arc::new(move |id| seen.lock().unwrap().push(id))
            };
            let mut rest = vec![];
            for piece in [&text[..cut], &text[cut..]] {
                rest.extend_from_slice(piece);
                listen(&tap, &mut rest);
            }
            assert_eq!(*seen.lock().unwrap(), [42, 43], "cut at {cut}");
        }
    }
}
