//! Envoy with the repository's own `envoy/ingress.yaml` or `envoy/both.yaml`, moved to a world's addresses and files.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::process::Signal;
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
/// The port of the admin interface.
pub const ADMIN_PORT: u16 = 9901;
const LISTENER_FILE: &str = "listener.yaml";

/// The files of `envoy/secrets`: two for those who call, two for those who are called.
pub const SECRETS: [&str; 4] =
    ["server-certificate.yaml", "client-trust.yaml", "federation-client.yaml", "federation-trust.yaml"];

/// One exact replacement in the configuration: what stands there, and what is to stand there.
pub type Edit = (String, String);

/// The references as somebody deploys them.
#[derive(Clone, Debug)]
pub struct Deployed {
    /// A script for `sed --regexp-extended`, by its path in the repository.
    pub script: String,
    /// Where it puts listeners and clusters: name or address and port there, and the port here.
    pub places: Vec<(String, u16, u16)>,
}

/// What is special about an Envoy.
#[derive(Debug, Default)]
pub struct Special {
    /// How its files are made of the references; as those say themselves, if nothing is said.
    pub deployed: Option<Deployed>,
    /// Replacements in the configuration.
    pub edits: Vec<Edit>,
    /// More arguments of the command line.
    pub args: Vec<String>,
    /// More variables of its environment.
    pub environment: Vec<(String, PathBuf)>,
    /// The backend domain that calls are made for, where there is an egress beside the ingress
    /// (`envoy/both.yaml`).
    pub egress: Option<String>,
    /// Whether the listener comes from a file of its own, which may be replaced.
    pub listener_from_file: bool,
    /// Whether `fedgate envoy` runs it, so that a signal drains it.
    pub drains: bool,
    /// Where control planes are that share a store, the first one to be asked first; ours alone, where there are none.
    pub control_planes: Vec<Ipv4Addr>,
    /// Whether it can hand over to a successor ([`Envoy::hot_restart`]).
    pub hot_restart: bool,
}

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    ip: Ipv4Addr,
    dir: PathBuf,
    process: Process,
    args: Vec<String>,
}

// === impl Envoy ===

impl Envoy {
    /// Starts Envoy on `ip`, with its files in `dir`, and waits until its listener is live.
    /// `identity` is shown to those who call, and to those who are called.
    pub fn start(ip: Ipv4Addr, dir: &Path, identity: &Identity, trust: &str, special: &Special) -> Self {
        let dir = write_files(ip, dir, identity, trust, special);
        if special.listener_from_file {
            move_listener_to_file(&dir);
        }
        let mut first = if special.drains { draining(ip, &dir) } else { command(&dir) };
        if special.hot_restart {
            first.arg("--use-dynamic-base-id").arg("--base-id-path").arg(dir.join("base-id"));
        } else {
            first.arg("--disable-hot-restart");
        }
        first.args(&special.args).envs(special.environment.iter().map(|(name, value)| (name, value)));
        let mut process = Process::start(&mut first, &dir.join("log"));
        let url = format!("http://{ip}:{ADMIN_PORT}/ready");
        process.wait_until("Envoy is live", || is_ok(&url));
        Self { ip, dir, process, args: special.args.clone() }
    }

    /// Starts the next Envoy on the same configuration, to which this one hands its listener over.
    /// Gives the one before, which drains and ends by itself.
    pub fn hot_restart(&mut self) -> Process {
        let base_id = read(&self.dir.join("base-id"));
        let mut command = command(&self.dir);
        command.args(["--restart-epoch", "1", "--base-id", base_id.trim()]).args(&self.args);
        let next = Process::start(&mut command, &self.dir.join("log"));
        let before = std::mem::replace(&mut self.process, next);
        eventually("the next Envoy is live", || {
            let stat = |name| self.stat(&format!("server.{name}"));
            (stat("hot_restart_generation") == Some(2) && stat("live") == Some(1)).then_some(())
        });
        before
    }

    /// Kills it, and starts another on the same configuration.
    pub fn restart(&mut self) {
        self.process.kill();
        let mut next = command(&self.dir);
        next.arg("--disable-hot-restart").args(&self.args);
        self.process = Process::start(&mut next, &self.dir.join("log"));
        let url = format!("http://{}:{ADMIN_PORT}/ready", self.ip);
        self.process.wait_until("the next Envoy is live", || is_ok(&url));
    }

    /// Puts another listener in place of the one in the file: the same with one more replacement.
    /// Envoy sees it a moment later.
    pub fn edit_listener(&self, from: &str, to: &str) {
        let (file, next) = (self.dir.join(LISTENER_FILE), self.dir.join("next-listener"));
        fs::write(&next, edited(&read(&file), from, to)).expect("the next listener's file");
        fs::rename(next, file).expect("the file moves into place");
    }

