//! All that is asked of one address, each on a connection of its own; nothing is judged here.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fedgate_policy::HostName;
use tokio::net::TcpStream;

use super::Question;
use super::dns::Place;
use crate::probe::{
    Agreed, Answer, Call, CallTrouble, ConnectTrouble, Groups, Handshake, Hello, Identity, Seen,
    TlsTrouble, Version, Versions, call, connect, handshake,
};

/// So many times what one step may take, a visit may take as a whole.
const STEPS: u32 = 4;
/// The domain in whose name a stranger calls, where we have none; it cannot be anybody's (RFC 6761).
const NOBODY: &str = "stranger.invalid";
/// What Wire's services ask each other first.
const PATH: &str = "/federation/brig/api-version";

/// What came of a visit.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) address: SocketAddr,
    /// How long TCP took.
    pub(super) connected: Result<Duration, ConnectTrouble>,
    /// What came after that.
    pub(super) talk: Option<Talk>,
}

/// What they do over TLS.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) seen: Seen,
    pub(super) agreed: Result<Agreed, TlsTrouble>,
    pub(super) took: Duration,
    /// Our call, where we have a certificate and a name, and they speak HTTP/2.
    pub(super) answer: Option<Result<Answer, CallTrouble>>,
    /// What others than we get; where it came so far.
    pub(super) others: Option<Others>,
}

/// What others than we get.
#[derive(Debug)]
pub(super) struct Others {
    /// Without a certificate.
    pub(super) nobody: Welcome,
    /// With one that they have signed themselves.
    pub(super) stranger: Welcome,
    /// Whether TLS 1.2 will do.
    pub(super) tls12: bool,
    /// Whether X25519MLKEM768 alone will do, and whether the older groups will.
    pub(super) post_quantum: bool,
    pub(super) classic: bool,
}

/// What came of a call that is to be refused.
#[derive(Debug)]
pub(super) enum Welcome {
    /// They ended the handshake.
    Handshake(TlsTrouble),
    /// They spoke.
    Call(Result<Answer, CallTrouble>),
    /// It could not be made.
    Untried(String),
}

/// Goes there.
pub(super) async fn visit(
    question: &Question<'_>,
    own_hosts: &[HostName],
    place: &Place,
    address: SocketAddr,
) -> Visit {
    let visitor = Visitor { question, own_hosts, place, address, begun: Instant::now() };
    match connect(address, question.patience).await {
        Ok(connected) => Visit {
            address,
            connected: Ok(connected.took),
            talk: Some(visitor.talk(connected.stream).await),
        },
        Err(trouble) => Visit { address, connected: Err(trouble), talk: None },
    }
}

struct Visitor<'a> {
    question: &'a Question<'a>,
    own_hosts: &'a [HostName],
    place: &'a Place,
    address: SocketAddr,
    begun: Instant,
}

// === impl Visitor ===

impl Visitor<'_> {
    async fn talk(&self, stream: TcpStream) -> Talk {
        let identity = self.question.identity;
        let Handshake { seen, session, took } =
            handshake(stream, self.hello(identity), self.left()).await;
        let (agreed, answer) = match session {
            Err(trouble) => (Err(trouble), None),
            Ok(session) => {
                let us = identity.and(self.question.own_domain).filter(|_| session.agreed.is_http2);
                let answer = match us {
                    Some(domain) => Some(self.call(session.stream, domain.as_str()).await),
                    None => None,
                };
                (Ok(session.agreed), answer)
            }
        };
        // Who has shown a certificate speaks TLS; of others, nothing more is to be learned.
        let others = if seen.chain.is_empty() { None } else { Some(self.others(&agreed).await) };
        Talk { seen, agreed, took, answer, others }
    }

    async fn others(&self, agreed: &Result<Agreed, TlsTrouble>) -> Others {
        let own = self.question.own_domain.map_or(NOBODY, |domain| domain.as_str());
        let name = self.own_hosts.first().map_or(own, HostName::as_str);
        let stranger = match Identity::stranger(name) {
            Ok(stranger) => self.welcome(Some(&stranger)).await,
            Err(error) => Welcome::Untried(error.to_string()),
        };
        let is_tls13 = agreed.as_ref().is_ok_and(|agreed| agreed.version == Version::Tls13);
        Others {
            nobody: self.welcome(None).await,
            stranger,
            tls12: !is_tls13 || self.takes(Versions::Tls12, Groups::All).await,
            post_quantum: is_tls13 && self.takes(Versions::Tls13, Groups::PostQuantum).await,
            classic: !is_tls13 || self.takes(Versions::Tls13, Groups::Classic).await,
        }
    }

    /// What somebody gets who calls in our name.
    async fn welcome(&self, identity: Option<&Identity>) -> Welcome {
        let stream = match connect(self.address, self.left()).await {
            Ok(connected) => connected.stream,
            Err(trouble) => return Welcome::Untried(format!("there was no connection: {trouble}")),
        };
        let Handshake { session, .. } = handshake(stream, self.hello(identity), self.left()).await;
        match session {
            Err(trouble) => Welcome::Handshake(trouble),
            Ok(session) if !session.agreed.is_http2 => {
                Welcome::Untried("they do not speak HTTP/2".to_owned())
            }
            Ok(session) => {
                let origin = self.question.own_domain.map_or(NOBODY, |domain| domain.as_str());
                Welcome::Call(self.call(session.stream, origin).await)
            }
        }
    }

    /// Whether a handshake comes to an end with these alone.
    async fn takes(&self, versions: Versions, groups: Groups) -> bool {
        let Ok(connected) = connect(self.address, self.left()).await else { return false };
        let hello = Hello { versions, groups, ..self.hello(self.question.identity) };
        handshake(connected.stream, hello, self.left()).await.session.is_ok()
    }

    async fn call(
        &self,
        stream: tokio_rustls::client::TlsStream<TcpStream>,
        origin: &str,
    ) -> Result<Answer, CallTrouble> {
        let (host, port) = self.place;
        let request = Call { host, port: *port, path: PATH, origins: &[origin], body: "[]" };
        call(stream, request, self.left()).await
    }

    fn hello<'a>(&'a self, identity: Option<&'a Identity>) -> Hello<'a> {
        Hello { host: &self.place.0, identity, versions: Versions::All, groups: Groups::All }
    }

    /// What is left of the time for a step, and of that for the whole.
    fn left(&self) -> Duration {
        let whole = self.question.patience.saturating_mul(STEPS);
        self.question.patience.min(whole.saturating_sub(self.begun.elapsed()))
    }
}
