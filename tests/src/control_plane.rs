//! `fedgate serve`, and the command line against it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::Signal;
use sha2::{Digest, Sha256};

use crate::artifacts;
use crate::etcd::Etcd;
use crate::process::{Process, is_ok, run};
use crate::witness::Witness;

/// The port of the admin API.
pub const ADMIN_PORT: u16 = 8600;
/// The port of the verdict API.
pub const VERDICTS_PORT: u16 = 8601;
/// The port of the xDS server.
pub const XDS_PORT: u16 = 8602;
/// Arguments of `fedgate serve` that have it listen on whatever ports are free.
pub const ANY_PORTS: [&str; 6] =
    ["--listen-admin", "127.0.0.1:0", "--listen-verdicts", "127.0.0.1:0", "--listen-xds", "127.0.0.1:0"];

/// The tokens of every world, one for each role.
pub const ADMIN_TOKEN: &str = "admin-token-of-a-test-world";
/// See [`ADMIN_TOKEN`].
pub const VIEWER_TOKEN: &str = "viewer-token-of-a-test-world";
/// See [`ADMIN_TOKEN`].
pub const FILTER_TOKEN: &str = "filter-token-of-a-test-world";

/// A control plane that runs, or was killed and may be started again.
#[derive(Debug)]
pub struct ControlPlane {
    ip: Ipv4Addr,
    dir: PathBuf,
    process: Option<Process>,
    launcher: Vec<String>,
    /// The cluster of its store, while it is used.
    etcd: Option<(Arc<Etcd>, String)>,
    witness: Witness,
}

/// Where a control plane keeps its list.
#[derive(Clone, Debug)]
pub enum Store {
    /// In a file of its own.
    File,
    /// In the cluster that all tests share, where nobody else is.
    Own,
    /// Where this URL says.
    Shared(String),
}

/// `FEDGATE_TEST_STORE=etcd` has all tests run on etcd that do not say what they need.
impl Default for Store {
    fn default() -> Self {
        match std::env::var("FEDGATE_TEST_STORE").as_deref() {
            Ok("etcd") => Self::Own,
            Ok("sqlite") | Err(_) => Self::File,
            Ok(other) => panic!("FEDGATE_TEST_STORE={other} is neither etcd nor sqlite"),
        }
    }
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts the control plane on `ip`, with its store in `dir`, asking the DNS server `dns`.
    /// `discovery` holds more lines of that section of the configuration.
    pub fn start(ip: Ipv4Addr, dir: &Path, dns: SocketAddr, discovery: &str) -> Self {
        Self::launch(&[], ip, dir, &[dns], discovery)
    }

    /// Starts it as [`ControlPlane::start`] does, with any number of servers to ask, and its command
    /// appended to `launcher`.
    pub fn launch(
        launcher: &[String],
        ip: Ipv4Addr,
        dir: &Path,
        servers: &[SocketAddr],
        discovery: &str,
    ) -> Self {
        Self::with_store(launcher, ip, dir, servers, discovery, Store::default())
    }

    /// The same, with its list kept there.
    pub fn with_store(
        launcher: &[String],
        ip: Ipv4Addr,
        dir: &Path,
        servers: &[SocketAddr],
        discovery: &str,
        store: Store,
    ) -> Self {
        let secrets = dir.join("envoy/secrets");
        let dir = dir.join("control-plane");
        fs::create_dir_all(&dir).expect("a folder for the control plane");
        let (url, etcd) = match store {
            Store::File => (None, None),
            Store::Shared(url) => (Some(url), None),
            Store::Own => {
                let etcd = Etcd::shared();
                let url = etcd.url();
                (Some(url.clone()), Some((etcd, url)))
            }
        };
        let mut toml = configuration(ip, &secrets, servers, discovery);
        if let Some(url) = url {
            toml.insert_str(0, &format!("[store]\nurl = \"{url}\"\n"));
        }
        fs::write(dir.join("fedgate.toml"), toml).expect("the configuration");
        let launcher = launcher.to_owned();
        let witness = Witness::new(admin_url(ip));
        let mut control_plane = Self { ip, dir, process: None, launcher, etcd, witness };
        control_plane.restart();
        control_plane
    }

    /// Starts it again, on the same store, and waits until it is ready.
    pub fn restart(&mut self) {
        self.kill();
        let fedgate = artifacts::fedgate().into_os_string();
        let mut words = self.launcher.iter().map(OsString::from).chain([fedgate]);
        let mut command = Command::new(words.next().expect("at least fedgate"));
        command.args(words).args(["serve", "--config", "fedgate.toml"]).current_dir(&self.dir);
        let mut process = Process::start(&mut command, &self.dir.join("log"));
        let url = format!("{}/readyz", self.url());
        process.wait_until("the control plane is ready", || is_ok(&url));
        self.process = Some(process);
        self.witness.set_present(true);
    }

