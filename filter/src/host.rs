//! Every call to Envoy, in bytes-safe and panic-free form.
//!
//! The SDK's methods on `Context` unwrap what the host answers, and its text getters panic on a
//! header that is not UTF-8: one byte from the network would kill the VM. Here a fact that the
//! host cannot give is absent, and absence is refused further up.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fedgate_policy::{RequestId, Target, UnixTime, legible};
use proxy_wasm::hostcalls;
pub(crate) use proxy_wasm::types::Status;
use proxy_wasm::types::{BufferType, MapType, MetricType};

/// The header that carries the backend domain; in lower case, as Envoy keeps headers.
const ORIGIN_HEADER: &str = "wire-origin-domain";
/// A certificate in a header: for Wire's federator the ingress's word, so never the client's.
const CERTIFICATE_HEADER: &str = "x-ssl-certificate";
/// Filter state of a connection on which something was permitted; of a connection, not of a request.
const ADMITTED: &str = "fedgate_admitted";
/// The most characters of a text for the access log.
const MOST_NOTED: usize = 1000;

/// The host that the control plane is asked as; it does not look at it.
const AUTHORITY: &str = "fedgate";

/// A header's name, in lower case, and its value.
pub(crate) type Header = (String, Vec<u8>);

/// A moment of the clock that only goes on, by which everything is due, whatever becomes of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Now(Duration);

// === impl Now ===

impl Now {
    /// A moment `since_epoch` after that clock's beginning.
    pub(crate) fn from_epoch(since_epoch: Duration) -> Self {
        Self(since_epoch)
    }

    /// The moment `life` later.
    pub(crate) fn after(self, life: Duration) -> Self {
        Self(self.0.saturating_add(life))
    }

    /// The moment `age` earlier.
    pub(crate) fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub(age))
    }

    /// The time from `earlier` until now.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// What the wall clock said when it was last read. That is what certificates are judged by, and nothing
/// else; it is read with each tick, and not for each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    said: Duration,
    at: Now,
}

// === impl WallClock ===

impl WallClock {
    /// A wall clock that says, at a moment, that this much time has passed since 1970.
    pub(crate) fn new(said: Duration, at: Now) -> Self {
        Self { said, at }
    }

    /// What it says at `now`, unless it has been set since.
    pub(crate) fn unix(self, now: Now) -> UnixTime {
        UnixTime(i64::try_from(self.since_1970(now).as_secs()).unwrap_or(i64::MAX))
    }

    /// The same, in finer parts.
    pub(crate) fn since_1970(self, now: Now) -> Duration {
        self.said.saturating_add(now.since(self.at))
    }
}

// === configuration ===

/// The plugin's `configuration`; empty where the host has none.
pub(crate) fn configuration(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default()
}

/// A variable that Envoy hands in (`vm_config.environment_variables`).
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether no worker has said this since Envoy's start. Envoy configures a plugin for trial before its workers
/// do, so they do not race.
pub(crate) fn is_said_first(text: &str) -> bool {
    matches!(hostcalls::get_shared_data(text), Ok((None, _)))
        && hostcalls::set_shared_data(text, Some(&[1]), None).is_ok()
}

// === facts ===

/// The present moment, of Envoy's monotonic clock: proxy-wasm knows the wall clock alone, but its hosts
/// have WASI's clocks also.
pub(crate) fn now() -> Now {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    Now::from_epoch(BEGINNING.elapsed())
}

/// The wall clock; the end of all times where the host has none, so that no certificate is valid then.
pub(crate) fn wall_clock(now: Now) -> WallClock {
    let time = hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH);
    let said = time.duration_since(UNIX_EPOCH).ok().filter(|said| !said.is_zero());
    WallClock::new(said.unwrap_or(Duration::MAX), now)
}

/// All values of `Wire-Origin-Domain`, joined by `,`. (The header getters give only the first.)
pub(crate) fn origin_header() -> Option<Vec<u8>> {
    property(vec!["request", "headers", ORIGIN_HEADER])
}

/// The current request's number, in the first of these headers that has one.
pub(crate) fn request_id(headers: [&str; 2]) -> Option<RequestId> {
    headers.iter().find_map(|name| RequestId::of(&property(vec!["request", "headers", name])?))
}

/// The number of the downstream connection, which Envoy never gives twice in its life. (`connection.id`
/// is the same, and dearer: Envoy makes an object of all that it knows of the connection first.)
pub(crate) fn connection_id() -> Option<u64> {
    property(vec!["connection_id"])?.try_into().ok().map(u64::from_le_bytes)
}

/// The certificate that the other end of the downstream connection showed, PEM.
pub(crate) fn peer_certificate() -> Option<Vec<u8>> {
    property(vec!["connection", "peer_certificate"]).or_else(forwarded_certificate)
}

/// That certificate's SHA-256, in hexadecimal; none where there is no certificate.
pub(crate) fn peer_digest() -> Option<Vec<u8>> {
    let digest = property(vec!["connection", "sha256_peer_certificate_digest"]);
    digest.filter(|digest| !digest.is_empty())
}

