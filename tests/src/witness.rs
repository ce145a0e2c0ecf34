//! Each answer of a filter's is held against what its control plane says of the same request. Callers do so for
//! whatever they are answered; a test that cannot have it says so, and why (`unexplained`).

use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use crate::caller::Caller;
use crate::control_plane::VIEWER_TOKEN;
use crate::explain::{Question, difference, inquiry};
use crate::http2::{Answer, CallError, Header};
use crate::local;
use crate::pki::Identity;
use crate::process::pause;

/// How long the two may take to agree: what is known may change between the one answer and the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The label of a certificate that has expired.
const EXPIRED: &str = "certificate-expired";

/// What is called when the filter is asked again: no procedure that a test looks for.
const AGAIN: &str = "asked-again";

/// How many answers disagreed at first, in this run: a worker that is wrong now and then shows here.
static DISAGREED: AtomicUsize = AtomicUsize::new(0);

/// A control plane that can be asked what it says of a request.
#[derive(Clone, Debug)]
pub struct Witness {
    url: String,
    /// Whether it runs, and is not frozen, as far as its owner knows.
    present: Arc<AtomicBool>,
    compared: Arc<AtomicUsize>,
}

/// A witness beside one of Envoy's doors.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    witness: Witness,
    door: Door,
}

/// Where the filter is asked again.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// The ingress, over HTTP/1.1.
    Http1(Caller),
    /// The ingress, over HTTP/2.
    Http2(Caller),
    /// The egress.
    Egress(SocketAddr),
}

// === impl Witness ===

impl Witness {
    /// The control plane whose admin API is at `url`; nobody is asked while it is away, as at first.
    pub(crate) fn new(url: String) -> Self {
        Self { url, present: Arc::default(), compared: Arc::default() }
    }

    pub(crate) fn set_present(&self, is_present: bool) {
        self.present.store(is_present, Ordering::Relaxed);
    }

    fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }

    /// How many answers were compared with what it says.
    pub fn compared(&self) -> usize {
        self.compared.load(Ordering::Relaxed)
    }

    pub(crate) fn beside(self, door: Door) -> Arc<Beside> {
        Arc::new(Beside { witness: self, door })
    }

    /// How the answer differs from what it says, if it does.
    async fn difference(&self, asked: &Asked, answer: Answer) -> Option<String> {
        let (witness, asked) = (self.clone(), asked.clone());
        let compare = move || {
            let headers = asked.headers();
            let deadline = Instant::now() + PATIENCE;
            loop {
                match difference(&witness.url, VIEWER_TOKEN, asked.question(&headers), &answer) {
                    Ok(difference) => {
                        witness.compared.fetch_add(1, Ordering::Relaxed);
                        return difference;
                    }
                    // It may have gone just now.
                    Err(_) if !witness.is_present() => return None,
                    Err(error) => assert!(Instant::now() < deadline, "{error}"),
                }
                pause();
            }
        };
        spawn_blocking(compare).await.expect("a comparison ends")
    }
}

// === impl Beside ===

/// A question that outlives its asker.
#[derive(Clone)]
struct Asked {
    identity: Option<Identity>,
    is_untrusted: bool,
    headers: Vec<(String, Vec<u8>)>,
    /// Of a call of our own services.
    path: Option<String>,
}

impl Asked {
    /// Whether the certificate's validity is over.
    fn has_expired(&self) -> bool {
        self.identity.as_ref().is_some_and(Identity::has_expired)
    }

    fn headers(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
    }

    fn question<'a>(&'a self, headers: &'a [Header<'a>]) -> Question<'a> {
        match &self.path {
            Some(path) => Question::Outgoing(path),
            None => match &self.identity {
                Some(identity) if self.is_untrusted => Question::Untrusted(identity, headers),
                identity => Question::Incoming(identity.as_ref(), headers),
            },
        }
    }
}

impl Beside {
    /// Compares an answer of the filter's. Where the two differ, the filter is asked anew until they agree, because it
    /// may not have heard yet what has changed; and patience ends.
    pub(crate) fn confirm<'a>(
        &'a self,
        path: &'a str,
        headers: &'a [Header<'a>],
        answer: &'a Answer,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let (identity, is_untrusted, path) = match &self.door {
                Door::Http1(caller) | Door::Http2(caller) => {
                    (caller.identity().cloned(), caller.is_untrusted(), None)
                }
                Door::Egress(_) => (None, false, Some(path.to_owned())),
            };
            let owned = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
            let asked = Asked { identity, is_untrusted, headers: owned.collect(), path };
            let deadline = Instant::now() + PATIENCE;
            let mut answer = answer.clone();
            let mut has_disagreed = false;
            while self.witness.is_present() && inquiry(asked.question(headers), &answer).is_some() {
                let Some(difference) = self.witness.difference(&asked, answer).await else { return };
                if !has_disagreed {
                    has_disagreed = true;
                    let count = DISAGREED.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                    let difference = difference.lines().next().unwrap_or_default();
                    // Past what a test that passes hides. That nobody reads it is no failure.
                    let _ = writeln!(
                        std::io::stderr(),
                        "explain: {count} first answers of this run disagreed; now: {difference}"
                    );
                }
                assert!(Instant::now() < deadline, "{difference}");
                spawn_blocking(pause).await.expect("a pause ends");
                match self.again(&asked, headers).await {
                    Ok(next) => answer = next,
                    // Nobody decides any more: it has expired, by the clock of here or the one that a test has set.
                    Err(_) if asked.has_expired() || difference.contains(EXPIRED) => return,
                    Err(error) => panic!("{difference}, and when it was asked again: {}", error.0),
                }
            }
        })
    }

    async fn again(&self, asked: &Asked, headers: &[Header<'_>]) -> Result<Answer, CallError> {
        const UNCOMPARED: &str = "it is this answer that is compared";
        match &self.door {
            Door::Http1(caller) => {
                caller.clone().unexplained(UNCOMPARED).http1().await?.call(AGAIN, headers).await
            }
            Door::Http2(caller) => caller.clone().unexplained(UNCOMPARED).call(AGAIN, headers).await,
            Door::Egress(egress) => {
                let path = asked.path.as_deref().unwrap_or_default();
                let own = path.rsplit_once('/').map_or(path, |(own, _)| own);
                let connection = local::connect(*egress, None).await?;
                connection.request("POST", &format!("{own}/{AGAIN}"), headers).await
            }
        }
    }
}
