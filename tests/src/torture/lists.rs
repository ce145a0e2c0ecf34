//! Whoever administers the two lists: through the admin API and the command line, as people do.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use fedgate_tests::artifacts;
use fedgate_tests::control_plane::ADMIN_TOKEN;
use fedgate_tests::process::run;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::spawn_blocking;

use super::book::Book;
use super::calls::{FLICKERING, OUTSIDE};
use super::checker::CALL_WITHIN;
use super::facts::Wrong;
use super::fault::Side;
use super::timeline::{Known, Written};
use fedgate_tests::rng::Rng;

/// Longer than any fault that lets nobody know whether a write is done.
const PATIENCE: Duration = Duration::from_secs(15);

/// One backend's list.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) side: Side,
    url: String,
    agent: ureq::Agent,
}

// === impl List ===

impl List {
    pub(crate) fn new(side: Side, url: String) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false);
        Self { side, url, agent: agent.timeout_global(Some(PATIENCE)).build().into() }
    }

    /// Puts a domain on the list, or takes it off, and writes down what became of that.
    pub(crate) fn write(&self, book: &Book, domain: &str, listed: bool) -> Written {
        self.noted(book, domain, listed, || self.change(domain, listed))
    }

    /// The same through the command line.
    fn command(&self, book: &Book, domain: &str, listed: bool) -> Written {
        self.noted(book, domain, listed, || {
            let mut command = Command::new(artifacts::fedgate());
            let verb = if listed { "add" } else { "remove" };
            command.args(["domain", verb, domain]);
            command.env("FEDGATE_URL", &self.url).env("FEDGATE_TOKEN", ADMIN_TOKEN);
            // Why not is not said to programs.
            run(&mut command).map_or(Written::Unknown, |_| Written::Acknowledged)
        })
    }

    fn noted(&self, book: &Book, domain: &str, listed: bool, write: impl Fn() -> Written) -> Written {
        let from = book.now();
        let before = book.sent(self.side, domain, listed);
        let written = write();
        book.answered((self.side, domain), (listed, before), written);
        let took = book.now() - from;
        if took > CALL_WITHIN {
            book.wrong(
                Wrong::Hung,
                format!("a write to the list of {} took {took} ms", self.side.domain()),
            );
        }
        written
    }

    fn change(&self, domain: &str, listed: bool) -> Written {
        let (url, bearer) = (format!("{}/v1/domains/{domain}", self.url), bearer());
        let answer = if listed {
            self.agent.put(url).header("authorization", bearer).send_empty()
        } else {
            self.agent.delete(url).header("authorization", bearer).call()
        };
        match answer.map(|answer| answer.status().as_u16()) {
            Ok(200 | 201) if listed => Written::Acknowledged,
            Ok(204 | 404) if !listed => Written::Acknowledged,
            Ok(429 | 507) => Written::Refused,
            Ok(_) | Err(_) => Written::Unknown,
        }
    }

    /// All that is on it; nothing where nobody tells.
    pub(crate) fn read(&self) -> Option<Vec<String>> {
        let mut list = vec![];
        let mut after = String::new();
        loop {
            let url = format!("{}/v1/domains?limit=1000{after}", self.url);
            let mut answer = self.agent.get(url).header("authorization", bearer()).call().ok()?;
            let page: Value = answer.body_mut().read_json().ok()?;
            for domain in page["domains"].as_array()? {
                list.push(domain["domain"].as_str()?.to_owned());
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return Some(list),
            }
        }
    }

    /// Has domains come and go, until the runtime ends.
    pub(crate) fn keep_changing(self, runtime: &Runtime, book: &Arc<Book>, mut rng: Rng) {
        let book = Arc::clone(book);
        let outside = OUTSIDE.into_iter().filter(|(side, _)| *side == self.side);
        let domains: Vec<&str> =
            FLICKERING.into_iter().chain(outside.map(|(_, domain)| domain)).collect();
        runtime.spawn(async move {
            loop {
                let domain = domains[usize::try_from(rng.draw()).unwrap_or_default() % domains.len()];
                let (listed, typed) = (rng.coin(), rng.between(0, 8) == 0);
                let (list, with) = (self.clone(), Arc::clone(&book));
                // Of what nobody knows, nothing is said before the list was read.
                if book.known(self.side, domain) != Known::Either {
                    let write = move || {
                        if typed {
                            list.command(&with, domain, listed)
                        } else {
                            list.write(&with, domain, listed)
                        }
                    };
                    let _ = spawn_blocking(write).await;
                }
                tokio::time::sleep(Duration::from_millis(rng.between(600, 1400))).await;
            }
        });
    }
}

fn bearer() -> String {
    format!("Bearer {ADMIN_TOKEN}")
}
