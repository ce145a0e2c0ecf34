//! etcd, where several control planes share a store.
//!
//! One member is spoken to at a time; where it does not answer, or has no leader, the next one is. What is
//! asked is a linearizable read, or a transaction that compares before it writes: either may be asked again, of
//! another member, and comes to the same.

mod failure;
mod place;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, DeleteOptions, Error, GetOptions, KeyValue, PutOptions,
    Txn, TxnOp, TxnOpResponse,
};
use tokio::runtime::Handle;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::StoreError;
use failure::{Failure, failure};
pub use place::{NoPlace, Place};
pub use watch::{Event, Watch, WatchEnd};

/// How long one member has for an answer.
const ANSWER: Duration = Duration::from_secs(1);
/// How long members are asked, one after the other.
const PATIENCE: Duration = Duration::from_secs(4);
/// The pause after all of them have been asked.
const PAUSE: Duration = Duration::from_millis(50);
/// How often an idle connection is tried, and for how long.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// The longest answer that is read, in octets.
const LONGEST_ANSWER: usize = 64 << 20;
/// How many entries of some hundred octets a page has at least.
pub const PAGE: i64 = 1_000;
/// How many octets it has about, where items are short: for each page etcd counts all that is left, so that few are best.
const PAGE_OCTETS: usize = 4 << 20;
/// The most operations of one transaction, a few below etcd's own bound (`--max-txn-ops`, 128).
pub const MAX_OPERATIONS: usize = 120;
/// The most octets of one transaction, well below etcd's own bound (`--max-request-bytes`, 1.5 MiB).
pub const MAX_OCTETS: usize = 1 << 20;

/// A cluster, and our part of it.
#[derive(Clone)]
pub struct Etcd(Arc<Inner>);

struct Inner {
    place: Place,
    access: Access,
    runtime: Handle,
    member: Mutex<Member>,
}

/// Nobody gave an answer.
struct Unanswered {
    error: StoreError,
    /// Whether somebody may have done what he was asked.
    is_sent: bool,
}

/// The member that is spoken to.
struct Member {
    number: usize,
    /// Counts the changes of member.
    turn: u64,
    client: Option<Client>,
}

/// How we prove to the members who we are, and they to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The file with the authorities of the members' certificates.
    pub ca: Option<PathBuf>,
    /// The files with our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Our user, and the file with the password.
    pub user: Option<(String, PathBuf)>,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key, without our prefix.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The cluster's revision at its last change.
    pub changed_at: i64,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub enum Operation {
    /// This value under this key.
    Put(String, Vec<u8>),
    /// The same, until this lease ends.
    Lend(String, Vec<u8>, i64),
    /// Nothing under this key.
    Delete(String),
    /// Nothing from the first key up to before the other one.
    DeleteRange(String, String),
}

// === impl Etcd ===

impl Etcd {
    /// The store there; nobody is asked yet. Inside a runtime, whose threads then do the work.
    pub fn new(place: Place, access: Access) -> Self {
        let member = Mutex::new(Member { number: 0, turn: 0, client: None });
        Self(Arc::new(Inner { place, access, runtime: Handle::current(), member }))
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The runtime that does the work.
    pub fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Waits for the end of this, on a thread that may block.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(work)
    }

    /// What stands under a key, and the cluster's revision; a read that a majority has confirmed.
    pub async fn get(&self, key: &str) -> Result<(Option<Item>, i64), StoreError> {
        let full = self.full(key);
        let read = |mut client: Client| {
            let full = full.clone();
            async move { client.get(full, None).await }
        };
        let mut answer = self.ask(read).await?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let item = answer.take_kvs().pop().map(|item| self.item(item)).transpose()?;
        Ok((item, revision))
    }

    /// All from the first key up to before the other one, in the order of their keys: as it was at that revision of
    /// the cluster, or as it is now where that is 0. Returns the revision, too.
    pub async fn range(&self, from: &str, to: &str, at: i64) -> Result<(Vec<Item>, i64), StoreError> {
        let mut items = Vec::new();
        let take = |item| {
            items.push(item);
            Ok(())
        };
        let revision = self.each(from, to, at, PAGE, take).await?;
        Ok((items, revision))
    }

