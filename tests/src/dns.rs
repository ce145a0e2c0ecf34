//! BIND, as the authority for a few zones of names that nobody owns.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::process::{Process, run};
use crate::signing::{self, Anchor, Signing};

/// The zones that are served. `broken.example` is one whose file is missing: SERVFAIL.
/// What is in none of them is REFUSED.
const ZONES: [&str; 3] = ["com", "org", "example"];

/// The root zone, where there is one, without its delegations.
const ROOT: &str = ". 60 IN SOA ns. hostmaster. 1 60 60 600 5\n. 60 IN NS ns.\nns. 60 IN A 127.0.0.1\n";

/// A running BIND, or one that is stopped and may be started again.
#[derive(Debug)]
pub struct Bind {
    address: SocketAddr,
    dir: PathBuf,
    trust_anchor: Option<PathBuf>,
    process: Option<Process>,
}

// === impl Bind ===

impl Bind {
    /// Starts BIND on `address` with its files in `dir`. `records` are lines of the master format with
    /// absolute owner names, such as `a.com. 60 IN A 192.0.2.1`.
    pub fn start(address: SocketAddr, dir: &Path, records: &[&str]) -> Self {
        let dir = folder(dir);
        let mut conf = named_conf(address, &dir);
        conf += "zone \"broken.example\" { type primary; file \"no-such-file\"; };\n";
        for zone in ZONES {
            write_zone(zone, &zone_file(zone, records), &dir);
            conf += &served(zone, &format!("allow-update {{ {}; }};", address.ip()));
        }
        Self::run(address, dir, &conf, None)
    }

    /// Starts BIND with other zones: these, and a signed root above them, which the file of trust
    /// anchors names. A zone whose parent is one of them is below that, the others are below the root.
    pub fn signed(
        address: SocketAddr,
        dir: &Path,
        records: &[&str],
        zones: &[(&str, Signing)],
        anchor: Anchor,
    ) -> Self {
        let dir = folder(dir);
        let keys = dir.join("keys");
        let mut conf = named_conf(address, &dir);
        let (mut left, mut anchors) = (records.to_vec(), String::new());
        let mut below: BTreeMap<&str, String> = BTreeMap::new();
        // Those at the bottom first, since the zone above tells their keys.
        let mut bottom_up = zones.to_vec();
        bottom_up.sort_by_key(|(zone, _)| Reverse(zone.split('.').count()));
        for (zone, signing) in bottom_up {
            let (own, others) = left.into_iter().partition::<Vec<_>, _>(|record| is_in(record, zone));
            left = others;
            let text = zone_file(zone, &own) + &below.remove(zone).unwrap_or_default();
            let file = write_zone(zone, &text, &dir);
            let parent = zone.split_once('.').map(|(_, parent)| parent);
            let above = parent.filter(|parent| zones.iter().any(|(zone, _)| zone == parent));
            let above = below.entry(above.unwrap_or(".")).or_default();
            let _ = writeln!(above, "{zone}. 60 IN NS ns.{zone}.");
            match signing::sign(zone, &file, signing, &keys) {
                Some(key) if signing == Signing::Island => anchors += &key.anchor(anchor),
                Some(key) => *above += &key.digest(),
                None => {}
            }
            conf += &served(zone, "");
        }
        let root = ROOT.to_owned() + &below.remove(".").unwrap_or_default();
        let root = write_zone(".", &root, &dir);
        let key = signing::sign(".", &root, Signing::Nsec, &keys).expect("a key of the root");
        anchors += &key.anchor(anchor);
        conf += &served(".", "");
        let trust_anchor = dir.join("trust-anchor");
        fs::write(&trust_anchor, anchors).expect("a file of trust anchors");
        Self::run(address, dir, &conf, Some(trust_anchor))
    }

    fn run(address: SocketAddr, dir: PathBuf, conf: &str, trust_anchor: Option<PathBuf>) -> Self {
        fs::write(dir.join("named.conf"), conf).expect("named.conf");
        let mut bind = Self { address, dir, trust_anchor, process: None };
        bind.restart();
        bind
    }

    /// The file that names the root's key, where the root is signed.
    pub fn trust_anchor(&self) -> Option<&Path> {
        self.trust_anchor.as_deref()
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it again after [`Bind::stop`], with all that was updated.
    pub fn restart(&mut self) {
        let mut command = Command::new("/usr/sbin/named");
        command.arg("-f").arg("-c").arg(self.dir.join("named.conf")).args(["-n", "1"]);
        let mut process = Process::start(&mut command, &self.dir.join("named.log"));
        let address = self.address();
        process.wait_until("BIND answers", || answers(address));
        self.process = Some(process);
    }

    /// Stops it: nobody answers on its port.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// SIGTERM, and its end.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        self.process.as_mut().expect("BIND runs").wait();
        self.process = None;
    }