/// Whether Envoy validated that certificate's chain; `None` where it does not tell.
pub(crate) fn is_peer_certificate_valid() -> Option<bool> {
    property(vec!["connection", "peer_certificate_valid"]).map(|value| value == [1])
}

/// The peer's certificate, where Envoy (before 1.38) has it only in a header.
fn forwarded_certificate() -> Option<Vec<u8>> {
    let digest = peer_digest()?;
    let header = property(vec!["request", "headers", "x-forwarded-client-cert"])?;
    fedgate_policy::forwarded_certificate(&header, &digest)
}

/// All headers of the current request; none where the host has none.
pub(crate) fn request_headers() -> Vec<Header> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
}

/// The status of the current response; 0, which is no success, where the host has none.
pub(crate) fn response_status() -> u16 {
    let status = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, ":status").ok().flatten();
    status.and_then(|digits| String::from_utf8(digits).ok()?.parse().ok()).unwrap_or_default()
}

/// Who made the current response, and why (`RESPONSE_CODE_DETAILS`).
pub(crate) fn response_details() -> Vec<u8> {
    property(vec!["response", "code_details"]).unwrap_or_default()
}

/// Who was called last on behalf of the current request; none where nobody was.
pub(crate) fn target() -> Option<Target> {
    let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
    let address = text(property(vec!["upstream", "address"])?);
    // The control plane makes each host a locality of its own.
    let host = property(vec!["upstream", "locality", "sub_zone"]).map(text).unwrap_or_default();
    Some(Target { host, address })
}

/// The first `size` octets of the current response's body.
pub(crate) fn response_body(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size).ok().flatten().unwrap_or_default()
}

fn property(path: Vec<&str>) -> Option<Vec<u8>> {
    hostcalls::get_property(path).ok().flatten()
}

/// Crashes the VM where the request says so, to show that nothing passes then.
#[cfg(feature = "panic-trigger")]
#[allow(clippy::panic, reason = "that is what it is for; no released module has it")]
pub(crate) fn panic_if_told() {
    if property(vec!["request", "headers", "x-fedgate-panic"]).is_some() {
        panic!("told to");
    }
}

// === acts ===

/// Puts this in the place of all values of a header, or nothing.
pub(crate) fn set_request_header(name: &str, value: Option<&str>) -> Result<(), Status> {
    hostcalls::set_map_value(MapType::HttpRequestHeaders, name, value)
}

/// Replaces all values of `Wire-Origin-Domain` by this one.
pub(crate) fn set_origin_header(origin: &str) -> Result<(), Status> {
    set_request_header(ORIGIN_HEADER, Some(origin))
}

/// Puts this in the place of what the client says of its own certificate, or nothing.
pub(crate) fn set_certificate_header(certificate: Option<&str>) -> Result<(), Status> {
    set_request_header(CERTIFICATE_HEADER, certificate)
}

/// Leaves a text for the access log: `%FILTER_STATE(wasm.NAME:PLAIN)%`, short and legible.
pub(crate) fn note(name: &str, text: &str) {
    let text = legible(text, MOST_NOTED);
    if let Err(status) = hostcalls::set_property(vec![name], Some(text.as_bytes())) {
        log::warn!("{name} could not be left for the access log: {status:?}");
    }
}

/// Answers the request in the upstream's place.
pub(crate) fn respond(status: u16, json: &str) {
    let headers = vec![("content-type", "application/json")];
    if let Err(error) = hostcalls::send_http_response(status.into(), headers, Some(json.as_bytes())) {
        // The request stays paused, and Envoy's timeouts end it: nothing passes.
        log::error!("the answer {status} could not be sent: {error:?}");
    }
}

/// Puts those of a JSON answer in the place of a response's headers.
pub(crate) fn replace_response_headers(status: u16) {
    let headers = [(":status", status.to_string()), ("content-type", "application/json".to_owned())];
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if let Err(status) = hostcalls::set_map(MapType::HttpResponseHeaders, headers) {
        log::error!("a response's headers could not be replaced: {status:?}");
    }
}

/// Puts this in the place of what has come of the response's body.
pub(crate) fn replace_response_body(body: &str) {
    let all = usize::MAX >> 1;
    if let Err(status) = hostcalls::set_buffer(BufferType::HttpResponseBody, 0, all, body.as_bytes()) {
        log::error!("a response's body could not be replaced: {status:?}");
    }
}

/// Takes away what follows a response's body.
pub(crate) fn drop_response_trailers() {
    if let Err(status) = hostcalls::set_map(MapType::HttpResponseTrailers, vec![]) {
        log::error!("a response's trailers could not be dropped: {status:?}");
    }
}

/// Lets the paused request go on.
pub(crate) fn resume() {
    if let Err(error) = hostcalls::resume_http_request() {
        log::error!("a permitted request could not go on: {error:?}");
    }
}

// === connections ===