    /// The same, one after the other, so that there are never more of them than in a page: that is of this length, or
    /// longer where items are short.
    pub async fn each(
        &self,
        from: &str,
        to: &str,
        at: i64,
        least: i64,
        mut take: impl FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<i64, StoreError> {
        let (mut revision, mut from) = (at, self.full(from));
        let to = self.full(to);
        let (mut page, mut longest) = (least, i64::MAX);
        loop {
            let read = |client: Client| {
                let options = GetOptions::new().with_range(to.clone());
                let options = options.with_limit(page).with_revision(revision);
                let from = from.clone();
                let mut kv = client.kv_client().max_decoding_message_size(LONGEST_ANSWER);
                async move { kv.get(from, Some(options)).await }
            };
            let mut answer = match self.ask(read).await {
                // The items that follow are longer than those before.
                Err(StoreError::Failed(_)) if page > least => {
                    (page, longest) = (least, least);
                    continue;
                }
                answer => answer?,
            };
            if revision == 0 {
                revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            let more = answer.more();
            let found = answer.take_kvs();
            // The next key after the last one.
            let next = found.last().map(|last| [last.key(), &b"\0"[..]].concat());
            page = next_page(&found).max(least).min(longest);
            for item in found {
                take(self.item(item)?)?;
            }
            match next.map(String::from_utf8) {
                Some(Ok(next)) if more => from = next,
                _ => return Ok(revision),
            }
        }
    }

    /// The first from the first key up to before the other one.
    pub async fn first(&self, from: &str, to: &str) -> Result<Option<Item>, StoreError> {
        let (from, to) = (self.full(from), self.full(to));
        let read = |mut client: Client| {
            let options = GetOptions::new().with_range(to.clone()).with_limit(1);
            let from = from.clone();
            async move { client.get(from, Some(options)).await }
        };
        self.ask(read).await?.take_kvs().pop().map(|item| self.item(item)).transpose()
    }

    /// Writes all of this, or nothing: where each of these keys was changed last at that revision of the cluster, 0
    /// being never. Returns the revision; none where one was changed at another. [`StoreError::Unknown`] where it was
    /// sent, and nobody answered.
    pub async fn commit(
        &self,
        when: &[(&str, i64)],
        operations: &[Operation],
    ) -> Result<Option<i64>, StoreError> {
        Ok(self.commit_or_read(when, operations, &[]).await?.ok())
    }

    /// The same; where one was changed at another, what stands under these keys at that moment.
    pub async fn commit_or_read(
        &self,
        when: &[(&str, i64)],
        operations: &[Operation],
        keys: &[&str],
    ) -> Result<Result<i64, Vec<Item>>, StoreError> {
        let compare = |(key, at): &(&str, i64)| {
            let key = self.full(key);
            // A key that is not there has never been changed, and none that was deleted counts as one that was.
            Compare::mod_revision(key, CompareOp::Equal, *at)
        };
        let when: Vec<_> = when.iter().map(compare).collect();
        let operations: Vec<_> = operations.iter().map(|it| self.operation(it)).collect();
        let reads: Vec<_> = keys.iter().map(|key| TxnOp::get(self.full(key), None)).collect();
        let write = |mut client: Client| {
            let transaction = Txn::new().when(when.clone()).and_then(operations.clone());
            let transaction = transaction.or_else(reads.clone());
            async move { client.txn(transaction).await }
        };
        let answer = self.try_each(write).await.map_err(|Unanswered { error, is_sent }| {
            // It may have been done, or may yet be.
            let is_open = is_sent && matches!(error, StoreError::Away { .. });
            if is_open { StoreError::Unknown } else { error }
        })?;
        if answer.succeeded() {
            return Ok(Ok(answer.header().map_or(0, etcd_client::ResponseHeader::revision)));
        }
        let mut items = Vec::new();
        for read in answer.op_responses() {
            if let TxnOpResponse::Get(mut read) = read {
                for item in read.take_kvs() {
                    items.push(self.item(item)?);
                }
            }
        }
        Ok(Err(items))
    }

    /// A lease that ends after that many seconds.
    pub async fn lease(&self, seconds: i64) -> Result<i64, StoreError> {
        let grant = |mut client: Client| async move { client.lease_grant(seconds, None).await };
        Ok(self.ask(grant).await?.id())
    }

    /// How many octets the member has on its disk.
    pub async fn octets(&self) -> Result<u64, StoreError> {
        let status = self.ask(|mut client: Client| async move { client.status().await }).await?;
        Ok(u64::try_from(status.db_size()).unwrap_or_default())
    }

    /// What happens to keys that begin with this, from that revision of the cluster on.
    pub async fn watch(&self, beginning: &str, from: i64) -> Result<Watch, StoreError> {
        let (client, turn) = self.client().await.map_err(|failure| failure.error(self.place()))?;
        let prefix = self.full("").len();
        let opened =
            tokio::time::timeout(ANSWER, Watch::open(client, self.full(beginning), prefix, turn, from));
        let failed = match opened.await {
            Ok(Ok(watch)) => return Ok(watch),
            Ok(Err(error)) => failure(&error),
            Err(_) => Failure::Away("no watch in time".to_owned()),
        };
        self.leave(turn);
        Err(failed.error(self.place()))
    }

    /// Has the next member asked from now on, if this watch is of the one that is.
    pub fn leave_after(&self, watch: &Watch) {
        self.leave(watch.turn());
    }

    /// Asks one member after the other, until one answers.
    async fn ask<T, F>(&self, act: impl Fn(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.try_each(act).await.map_err(|unanswered| unanswered.error)
    }

    async fn try_each<T, F>(&self, act: impl Fn(Client) -> F) -> Result<T, Unanswered>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let begun = Instant::now();
        let (mut asked, mut is_sent) = (0_usize, false);
        loop {
            let (turn, failed) = match self.client().await {
                Ok((client, turn)) => match tokio::time::timeout(ANSWER, act(client)).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) => {
                        is_sent |= failure::may_be_done(&error);
                        (turn, failure(&error))
                    }
                    Err(_) => {
                        is_sent = true;
                        (turn, Failure::Away(format!("no answer after {} ms", ANSWER.as_millis())))
                    }
                },
                Err(failed) => (self.member().turn, failed),
            };
            asked = asked.saturating_add(1);
            let is_over = begun.elapsed() >= PATIENCE;
            if is_over || !matches!(failed, Failure::Away(_)) {
                return Err(Unanswered { error: failed.error(self.place()), is_sent });
            }
            self.leave(turn);
            if asked.is_multiple_of(self.place().members.len().max(1)) {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// A connection to the member that is spoken to, and its turn.
    async fn client(&self) -> Result<(Client, u64), Failure> {
        let (number, turn) = {
            let member = self.member();
            if let Some(client) = &member.client {
                return Ok((client.clone(), member.turn));
            }
            (member.number, member.turn)
        };
        let connected = tokio::time::timeout(ANSWER, self.connect(number)).await;
        let connected =
            connected.unwrap_or_else(|_| Err(Failure::Away("no connection in time".to_owned())));
        let mut member = self.member();
        match connected {
            Ok(client) => {
                if member.turn == turn {
                    member.client = Some(client.clone());
                }
                Ok((client, turn))
            }
            Err(failure) => {
                drop(member);
                self.leave(turn);
                Err(failure)
            }
        }
    }

    async fn connect(&self, number: usize) -> Result<Client, Failure> {
        let Inner { place, access, .. } = &*self.0;
        let host = place.members.get(number).map(String::as_str).unwrap_or_default();
        let scheme = if place.is_secure { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{host}"))
            .map_err(|error| Failure::Final(error.to_string()))?
            .connect_timeout(ANSWER)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        if place.is_secure {
            let tls = access.tls().map_err(Failure::Final)?;
            endpoint = endpoint.tls_config(tls).map_err(|error| Failure::Final(error.to_string()))?;
        }
        let channel =
            endpoint.connect().await.map_err(|error| Failure::Away(failure::causes(&error)))?;
        // Without a leader a member answers at once that it has none.
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some((user, password)) = &access.user {
            let password = read(password).map_err(Failure::Final)?;
            options = options.with_user(user, password.trim_end()).with_auto_token_refresh(true);
        }
        let channel = etcd_client::Channel::Tonic(channel);
        Client::from_channel(channel, Some(options)).await.map_err(|error| failure(&error))
    }

    /// The next member has its turn, if this one still has.
    fn leave(&self, turn: u64) {
        let members = self.place().members.len().max(1);
        let mut member = self.member();
        if member.turn == turn {
            let number = member.number.saturating_add(1).checked_rem(members).unwrap_or(0);
            *member = Member { number, turn: turn.saturating_add(1), client: None };
        }
    }

    fn member(&self) -> MutexGuard<'_, Member> {
        self.0.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self, key: &str) -> String {
        format!("{}/{key}", self.place().prefix)
    }

    fn item(&self, item: KeyValue) -> Result<Item, StoreError> {
        let changed_at = item.mod_revision();
        let (key, value) = item.into_key_value();
        let key = watch::below(&key, self.full("").len())?;
        Ok(Item { key, value, changed_at })
    }

    fn operation(&self, operation: &Operation) -> TxnOp {
        match operation {
            Operation::Put(key, value) => TxnOp::put(self.full(key), value.clone(), None),
            Operation::Lend(key, value, lease) => {
                let options = PutOptions::new().with_lease(*lease);
                TxnOp::put(self.full(key), value.clone(), Some(options))
            }
            Operation::Delete(key) => TxnOp::delete(self.full(key), None),
            Operation::DeleteRange(from, to) => {
                let options = DeleteOptions::new().with_range(self.full(to));
                TxnOp::delete(self.full(from), Some(options))
            }
        }
    }
}

/// How many items the next page is to have, if they are like these.
fn next_page(found: &[KeyValue]) -> i64 {
    let octets: usize =
        found.iter().map(|item| item.key().len().saturating_add(item.value().len())).sum();
    let fit = PAGE_OCTETS.saturating_mul(found.len()).checked_div(octets).unwrap_or_default();
    i64::try_from(fit).unwrap_or(i64::MAX)
}

// === impl Access ===

impl Access {
    /// Whether its files can be read. Blocks.
    pub fn look(&self) -> Result<(), StoreError> {
        let Self { ca, identity, user } = self;
        let identity = identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        let password = user.iter().map(|(_, password)| password);
        for file in ca.iter().chain(identity).chain(password) {
            read(file).map_err(StoreError::Failed)?;
        }
        Ok(())
    }

    /// Reads the files anew, so that certificates may be renewed meanwhile.
    fn tls(&self) -> Result<ClientTlsConfig, String> {
        let mut tls = ClientTlsConfig::new();
        if let Some(ca) = &self.ca {
            tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
        }
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(tls)
    }
}

fn read(path: &PathBuf) -> Result<String, String> {
    std::fs::read_to_string(path)
        .map_err(|error| format!("{}: {}", path.display(), crate::rights::unreadable(path, &error)))
}

// === impl Operation ===

impl Operation {
    /// What it takes of a transaction's room, in octets, roughly.
    pub fn octets(&self) -> usize {
        const REST: usize = 64;
        let inner = match self {
            Self::Put(key, value) | Self::Lend(key, value, _) => key.len().saturating_add(value.len()),
            Self::Delete(key) => key.len(),
            Self::DeleteRange(from, to) => from.len().saturating_add(to.len()),
        };
        inner.saturating_add(REST)
    }
}
