//! An Envoy of the benchmark: one process with one worker, whose CPU time can be read.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fedgate_tests::artifacts;
use fedgate_tests::control_plane::FILTER_TOKEN;
use fedgate_tests::process::{eventually, http, is_ok};
use serde_json::{Value, json};

use super::race::Measured;
use super::{event_loop, filters, usage};

/// What makes one Envoy differ from the others.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// The filters before the one that answers.
    pub(crate) filters: Vec<Value>,
    /// The clusters that they use.
    pub(crate) clusters: Vec<Value>,
    /// Whether the listener speaks plain HTTP, instead of mutual TLS.
    pub(crate) plain: bool,
    /// Whether it measures the turns of its threads' event loops, which costs a little by itself.
    pub(crate) times_turns: bool,
}

/// A running Envoy; killed when dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    listener: SocketAddr,
    admin: SocketAddr,
}

// === impl Proxy ===

impl Proxy {
    /// Starts Envoy, and waits until it is ready. Its certificates are in `dir`, its files go there.
    pub(crate) fn start(
        name: &str,
        dir: &Path,
        listener: SocketAddr,
        admin: SocketAddr,
        settings: Settings,
    ) -> Self {
        let file = dir.join(format!("{name}.json"));
        let config = configuration(dir, listener, admin, settings);
        fs::write(&file, config.to_string()).expect("Envoy's configuration");
        let log_file = dir.join(format!("{name}.log"));
        let log = File::create(&log_file).expect("Envoy's log");
        let child = Command::new(artifacts::envoy())
            .arg("-c")
            .arg(&file)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"])
            .env("FEDGATE_TOKEN", FILTER_TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Envoy starts");
        let mut proxy = Self { child, listener, admin };
        let url = format!("http://{admin}/ready");
        eventually(&format!("Envoy `{name}` is ready"), || {
            if let Some(status) = proxy.child.try_wait().expect("a child can be waited for") {
                let log = fs::read_to_string(&log_file).unwrap_or_default();
                panic!("Envoy `{name}` ended with {status}:\n{log}");
            }
            is_ok(&url).then_some(())
        });
        proxy
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.listener
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The value of one of its statistics; 0 where it has no such.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let text = self.stats(&format!("filter=^{name}$"));
        text.trim().rsplit_once(": ").and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
    }

    /// What the admin interface says of its statistics; nothing where it does not answer.
    pub(crate) fn stats(&self, query: &str) -> String {
        let url = format!("http://{}/stats?{query}", self.admin);
        let read = || http().get(url).call().ok()?.body_mut().read_to_string().ok();
        read().unwrap_or_default()
    }
}

impl Measured for Proxy {
    fn cpu_times(&self) -> Vec<Duration> {
        vec![usage::cpu_time(self.id())]
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Fails only where it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A listener as in `envoy/ingress.yaml` without the access log, and a route that answers by itself:
/// so what is measured is the listener, and the filters.
fn configuration(dir: &Path, listener: SocketAddr, admin: SocketAddr, settings: Settings) -> Value {
    let Settings { mut filters, clusters, plain, times_turns } = settings;
    filters.extend([filters::whole_request(), filters::router()]);
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "use_remote_address": true,
        "forward_client_cert_details": "SANITIZE",
        "normalize_path": true,
        "merge_slashes": true,
        "http2_protocol_options": {"max_concurrent_streams": 100},
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": "[]"}},
        }]}]},
    });
    let mut chain = json!({"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
    ]});
    if !plain {
        chain["transport_socket"] = mutual_tls(dir);
    }
    let mut bootstrap = json!({
        "admin": {"address": socket(admin)},
        "static_resources": {
            "listeners": [{"name": "bench", "address": socket(listener), "filter_chains": [chain]}],
            "clusters": clusters,
        },
    });
    if times_turns {
        event_loop::be_timed(&mut bootstrap);
    }
    bootstrap
}

fn mutual_tls(dir: &Path) -> Value {
    let file = |name| json!({"filename": dir.join(name)});
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": true,
            "disable_stateless_session_resumption": true,
            "disable_stateful_session_resumption": true,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"ecdh_curves": ["X25519MLKEM768", "X25519", "P-256", "P-384"]},
                "tls_certificates": [
                    {"certificate_chain": file("server.pem"), "private_key": file("server.key")},
                ],
                "validation_context": {"trusted_ca": file("trust.pem")},
            },
        },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}
