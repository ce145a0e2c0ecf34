//! One DNS server, asked over UDP, and over TCP where its answer is too long for that.
//!
//! Each question has a socket of its own, so that to answer it one has to know its port and its id, and
//! speak from the server's address (RFC 5452 §4). It is sent again while nothing comes, and whatever
//! answers any of its copies will do.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::serialize::binary::BinEncodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::fit::{Fit, Refusal, fit};
use super::later;

/// The longest datagram that we say we take, in octets: one that is not fragmented on its way
/// (RFC 9715 §3.1).
const PAYLOAD: u16 = 1232;
/// The longest that we do take.
const DATAGRAM: usize = 4096;
/// For how long a server that does not take EDNS is asked without.
const WITHOUT_EDNS: Duration = Duration::from_secs(600);

/// A server, and what is known of it.
pub(super) struct Server {
    address: SocketAddr,
    /// Until when it is asked without EDNS.
    plain_until: Mutex<Option<Instant>>,
}

/// Why a server has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing came that answers the question; but perhaps something else.
    Silence(Option<&'static str>),
    /// It cannot be reached.
    Unreachable(String),
    /// It has no answer.
    Refusal(Refusal),
    /// Its answer is too long for UDP, and TCP came to this.
    OverTcp(Tcp),
    /// Something on our side.
    Ours(String),
}

/// What TCP came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tcp {
    /// Nothing: no connection, one that broke off, or one on which nothing came. The port, and the cause.
    Unreachable(u16, String),
    /// Only something else than an answer to the question.
    Foreign(&'static str),
    /// An answer that is cut short even so.
    Truncated,
    /// No answer by the server's own word.
    Refusal(Refusal),
}

/// A question as it is sent: with EDNS or without, each under an id of its own, so that it is known
/// which of the two is answered.
struct Copy {
    id: u16,
    edns: bool,
    octets: Vec<u8>,
}

// === impl Server ===

impl Server {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, plain_until: Mutex::new(None) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks until then; over UDP again after each `pause`. `proofs` asks for what DNSSEC needs.
    pub(super) async fn ask(
        &self,
        query: &Query,
        proofs: bool,
        pause: Duration,
        until: Instant,
    ) -> Result<Message, Trouble> {
        if let Some(message) = self.over_udp(query, proofs, pause, until).await? {
            return Ok(message);
        }
        let copy = Copy::new(query, proofs || self.takes_edns(), proofs)?;
        self.over_tcp(query, &copy, until).await.map_err(Trouble::OverTcp)
    }

    /// The answer, or none where it is too long for a datagram.
    async fn over_udp(
        &self,
        query: &Query,
        proofs: bool,
        pause: Duration,
        until: Instant,
    ) -> Result<Option<Message>, Trouble> {
        let socket = self.socket().await?;
        let mut copies = vec![Copy::new(query, proofs || self.takes_edns(), proofs)?];
        send(&socket, &copies).await?;
        let mut again = later(Instant::now(), pause);
        let mut foreign = None;
        let mut buffer = Vec::with_capacity(DATAGRAM);
        loop {
            buffer.clear();
            tokio::select! {
                received = socket.recv_buf(&mut buffer) => received.map_err(unreachable)?,
                () = sleep_until(until) => return Err(Trouble::Silence(foreign)),
                () = sleep_until(again) => {
                    again = later(again, pause);
                    // Some do not say that they do not take EDNS.
                    without_edns_too(&mut copies, query, proofs)?;
                    send(&socket, &copies).await?;
                    continue;
                }
            };
            let (edns, fit) = heard(&copies, query, &buffer);
            match fit {
                Fit::Foreign(what) => foreign = Some(what),
                Fit::Refusal(refusal) if edns && !proofs && refusal.may_be_for_edns() => {
                    if without_edns_too(&mut copies, query, proofs)? {
                        send(&socket, copies.get(1..).unwrap_or_default()).await?;
                    }
                }
                Fit::Refusal(refusal) => return Err(Trouble::Refusal(refusal)),
                Fit::Truncated => {
                    self.learn(edns, &copies);
                    return Ok(None);
                }
                Fit::Answer(message) => {
                    self.learn(edns, &copies);
                    return Ok(Some(message));
                }
            }
        }
    }