    /// Who can be asked what it says of a request, while it runs.
    pub fn witness(&self) -> Witness {
        self.witness.clone()
    }

    /// SIGTERM, and its end.
    pub fn terminate(&mut self) {
        self.witness.set_present(false);
        self.process().signal(Signal::TERM);
        let status = self.process().wait();
        assert!(status.success(), "{status}: {}", self.log());
        self.process = None;
    }

    /// Puts other words in the place of those in its configuration, for the next start.
    pub fn configure(&self, from: &str, to: &str) {
        let file = self.dir.join("fedgate.toml");
        let before = fs::read_to_string(&file).expect("the configuration");
        assert!(before.contains(from), "{from} is not in the configuration");
        fs::write(file, before.replace(from, to)).expect("the configuration");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.witness.set_present(false);
        self.process = None;
    }

    /// Removes all that it has stored; it is not to run meanwhile.
    pub fn forget(&mut self) {
        assert!(self.process.is_none(), "the store of a running control plane is not to be removed");
        if let Some((etcd, url)) = &self.etcd {
            let prefix = url.rsplit_once("/test/").expect("a URL of the shared cluster").1;
            etcd.ctl(&["del", "--prefix", &format!("test/{prefix}/")]).expect("a prefix can be emptied");
        }
        for file in ["fedgate.db", "fedgate.db-wal", "fedgate.db-shm"] {
            // Which of these exist depends on how it ended.
            let _ = fs::remove_file(self.dir.join(file));
        }
    }

    /// The running process.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the control plane runs")
    }

    /// Its process, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The address of its listeners.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// All that it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Stops it in its tracks: its ports are open, and nothing ever comes back.
    pub fn freeze(&mut self) {
        self.witness.set_present(false);
        self.process().signal(Signal::STOP);
    }

    /// Undoes [`ControlPlane::freeze`].
    pub fn thaw(&mut self) {
        self.process().signal(Signal::CONT);
        self.witness.set_present(true);
    }

    /// Whether its store is a file of its own.
    pub fn has_a_file(&self) -> bool {
        self.etcd.is_none()
    }

    /// The folder of configuration, store and log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The admin API.
    pub fn url(&self) -> String {
        admin_url(self.ip)
    }

    /// The verdict API.
    pub fn verdicts_url(&self) -> String {
        format!("http://{}:{VERDICTS_PORT}", self.ip)
    }

    /// Runs the command line as an administrator.
    pub fn cli(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new(artifacts::fedgate());
        command.args(args).env("FEDGATE_URL", self.url()).env("FEDGATE_TOKEN", ADMIN_TOKEN);
        run(&mut command)
    }

    /// What an administrator sees of a command on a terminal of 80 columns; it may end with any code.
    pub fn on_terminal(&self, args: &[&str]) -> String {
        let fedgate = artifacts::fedgate();
        let command = format!("stty rows 24 columns 80; exec {} {}", fedgate.display(), args.join(" "));
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &command, "/dev/null"]).stdin(Stdio::null());
        terminal.env("FEDGATE_URL", self.url()).env("FEDGATE_TOKEN", ADMIN_TOKEN).env_remove("COLUMNS");
        let output = terminal.output().expect("a terminal (util-linux)");
        String::from_utf8(output.stdout).expect("a terminal is shown text").replace('\r', "")
    }

    /// Puts domains on the allow list.
    pub fn add(&self, domains: &[&str]) {
        for domain in domains {
            self.cli(&["domain", "add", domain]).expect("a domain can be added");
        }
    }
}

fn admin_url(ip: Ipv4Addr) -> String {
    format!("http://{ip}:{ADMIN_PORT}")
}

fn configuration(ip: Ipv4Addr, secrets: &Path, servers: &[SocketAddr], discovery: &str) -> String {
    let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
    let secrets = secrets.display();
    let mut toml = format!(
        r#"[listen]
admin = "{ip}:{ADMIN_PORT}"
verdicts = "{ip}:{VERDICTS_PORT}"
xds = "{ip}:{XDS_PORT}"
[egress]
client_certificate_sds = "{secrets}/federation-client.yaml"
trust_sds = "{secrets}/federation-trust.yaml"
[discovery]
servers = {servers:?}
{discovery}
"#
    );
    for (role, token) in [("admin", ADMIN_TOKEN), ("viewer", VIEWER_TOKEN), ("filter", FILTER_TOKEN)] {
        let hex = hex::encode(Sha256::digest(token));
        let _ = write!(toml, "[[token]]\nname = \"{role}\"\nrole = \"{role}\"\nsha256 = \"{hex}\"\n");
    }
    toml
}
