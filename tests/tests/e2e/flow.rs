//! Requests that flow on open and on new connections while something happens to the gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fedgate_tests::World;
use fedgate_tests::caller::{Caller, Http2};
use fedgate_tests::process::eventually;
use tokio::task::JoinHandle;

use crate::claim::origin;

/// Four callers: the good one, whose requests are to pass, and one with another's certificate, whose
/// requests are not; each on a connection that it keeps, and on one for each request.
pub(crate) struct Flow {
    streams: Vec<Stream>,
    over: Arc<AtomicBool>,
}

struct Stream {
    answers: Arc<AtomicUsize>,
    task: JoinHandle<Tally>,
}

/// What became of a flow's requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Answers other than the one that is right.
    wrong: Vec<String>,
    /// Answers that are right.
    pub(crate) right: usize,
    /// Kept connections that ended before the answer.
    pub(crate) kept_lost: usize,
    /// New connections that could not be made, or ended before the answer.
    pub(crate) new_lost: usize,
}

#[derive(Clone, Copy)]
enum Connection {
    Kept,
    New,
}

// === impl Flow ===

impl Flow {
    /// Has requests for `a.com`, which only `infra.x.com` may speak for, flow until the end.
    pub(crate) fn start(world: &World) -> Self {
        let over = Arc::<AtomicBool>::default();
        let mut streams = vec![];
        for (name, certificate, expected) in [
            ("flow-permitted", "infra.x.com", (200, "")),
            ("flow-refused", "evil.example", (403, "authentication-failure")),
        ] {
            let caller = world.caller(&world.identity(&[certificate]));
            for connection in [Connection::Kept, Connection::New] {
                let answers = Arc::<AtomicUsize>::default();
                let (caller, over, counted) = (caller.clone(), Arc::clone(&over), Arc::clone(&answers));
                let task = async move {
                    call_until(&over, &counted, &caller, connection, name, expected).await
                };
                streams.push(Stream { answers, task: world.runtime().spawn(task) });
            }
        }
        Self { streams, over }
    }

    /// Waits until each caller has had some more answers.
    pub(crate) fn goes_on(&self) {
        for stream in &self.streams {
            let before = stream.answers.load(Ordering::Relaxed);
            eventually("requests are answered", || {
                (stream.answers.load(Ordering::Relaxed) >= before + 10).then_some(())
            });
        }
    }

    /// Ends it; panics if one request was decided wrongly.
    pub(crate) fn end(self, world: &World) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for stream in self.streams {
            let tally = world.run(stream.task).unwrap();
            sum.wrong.extend(tally.wrong);
            sum.kept_lost += tally.kept_lost;
            sum.new_lost += tally.new_lost;
            sum.right += tally.right;
        }
        assert_eq!(sum.wrong, [""; 0], "beside {} right ones", sum.right);
        assert!(!world.backend.saw("flow-refused"), "what is refused never reaches the backend");
        sum
    }
}

async fn call_until(
    over: &AtomicBool,
    answers: &AtomicUsize,
    caller: &Caller,
    kind: Connection,
    name: &str,
    (status, label): (u16, &str),
) -> Tally {
    let mut tally = Tally::default();
    let mut kept: Option<Http2> = None;
    while !over.load(Ordering::Relaxed) {
        let answer = async {
            let connection = match kept.take() {
                Some(connection) => connection,
                None => caller.http2().await?,
            };
            let answer = connection.call(name, &[origin("a.com")]).await?;
            Ok::<_, fedgate_tests::caller::CallError>((connection, answer))
        };
        match answer.await {
            Ok((connection, answer)) => {
                if (answer.status, answer.label().as_str()) == (status, label) {
                    tally.right += 1;
                } else {
                    let body = String::from_utf8_lossy(&answer.body);
                    tally.wrong.push(format!("{name}: {} {body}", answer.status));
                }
                answers.fetch_add(1, Ordering::Relaxed);
                kept = match kind {
                    Connection::Kept => Some(connection),
                    Connection::New => None,
                };
            }
            Err(_) => match kind {
                Connection::Kept => tally.kept_lost += 1,
                Connection::New => tally.new_lost += 1,
            },
        }
    }
    tally
}