    /// A socket that hears this server only, on a port that the system chooses at random.
    async fn socket(&self) -> Result<UdpSocket, Trouble> {
        let any = match self.address {
            SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let ours = |error: io::Error| Trouble::Ours(error.to_string());
        let socket = UdpSocket::bind((any, 0)).await.map_err(ours)?;
        socket.connect(self.address).await.map_err(unreachable)?;
        Ok(socket)
    }

    async fn over_tcp(&self, query: &Query, copy: &Copy, until: Instant) -> Result<Message, Tcp> {
        let unreachable =
            |cause: &dyn fmt::Display| Tcp::Unreachable(self.address.port(), cause.to_string());
        let mut foreign = None;
        let answer = async {
            let mut stream =
                TcpStream::connect(self.address).await.map_err(|error| unreachable(&error))?;
            // RFC 1035 §4.2.2; in one write, as RFC 7766 §8 has it.
            let length = u16::try_from(copy.octets.len()).unwrap_or_default().to_be_bytes();
            let framed = [&length, copy.octets.as_slice()].concat();
            stream.write_all(&framed).await.map_err(|error| unreachable(&error))?;
            loop {
                let length = stream.read_u16().await.map_err(|error| unreachable(&error))?;
                let mut octets = vec![0; length.into()];
                stream.read_exact(&mut octets).await.map_err(|error| unreachable(&error))?;
                match fit(copy.id, query, &octets) {
                    Fit::Foreign(what) => foreign = Some(what),
                    Fit::Truncated => return Err(Tcp::Truncated),
                    Fit::Refusal(refusal) => return Err(Tcp::Refusal(refusal)),
                    Fit::Answer(message) => return Ok(message),
                }
            }
        };
        let in_time = timeout_at(until, answer).await;
        match (in_time, foreign) {
            (Ok(Ok(message)), _) => Ok(message),
            (Ok(Err(Tcp::Unreachable(..))) | Err(_), Some(foreign)) => Err(Tcp::Foreign(foreign)),
            (Ok(Err(tcp)), _) => Err(tcp),
            (Err(_), None) => Err(unreachable(&"nothing came back")),
        }
    }

    fn takes_edns(&self) -> bool {
        let plain_until = *self.plain_until.lock().unwrap_or_else(PoisonError::into_inner);
        plain_until.is_none_or(|until| until <= Instant::now())
    }

    /// Remembers whether the copy that was answered had EDNS, where one with it was sent.
    fn learn(&self, edns: bool, copies: &[Copy]) {
        if copies.iter().any(|copy| copy.edns) {
            let until = (!edns).then(|| later(Instant::now(), WITHOUT_EDNS));
            *self.plain_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
    }
}

/// Adds the copy without EDNS, where there is none yet and one will do. Whether it did.
fn without_edns_too(copies: &mut Vec<Copy>, query: &Query, proofs: bool) -> Result<bool, Trouble> {
    let missing = !proofs && copies.iter().all(|copy| copy.edns);
    if missing {
        copies.push(Copy::new(query, false, proofs)?);
    }
    Ok(missing)
}

async fn send(socket: &UdpSocket, copies: &[Copy]) -> Result<(), Trouble> {
    for copy in copies {
        socket.send(&copy.octets).await.map_err(unreachable)?;
    }
    Ok(())
}

/// What `octets` are to the copies, and whether the one that they answer had EDNS.
fn heard(copies: &[Copy], query: &Query, octets: &[u8]) -> (bool, Fit) {
    let mut heard = (false, Fit::Foreign("nothing"));
    for copy in copies {
        heard = (copy.edns, fit(copy.id, query, octets));
        if !matches!(heard.1, Fit::Foreign(_)) {
            break;
        }
    }
    heard
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn unreachable(error: io::Error) -> Trouble {
    Trouble::Unreachable(error.to_string())
}

// === impl Copy ===

impl Copy {
    fn new(query: &Query, edns: bool, proofs: bool) -> Result<Self, Trouble> {
        let random = getrandom::u32().map_err(|error| Trouble::Ours(error.to_string()))?;
        let [high, low, ..] = random.to_be_bytes();
        let mut message = Message::query();
        message.metadata.id = u16::from_be_bytes([high, low]);
        message.metadata.recursion_desired = true;
        // A resolver that validates is to pass on what it finds to be bogus: we look ourselves, and
        // from our own anchors (RFC 6840 §5.9).
        message.metadata.checking_disabled = proofs;
        message.add_query(query.clone());
        if edns {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD).set_dnssec_ok(proofs);
            message.set_edns(edns);
        }
        let octets = message.to_bytes().map_err(|error| Trouble::Ours(error.to_string()))?;
        Ok(Self { id: message.metadata.id, edns, octets })
    }
}

// === impl Trouble ===

impl Trouble {
    /// Whether the server said so itself.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refusal(_) | Self::OverTcp(Tcp::Refusal(_)))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence(None) => f.write_str("no answer over UDP in time"),
            Self::Silence(Some(foreign)) => write!(f, "no answer over UDP in time, but {foreign}"),
            Self::Unreachable(cause) => write!(f, "cannot be reached over UDP: {cause}"),
            Self::Refusal(refusal) => write!(f, "{refusal}, over UDP"),
            Self::OverTcp(tcp) => write!(f, "its answer is too long for UDP, and {tcp}"),
            Self::Ours(cause) => write!(f, "we could not ask: {cause}"),
        }
    }
}

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(port, cause) => write!(f, "TCP port {port} could not be reached: {cause}"),
            Self::Foreign(what) => write!(f, "over TCP nothing came but {what}"),
            Self::Truncated => f.write_str("over TCP it was truncated as well"),
            Self::Refusal(refusal) => write!(f, "over TCP came {refusal}"),
        }
    }
}
