//! Envoy with the repository's own `envoy/ingress.yaml` or `envoy/both.yaml`, moved to a world's addresses and files.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::artifacts;
use crate::backend::PORTS;
use crate::control_plane::{FILTER_TOKEN, VERDICTS_PORT, XDS_PORT};
use crate::pki::Identity;
use crate::process::{Process, eventually, http, is_ok, run};

/// The port of the federation listener.
pub const INGRESS_PORT: u16 = 8443;
/// The port of the listener for our own services.
pub const EGRESS_PORT: u16 = 8097;
const ADMIN_PORT: u16 = 9901;

const SECRETS: [&str; 4] =
    ["server-certificate.yaml", "client-trust.yaml", "federation-client.yaml", "federation-trust.yaml"];

/// One exact replacement in the configuration: what stands there, and what is to stand there.
pub type Edit = (String, String);

/// Which of the repository's configurations.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// `envoy/ingress.yaml`.
    Ingress,
    /// `envoy/both.yaml`, of this backend.
    Both {
        /// The backend domain that calls are made for.
        own_domain: &'a str,
    },
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    ip: Ipv4Addr,
    dir: PathBuf,
    process: Process,
}

// === impl Envoy ===

impl Envoy {
    /// Starts Envoy on `ip`, with its files in `dir`, and waits until its listener is live.
    /// `identity` is shown to those who call, and to those who are called; `args` are more arguments of
    /// the command line.
    pub fn start(
        ip: Ipv4Addr,
        dir: &Path,
        source: Source<'_>,
        identity: &Identity,
        trust: &str,
        edits: &[Edit],
        args: &[String],
    ) -> Self {
        let dir = write_files(ip, dir, source, identity, trust, edits);
        let mut process = Process::start(command(&dir).args(args), &dir.join("log"));
        let url = format!("http://{ip}:{ADMIN_PORT}/ready");
        process.wait_until("Envoy is live", || is_ok(&url));
        Self { ip, dir, process }
    }

    /// What Envoy says of a configuration that it is expected to refuse.
    pub fn refusal(ip: Ipv4Addr, dir: &Path, server: &Identity, trust: &str, edits: &[Edit]) -> String {
        let dir = write_files(ip, dir, Source::Ingress, server, trust, edits);
        run(command(&dir).args(["--mode", "validate"])).expect_err("Envoy refuses the configuration")
    }

    /// The listener's address.
    pub fn address(&self) -> SocketAddr {
        (self.ip, INGRESS_PORT).into()
    }

    /// The address for our own services.
    pub fn egress(&self) -> SocketAddr {
        (self.ip, EGRESS_PORT).into()
    }

    /// Puts other certificates in place, as a rotation does: all files change in one step.
    pub fn rotate(&self, identity: &Identity, trust: &str) {
        write_tls(&self.dir, identity, trust);
    }

    /// All that Envoy and the filter wrote: log lines and access log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The access log's entry of the request for `rpc`, once it is written.
    pub fn access_log(&self, rpc: &str) -> Value {
        let wanted = format!("/{rpc}");
        eventually(&format!("the access log tells of {rpc}"), || {
            self.log()
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|entry| entry["path"].as_str().is_some_and(|path| path.ends_with(&wanted)))
        })
    }

    /// The value of one of Envoy's statistics.
    pub fn stat(&self, name: &str) -> Option<u64> {
        let url = format!("http://{}:{ADMIN_PORT}/stats?filter=^{name}$", self.ip);
        let text = http().get(url).call().ok()?.body_mut().read_to_string().ok()?;
        text.trim().rsplit_once(": ")?.1.parse().ok()
    }

    /// Panics unless the filter's VM is alive and never crashed.
    pub fn assert_vm_alive(&self) {
        let active = self.stat("wasm.envoy.wasm.runtime.v8.active");
        assert!(active.is_some_and(|vms| vms > 0), "no VM is active: {active:?}");
        let log = self.log();
        let crash = ["panicked", "[critical]", "Function: proxy_on", "unreachable"];
        let line = log.lines().find(|line| crash.iter().any(|word| line.contains(word)));
        assert_eq!(line, None, "the VM crashed");
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(artifacts::envoy());
    command
        .arg("-c")
        .arg(dir.join("envoy.yaml"))
        .args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "info",
            "--drain-time-s",
            "1",
        ])
        .args(["--file-flush-interval-msec", "20"])
        .env("FEDGATE_TOKEN", FILTER_TOKEN);
    command
}

