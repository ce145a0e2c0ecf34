//! Who is compared: Fedgate, unbound and BIND, each asking the same server, and what each says.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fedgate_tests::address::Address;
use fedgate_tests::control_plane::{ControlPlane, FILTER_TOKEN};
use fedgate_tests::dns::service;
use fedgate_tests::process::{Process, http};
use hickory_proto::op::{Edns, Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinEncodable};
use serde_json::Value;

use crate::path;

/// What is said of a domain's federator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Hosts(BTreeSet<String>),
    Absent,
    /// And why.
    Refused(String),
}

/// What all say of a domain.
#[derive(Debug)]
pub(crate) struct AllSaid {
    pub(crate) opportunistic: Said,
    pub(crate) require: Said,
    /// Each with whether it is secure.
    pub(crate) unbound: (Said, bool),
    pub(crate) bind: (Said, bool),
}

/// All of them, running.
pub(crate) struct Resolvers {
    _addresses: [Address; 4],
    fedgates: [ControlPlane; 2],
    _processes: [Process; 2],
    unbound: SocketAddr,
    bind: SocketAddr,
}

impl Resolvers {
    /// Starts them with their files in `dir`, to ask the server `dns` and trust what the file names.
    pub(crate) fn start(dir: &Path, dns: SocketAddr, trust_anchor: &Path) -> Self {
        let addresses = [(); 4].map(|()| Address::claim());
        let [opportunistic, require, unbound, bind] = &addresses;
        let fedgate = |mode: &str, address: &Address| {
            let discovery = format!(
                "dnssec = \"{mode}\"\ntrust_anchor = \"{}\"\ntimeout = \"10s\"",
                trust_anchor.display()
            );
            let control_plane = ControlPlane::start(address.ip(), &dir.join(mode), dns, &discovery);
            control_plane.cli(&["strategy", "set", "allowAll"]).unwrap();
            control_plane
        };
        let fedgates = [fedgate("opportunistic", opportunistic), fedgate("require", require)];
        let (unbound, bind) = (unbound.dns(), bind.dns());
        let processes =
            [start_unbound(dir, unbound, dns, trust_anchor), start_bind(dir, bind, dns, trust_anchor)];
        Self { _addresses: addresses, fedgates, _processes: processes, unbound, bind }
    }

    pub(crate) fn ask(&self, domain: &str) -> AllSaid {
        let [opportunistic, require] = &self.fedgates;
        AllSaid {
            opportunistic: verdict(opportunistic, domain),
            require: verdict(require, domain),
            unbound: resolved(self.unbound, domain),
            bind: resolved(self.bind, domain),
        }
    }
}

fn start_unbound(dir: &Path, at: SocketAddr, dns: SocketAddr, trust_anchor: &Path) -> Process {
    let conf = format!(
        "server:
  interface: {ip}@{port}
  access-control: 127.0.0.0/8 allow
  username: \"\"
  chroot: \"\"
  directory: \"{dir}\"
  pidfile: \"\"
  use-syslog: no
  do-ip6: no
  do-not-query-localhost: no
  module-config: \"validator iterator\"
  trust-anchor-file: \"{anchor}\"
  trust-anchor-signaling: no
  root-key-sentinel: no
  val-log-level: 2
  val-sig-skew-min: 0
  val-sig-skew-max: 0
  aggressive-nsec: no
  prefetch: no
remote-control:
  control-enable: no
forward-zone:
  name: \".\"
  forward-addr: {server}@{server_port}
",
        ip = at.ip(),
        port = at.port(),
        dir = dir.display(),
        anchor = trust_anchor.display(),
        server = dns.ip(),
        server_port = dns.port()
    );
    let file = dir.join("unbound.conf");
    fs::write(&file, conf).unwrap();
    let mut command = Command::new("/usr/sbin/unbound");
    let mut process = Process::start(command.args(["-d", "-c"]).arg(file), &dir.join("unbound.log"));
    process.wait_until("unbound answers", || answers(at));
    process
}