    /// Its process, if it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Stops it in its tracks: its port is open, and nothing ever comes back.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Undoes [`Bind::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("BIND runs").signal(signal);
    }

    /// Changes records by a dynamic update (RFC 2136); each line is a command of nsupdate.
    pub fn update(&self, commands: &[&str]) {
        let script = self.dir.join("update");
        let text = format!(
            "server {} {}\n{}\nsend\n",
            self.address.ip(),
            self.address.port(),
            commands.join("\n")
        );
        fs::write(&script, text).expect("the update can be written");
        run(Command::new("nsupdate").arg(&script)).expect("BIND takes the update");
    }

    /// Points the federator of `domain` to `target`, and nowhere else.
    pub fn set_srv(&self, domain: &str, ttl: u32, target: &str) {
        let owner = service(domain);
        self.update(&[
            &format!("update delete {owner} SRV"),
            &format!("update add {owner} {ttl} SRV 10 5 443 {target}"),
        ]);
    }

    /// Changes a zone's file behind its signatures' back.
    pub fn spoil(&mut self, zone: &str, from: &str, to: &str) {
        self.stop();
        signing::spoil(&self.dir.join(format!("{zone}.zone")), from, to);
        self.restart();
    }

    /// How many queries have come, for whatever.
    pub fn all_queries(&self) -> usize {
        let log = fs::read_to_string(self.dir.join("query.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("query: ")).count()
    }

    /// How many queries for the federator of `domain` have come, by UDP and by TCP.
    pub fn queries(&self, domain: &str) -> usize {
        self.query_flags(domain).len()
    }

    /// How many of them came by TCP.
    pub fn tcp_queries(&self, domain: &str) -> usize {
        self.query_flags(domain).iter().filter(|flags| flags.contains('T')).count()
    }

    /// What BIND's log says of each query for the federator of `domain`: `+E(0)K`, with `T` for TCP.
    fn query_flags(&self, domain: &str) -> Vec<String> {
        let log = fs::read_to_string(self.dir.join("query.log")).unwrap_or_default();
        let question = format!("query: {} IN SRV ", service(domain).trim_end_matches('.'));
        let flags = |line: &str| Some(line.split_once(&question)?.1.split(' ').next()?.to_owned());
        log.lines().filter_map(flags).collect()
    }
}

/// The owner name of a domain's SRV records, with the root's dot.
pub fn service(domain: &str) -> String {
    format!("_wire-server-federator._tcp.{domain}.")
}

/// One SRV record in the master format.
pub fn srv(domain: &str, ttl: u32, target: &str) -> String {
    format!("{} {ttl} IN SRV 10 5 443 {target}", service(domain))
}

/// The folder of BIND's files.
fn folder(dir: &Path) -> PathBuf {
    let dir = dir.join("bind");
    fs::create_dir_all(&dir).expect("a folder for BIND");
    dir
}

/// Writes a zone's file, and has it checked.
fn write_zone(zone: &str, text: &str, dir: &Path) -> PathBuf {
    let file = dir.join(format!("{zone}.zone"));
    fs::write(&file, text).expect("a zone file");
    let mut check = Command::new("named-checkzone");
    run(check.args(["-i", "none", "-k", "ignore", zone]).arg(&file)).expect("the records make a zone");
    file
}

fn zone_file(zone: &str, records: &[&str]) -> String {
    let mut file = format!(
        "{zone}. 60 IN SOA ns.{zone}. hostmaster.{zone}. 1 60 60 600 5\n{zone}. 60 IN NS ns.{zone}.\n"
    );
    for record in records {
        if is_in(record, zone) {
            let _ = writeln!(file, "{record}");
        }
    }
    let _ = writeln!(file, "ns.{zone}. 60 IN A 127.0.0.1");
    file
}

/// Whether a record's owner is below a zone's apex.
fn is_in(record: &str, zone: &str) -> bool {
    let owner = record.split_whitespace().next().unwrap_or_default();
    owner.trim_end_matches('.').ends_with(&format!(".{zone}"))
}

fn named_conf(address: SocketAddr, dir: &Path) -> String {
    let (ip, port) = (address.ip(), address.port());
    let dir = dir.display();
    format!(
        r#"options {{
  directory "{dir}";
  pid-file "{dir}/named.pid";
  session-keyfile "{dir}/session.key";
  listen-on port {port} {{ {ip}; }};
  listen-on-v6 {{ none; }};
  recursion no;
  check-names primary ignore;
  check-integrity no;
  dnssec-validation no;
  minimal-responses yes;
  rrset-order {{ order none; }};
  notify no;
  querylog yes;
}};
controls {{ }};
logging {{
  channel log {{ stderr; severity info; }};
  category default {{ log; }};
  channel queries {{ file "{dir}/query.log"; severity info; }};
  category queries {{ queries; }};
}};
"#
    )
}

/// The part of `named.conf` that has a zone served from its file.
fn served(zone: &str, options: &str) -> String {
    format!("zone \"{zone}\" {{ type primary; file \"{zone}.zone\"; {options} }};\n")
}

/// Whether BIND answers a question for the root's name servers (with a refusal, which will do).
fn answers(address: SocketAddr) -> bool {
    let query = [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let ask = || -> std::io::Result<usize> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.send_to(&query, address)?;
        socket.recv(&mut [0; 512])
    };
    ask().is_ok()
}