fn write_files(
    ip: Ipv4Addr,
    dir: &Path,
    configuration: Source<'_>,
    identity: &Identity,
    trust: &str,
    edits: &[Edit],
) -> PathBuf {
    let dir = dir.join("envoy");
    fs::create_dir_all(dir.join("secrets")).expect("a folder for Envoy");
    write_tls(&dir, identity, trust);
    let source = artifacts::repository().join("envoy");
    for file in SECRETS {
        let text = read(&source.join("secrets").join(file));
        let text = edited(&text, "/etc/fedgate/tls", &dir.join("tls").display().to_string());
        fs::write(dir.join("secrets").join(file), text).expect("a secret's file");
    }
    let [brig, galley, cargohold] = PORTS;
    let at = |port: u16| format!("address: {ip}, port_value: {port}");
    let mut moves = vec![
        ("code: {local: {filename: /etc/fedgate/fedgate_filter.wasm}}", code()),
        ("path: /etc/fedgate/secrets/", format!("path: {}/secrets/", dir.display())),
        ("address: 0.0.0.0, port_value: 8443", at(INGRESS_PORT)),
        ("address: 127.0.0.1, port_value: 9901", at(ADMIN_PORT)),
        ("address: 127.0.0.1, port_value: 8601", at(VERDICTS_PORT)),
        ("address: brig, port_value: 8080", at(brig)),
        ("address: galley, port_value: 8080", at(galley)),
        ("address: cargohold, port_value: 8080", at(cargohold)),
    ];
    let file = match configuration {
        Source::Ingress => "ingress.yaml",
        Source::Both { own_domain } => {
            moves.push(("address: 127.0.0.1, port_value: 8097", at(EGRESS_PORT)));
            moves.push(("address: 127.0.0.1, port_value: 8602", at(XDS_PORT)));
            moves.push((r#""own_domain": "b.com""#, format!(r#""own_domain": "{own_domain}""#)));
            "both.yaml"
        }
    };
    moves.extend(for_older_versions());
    let mut text = read(&source.join(file));
    for (from, to) in moves {
        text = edited(&text, from, &to);
    }
    for (from, to) in edits {
        text = edited(&text, from, to);
    }
    fs::write(dir.join("envoy.yaml"), text).expect("Envoy's configuration");
    dir
}

/// What docs/envoy.md says of Envoys that tell less of a connection.
fn for_older_versions() -> Vec<(&'static str, String)> {
    let mut edits = vec![];
    if artifacts::envoy_minor() < 39 {
        let role = r#""role": "ingress","#;
        edits.push((role, format!(r#"{role} "chain_validation": "listener","#)));
    }
    if artifacts::envoy_minor() < 38 {
        let indent = " ".repeat(10);
        edits.push((
            "forward_client_cert_details: SANITIZE\n",
            format!(
                "forward_client_cert_details: SANITIZE_SET\n\
                 {indent}set_current_client_cert_details: {{cert: true}}\n"
            ),
        ));
    }
    edits
}

fn code() -> String {
    format!("code: {{local: {{filename: {}}}}}", artifacts::filter().display())
}

/// Puts files into the folder `tls` as Kubernetes does: each is a link into `..data`, itself a link,
/// which moves over to a new folder, so that all files change at once.
fn write_tls(dir: &Path, identity: &Identity, trust: &str) {
    let dir = dir.join("tls");
    fs::create_dir_all(&dir).expect("a folder for certificates");
    let version = format!("..{}", fs::read_dir(&dir).expect("the folder").count());
    fs::create_dir(dir.join(&version)).expect("a folder for this version");
    let Identity { chain, key } = identity;
    let files = [
        ("server.pem", chain.as_str()),
        ("server.key", key),
        ("client.pem", chain),
        ("client.key", key),
        ("trust.pem", trust),
    ];
    for (name, pem) in files {
        fs::write(dir.join(&version).join(name), pem).expect("a PEM file");
        if !dir.join(name).is_symlink() {
            symlink(Path::new("..data").join(name), dir.join(name)).expect("a symbolic link");
        }
    }
    symlink(&version, dir.join("..data.new")).expect("a symbolic link");
    fs::rename(dir.join("..data.new"), dir.join("..data")).expect("the link moves into place");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replaces what is there; a replacement of nothing would test something else than is meant.
fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the configuration no longer has: {from}");
    text.replace(from, to)
}