/// Makes what [`admit`] leaves behind one of connections. To be called on the root context.
pub(crate) fn declare_admitted() {
    // Envoy's `DeclarePropertyArguments`: field 1, the name; field 5, the span, of which 2 is a connection.
    let name = ADMITTED.as_bytes();
    let length = u8::try_from(name.len()).unwrap_or_default();
    let arguments = [&[0x0a, length], name, &[0x28, 2]].concat();
    if let Err(status) = hostcalls::call_foreign_function("declare_property", Some(&arguments)) {
        log::error!("connections cannot be marked as admitted: {status:?}");
    }
}

/// Leaves with the current request's connection that something was permitted on it.
pub(crate) fn admit() {
    if let Err(status) = hostcalls::set_property(vec![ADMITTED], Some(b"1")) {
        log::error!("a connection could not be marked as admitted: {status:?}");
    }
}

/// Whether [`admit`] was called for the current connection.
pub(crate) fn is_admitted() -> bool {
    property(vec![ADMITTED]).is_some()
}

/// Ends the current connection. (The SDK panics where Envoy refuses; Envoy has no case in which it does.)
pub(crate) fn close() {
    let _ = hostcalls::close_downstream();
}

// === the control plane ===

/// A question under way; its answer comes to `on_http_call_response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call(pub(crate) u32);

/// Sends a GET, or a POST of JSON, to a cluster. To be called on the root context: it is to that the answer comes.
pub(crate) fn send<'a>(
    cluster: &str,
    path: &'a str,
    bearer: &'a str,
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
    json: Option<&str>,
    timeout: Duration,
) -> Result<Call, Status> {
    let mut headers = vec![
        (":method", if json.is_some() { "POST" } else { "GET" }),
        (":path", path),
        // Not the cluster's name: others name clusters as no host can be named, such as
        // `outbound|8601||fedgate.wire.svc.cluster.local`, and a server refuses that.
        (":authority", AUTHORITY),
        ("accept", "application/json"),
        ("authorization", bearer),
    ];
    headers.extend(json.map(|_| ("content-type", "application/json")));
    headers.extend(more);
    hostcalls::dispatch_http_call(cluster, headers, json.map(str::as_bytes), vec![], timeout).map(Call)
}

/// A response to [`send`], in raw bytes.
pub(crate) struct Response {
    /// The HTTP status' three digits.
    pub(crate) status: Vec<u8>,
    /// Empty where there is none.
    pub(crate) content_type: Vec<u8>,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

/// The response that `on_http_call_response` is about; `None` where the host has none at all.
pub(crate) fn response(body_size: usize) -> Option<Response> {
    let header =
        |name| hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten();
    let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size).ok()?;
    Some(Response {
        status: header(":status")?,
        content_type: header("content-type").unwrap_or_default(),
        body: body.unwrap_or_default(),
    })
}

/// How often `on_tick` is called.
pub(crate) fn tick_every(period: Duration) {
    if let Err(status) = hostcalls::set_tick_period(period) {
        log::error!("the time of the next tick could not be set: {status:?}");
    }
}

/// Makes the acts that follow those of another context, which must be alive.
pub(crate) fn act_for(stream: u32) -> Result<(), Status> {
    hostcalls::set_effective_context(stream)
}

/// A number that no other worker has.
pub(crate) fn random_number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A number from 0 to 1, for what need not be secret.
pub(crate) fn random() -> f64 {
    u32::try_from(random_number() >> 32).map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}

// === shared by all workers ===

/// What stands under a key, and its version.
pub(crate) fn shared_data(key: &str) -> (Vec<u8>, Option<u32>) {
    let (data, version) = hostcalls::get_shared_data(key).unwrap_or_default();
    (data.unwrap_or_default(), version)
}

/// Puts this in the place of that version; `false` where it is another one meanwhile.
pub(crate) fn set_shared_data(key: &str, data: &[u8], version: Option<u32>) -> bool {
    hostcalls::set_shared_data(key, Some(data), version).is_ok()
}

// === metrics ===

/// A metric that Envoy knows.
#[derive(Clone, Copy)]
pub(crate) struct Metric(u32);

/// Makes a counter known to Envoy.
pub(crate) fn counter(name: &str) -> Option<Metric> {
    define(MetricType::Counter, name)
}

/// Makes a gauge known to Envoy.
pub(crate) fn gauge(name: &str) -> Option<Metric> {
    define(MetricType::Gauge, name)
}

fn define(kind: MetricType, name: &str) -> Option<Metric> {
    let metric = hostcalls::define_metric(kind, name);
    if let Err(status) = metric {
        log::error!("the metric {name} could not be defined: {status:?}");
    }
    metric.ok().map(Metric)
}

/// Adds to a counter.
pub(crate) fn increment(counter: Option<Metric>, by: u32) {
    if let Some(Metric(id)) = counter.filter(|_| by > 0)
        && let Err(status) = hostcalls::increment_metric(id, by.into())
    {
        log::error!("a counter could not be raised: {status:?}");
    }
}

/// Sets a gauge.
pub(crate) fn record(gauge: Option<Metric>, value: u64) {
    if let Some(Metric(id)) = gauge
        && let Err(status) = hostcalls::record_metric(id, value)
    {
        log::error!("a gauge could not be set: {status:?}");
    }
}