fn start_bind(dir: &Path, at: SocketAddr, dns: SocketAddr, trust_anchor: &Path) -> Process {
    let anchor = fs::read_to_string(trust_anchor).unwrap();
    let key = anchor.lines().find_map(|line| line.split_once(" DNSKEY ")).unwrap().1;
    let mut words = key.split_whitespace();
    let numbers: Vec<_> = words.by_ref().take(3).collect();
    let key: String = words.collect();
    let conf = format!(
        "options {{ directory \"{dir}\"; pid-file none; session-keyfile none; listen-on port {port} {{ {ip}; }};
  listen-on-v6 {{ none; }}; recursion yes; allow-recursion {{ any; }}; forward only;
  forwarders {{ {server} port {server_port}; }}; dnssec-validation yes; trust-anchor-telemetry no;
  synth-from-dnssec no; empty-zones-enable no; }};\ncontrols {{ }};
trust-anchors {{ . static-key {numbers} \"{key}\"; }};\n",
        dir = dir.display(),
        port = at.port(),
        ip = at.ip(),
        server = dns.ip(),
        server_port = dns.port(),
        numbers = numbers.join(" ")
    );
    let file = dir.join("resolver.conf");
    fs::write(&file, conf).unwrap();
    let mut command = Command::new("/usr/sbin/named");
    command.arg("-g").arg("-c").arg(file).args(["-n", "1"]);
    let mut process = Process::start(&mut command, &dir.join("resolver.log"));
    process.wait_until("the resolver answers", || answers(at));
    process
}

/// What Fedgate says.
fn verdict(control_plane: &ControlPlane, domain: &str) -> Said {
    let url = format!("{}/v1/verdicts/{domain}", control_plane.verdicts_url());
    let request = http().get(url).header("authorization", format!("Bearer {FILTER_TOKEN}"));
    let Ok(mut response) = request.call() else { return Said::Refused("silence".to_owned()) };
    let verdict: Value = response.body_mut().read_json().unwrap();
    if let Some(hosts) = verdict["hosts"].as_array() {
        return Said::Hosts(hosts.iter().map(|host| host.as_str().unwrap().to_owned()).collect());
    }
    match verdict["failure"]["label"].as_str() {
        Some("invalid-domain") => Said::Absent,
        _ => Said::Refused(verdict["failure"]["message"].to_string()),
    }
}

/// What a resolver says, and whether it is secure.
fn resolved(resolver: SocketAddr, domain: &str) -> (Said, bool) {
    let name = Name::from_ascii(service(domain)).unwrap();
    let query = query(&name, RecordType::SRV);
    let answer = ask(resolver, &query).and_then(|answer| {
        if answer.metadata.truncation { ask_by_tcp(resolver, &query) } else { Some(answer) }
    });
    let Some(answer) = answer else { return (Said::Refused("silence".to_owned()), false) };
    let targets = answer.answers.iter().filter_map(|record| {
        let RData::SRV(srv) = &record.data else { return None };
        Some(srv.target.to_ascii().trim_end_matches('.').to_ascii_lowercase())
    });
    let targets: BTreeSet<_> = targets.collect();
    let code = answer.response_code;
    let said = if ![ResponseCode::NoError, ResponseCode::NXDomain].contains(&code) {
        Said::Refused(code.to_string())
    } else if code == ResponseCode::NoError && !targets.is_empty() {
        Said::Hosts(targets)
    } else {
        Said::Absent
    };
    (said, answer.metadata.authentic_data)
}

/// A question as a validator asks it.
pub(crate) fn query(name: &Name, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let mut edns = Edns::new();
    edns.set_dnssec_ok(true);
    edns.set_max_payload(4096);
    message.edns = Some(edns);
    message
}

/// Asks by UDP.
pub(crate) fn ask(server: SocketAddr, query: &Message) -> Option<Message> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.send_to(&query.to_bytes().unwrap(), server).unwrap();
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    Message::from_bytes(&buffer[..length]).ok()
}

fn ask_by_tcp(server: SocketAddr, query: &Message) -> Option<Message> {
    let mut stream = TcpStream::connect(server).ok()?;
    path::write(&mut stream, &query.to_bytes().unwrap())?;
    Message::from_bytes(&path::read(&mut stream)?).ok()
}

/// Whether somebody answers there.
pub(crate) fn answers(address: SocketAddr) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let query = query(&Name::root(), RecordType::NS).to_bytes().unwrap();
    socket.send_to(&query, address).is_ok() && socket.recv(&mut [0; 4096]).is_ok()
}