    /// Tells Envoy something on its admin interface.
    pub fn tell(&self, path: &str) {
        let answer = http().post(format!("http://{}:{ADMIN_PORT}{path}", self.ip)).send_empty();
        assert_eq!(answer.expect("Envoy's admin interface answers").status(), 200, "{path}");
    }

    /// What its admin interface answers.
    pub fn ask(&self, path: &str) -> Option<String> {
        let url = format!("http://{}:{ADMIN_PORT}{path}", self.ip);
        http().get(url).call().ok()?.body_mut().read_to_string().ok()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Tells it to end, as whoever supervises it does.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Sends it, or whoever runs it, a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// How it ended.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// What Envoy says of a configuration that it is expected to refuse.
    pub fn refusal(ip: Ipv4Addr, dir: &Path, server: &Identity, trust: &str, edits: &[Edit]) -> String {
        let special = Special { edits: edits.to_vec(), ..Special::default() };
        let dir = write_files(ip, dir, server, trust, &special);
        run(command(&dir).args(["--disable-hot-restart", "--mode", "validate"]))
            .expect_err("Envoy refuses the configuration")
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

    /// Moves one file into the folder of certificates.
    pub fn replace(&self, name: &str, pem: &str) {
        let (file, next) = (self.dir.join("tls").join(name), self.dir.join("next.pem"));
        fs::write(&next, pem).expect("a PEM file");
        fs::rename(next, file).expect("the file moves into place");
    }

    /// The folder of certificates.
    pub fn certificates(&self) -> PathBuf {
        self.dir.join("tls")
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
        let text = self.ask(&format!("/stats?filter=^{name}$"))?;
        text.trim().rsplit_once(": ")?.1.parse().ok()
    }

    /// Panics unless the filter's VM is alive and never crashed.
    pub fn assert_vm_alive(&self) {
        let active = self.stat("wasm.envoy.wasm.runtime.v8.active");
        assert!(active.is_some_and(|vms| vms > 0), "no VM is active: {active:?}");
        let log = self.log();
        let crash = ["panicked", "[critical]", "Function: proxy_on", "unreachable"];
        // So Envoy tells of a configuration that was refused, which is no crash.
        let refused = |line: &str| line.contains("failed to load");
        let mut lines = log.lines().filter(|line| !refused(line));
        let line = lines.find(|line| crash.iter().any(|word| line.contains(word)));
        assert_eq!(line, None, "the VM crashed");
    }
}

fn command(dir: &Path) -> Command {
    with_arguments(Command::new(artifacts::envoy()), dir)
}

/// The same, run by `fedgate envoy`.
fn draining(ip: Ipv4Addr, dir: &Path) -> Command {
    let mut command = Command::new(artifacts::fedgate());
    command
        .args(["envoy", "--admin", &format!("http://{ip}:{ADMIN_PORT}"), "--"])
        .arg(artifacts::envoy());
    let mut command = with_arguments(command, dir);
    command.args(["--drain-strategy", "immediate"]);
    command
}

fn with_arguments(mut command: Command, dir: &Path) -> Command {
    command
        .arg("-c")
        .arg(dir.join("envoy.yaml"))
        .args(["--concurrency", "1", "--log-level", "info", "--drain-time-s", "1"])
        .args(["--file-flush-interval-msec", "20"])
        .env("FEDGATE_TOKEN", FILTER_TOKEN);
    command
}

fn write_files(
    ip: Ipv4Addr,
    dir: &Path,
    identity: &Identity,
    trust: &str,
    special: &Special,
) -> PathBuf {
    let dir = dir.join("envoy");
    fs::create_dir_all(dir.join("secrets")).expect("a folder for Envoy");
    write_tls(&dir, identity, trust);
    for file in SECRETS {
        let text = reference(&format!("secrets/{file}"), special);
        let text = edited(&text, "/etc/fedgate/tls", &dir.join("tls").display().to_string());
        fs::write(dir.join("secrets").join(file), text).expect("a secret's file");
    }
    let [brig, galley, cargohold] = PORTS;
    let at = |port: u16| format!("address: {ip}, port_value: {port}");
    let mut moves = vec![
        ("code: {local: {filename: /etc/fedgate/fedgate_filter.wasm}}", code()),
        ("path: /etc/fedgate/secrets/", format!("path: {}/secrets/", dir.display())),
        ("address: 127.0.0.1, port_value: 9901", at(ADMIN_PORT)),
    ];
    let mut places = vec![
        ("0.0.0.0", 8443, INGRESS_PORT),
        ("127.0.0.1", 8601, VERDICTS_PORT),
        ("brig", 8080, brig),
        ("galley", 8080, galley),
        ("cargohold", 8080, cargohold),
    ];
    let file = match &special.egress {
        None => "ingress.yaml",
        Some(own_domain) => {
            places.extend([("127.0.0.1", 8097, EGRESS_PORT), ("127.0.0.1", 8602, XDS_PORT)]);
            moves.push((r#""own_domain": "b.com""#, format!(r#""own_domain": "{own_domain}""#)));
            "both.yaml"
        }
    };
    moves.extend(for_older_versions());
    if let Some(deployed) = &special.deployed {
        places =
            deployed.places.iter().map(|(host, port, here)| (host.as_str(), *port, *here)).collect();
    }
    let mut text = reference(file, special);
    if !special.control_planes.is_empty() {
        text = with_several(&text, &special.control_planes);
        places.retain(|(host, port, _)| !(*host == "127.0.0.1" && [8601, 8602].contains(port)));
    }
    for (host, port, here) in places {
        text =
            edited(&text, &format!("address: {host}, port_value: {port}}}"), &format!("{}}}", at(here)));
    }
    for (from, to) in moves {
        text = edited(&text, from, &to);
    }
    for (from, to) in &special.edits {
        text = edited(&text, from, to);
    }
    fs::write(dir.join("envoy.yaml"), text).expect("Envoy's configuration");
    dir
}

/// The same with several control planes, as the reference has them.
fn with_several(text: &str, control_planes: &[Ipv4Addr]) -> String {
    let several = artifacts::read("envoy/several-control-planes.yaml");
    let several = several.lines().skip_while(|line| line.trim_start().starts_with('#'));
    let mut several = several.collect::<Vec<_>>().join("\n");
    for (number, ip) in (1..=3).zip(control_planes.iter().cycle()) {
        several = edited(&several, &format!("192.0.2.{number}"), &ip.to_string());
    }
    let mut text = text.replace(
        "connection_keepalive: {interval: 10s, timeout: 5s}",
        "connection_keepalive: {interval: 0.4s, timeout: 0.8s}",
    );
    for (cluster, port) in [("fedgate_verdicts", VERDICTS_PORT), ("fedgate_xds", XDS_PORT)] {
        let single = format!(
            "    load_assignment:\n      cluster_name: {cluster}\n      endpoints:\n      - lb_endpoints:\n        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"
        );
        if text.contains(&single) {
            let several =
                several.replace("cluster_name: fedgate_verdicts", &format!("cluster_name: {cluster}"));
            let several = several.replace(
                &format!("port_value: {VERDICTS_PORT}}}}}"),
                &format!("port_value: {port}}}}}"),
            );
            text = edited(&text, &single, &several);
        }
    }
    text
}

/// A file of `envoy/`, as it is deployed.
fn reference(file: &str, special: &Special) -> String {
    let file = format!("envoy/{file}");
    let Some(Deployed { script, .. }) = &special.deployed else {
        return artifacts::read(&file);
    };
    let mut sed = Command::new("sed");
    sed.current_dir(artifacts::repository()).args(["--regexp-extended", "--file", script, &file]);
    run(&mut sed).unwrap_or_else(|error| panic!("{script}: {error}"))
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
        let cookie = "- remove: cookie";
        edits.push((cookie, format!("{cookie}\n                - remove: x-forwarded-client-cert")));
    }
    edits
}

/// Moves the listener out of the configuration into a file that Envoy watches (LDS).
fn move_listener_to_file(dir: &Path) {
    let text = read(&dir.join("envoy.yaml"));
    let (before, rest) = text.split_once("  listeners:\n").expect("a list of listeners");
    let (listener, clusters) = rest.split_once("\n  clusters:\n").expect("a list of clusters after it");
    let kind = "\"@type\": type.googleapis.com/envoy.config.listener.v3.Listener";
    let listener = edited(
        listener,
        "- name: federation_ingress",
        &format!("- {kind}\n    name: federation_ingress"),
    );
    fs::write(dir.join(LISTENER_FILE), format!("resources:\n{listener}")).expect("the listener's file");
    let path = dir.join(LISTENER_FILE);
    let text = format!(
        "dynamic_resources:\n  lds_config: {{resource_api_version: V3, path_config_source: {{path: {}}}}}\n\n\
         {before}  clusters:\n{clusters}",
        path.display()
    );
    fs::write(dir.join("envoy.yaml"), text).expect("Envoy's configuration");
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
        // Where the authorities of those whom we call have a bundle of their own.
        ("outgoing.pem", trust),
    ];
    for (name, pem) in files {
        let path = dir.join(&version).join(name);
        fs::write(&path, pem).expect("a PEM file");
        if path.extension().is_some_and(|it| it == "key") {
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a key of its own");
        }
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
