//! The zones: a signed root, three zones below it that deny in different ways, and below those one for
//! each way to be signed. All are served by one BIND.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use fedgate_tests::dns::{service, srv};
use fedgate_tests::process::{Process, run};

use crate::resolvers::answers;

/// The zones below the root, and how they are signed: with opt-out as registries do, without, with NSEC.
const PARENTS: [(&str, &[&str]); 3] = [("com", &["-3", "-", "-A"]), ("net", &["-3", "-"]), ("org", &[])];

/// A way to be signed.
struct Kind {
    name: &'static str,
    algorithm: &'static str,
    /// Options of `dnssec-signzone`; none where the zone is not signed.
    options: Option<&'static [&'static str]>,
    digests: Digests,
}

/// The DS records that the zone above has.
enum Digests {
    None,
    /// Of these types, such as `SHA-256`.
    Right(&'static [&'static str]),
    /// The first is right, the second is of another key.
    RightAndWrong(&'static str, &'static str),
    /// These, made up.
    Made(&'static [&'static str]),
    /// The right one, and these.
    RightAndMade(&'static [&'static str]),
}

const P256: &str = "ECDSAP256SHA256";
const USUAL: Digests = Digests::Right(&["SHA-256"]);
const SIGNED: Option<&[&str]> = Some(&[]);

/// A DS record that fits no key.
macro_rules! digest {
    ($head:literal) => {
        concat!($head, " E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D")
    };
}

macro_rules! kinds {
    ($($name:literal: $algorithm:expr, $options:expr, $digests:expr;)*) => {
        &[$(Kind { name: $name, algorithm: $algorithm, options: $options, digests: $digests }),*]
    };
}

/// Ways that are tried below each of [`PARENTS`], with many domains.
const MANY: &[Kind] = kinds! {
    "nsec": P256, SIGNED, USUAL;
    "nsec3": P256, Some(&["-3", "-"]), USUAL;
    "salted": P256, Some(&["-3", "aabbccdd", "-H", "10"]), USUAL;
    "optout": P256, Some(&["-3", "-", "-A"]), USUAL;
    "rounds": P256, Some(&["-t", "151"]), USUAL;
    "unsigned": P256, None, Digests::None;
    "island": P256, SIGNED, Digests::None;
};

/// Ways that are tried below each of [`PARENTS`], with a few domains.
const FEW: &[Kind] = kinds! {
    "rounds150": P256, Some(&["-3", "-", "-H", "150"]), USUAL;
    "rounds501": P256, Some(&["-t", "501"]), USUAL;
    "rsa256": "RSASHA256", SIGNED, USUAL;
    "rsa512": "RSASHA512", SIGNED, USUAL;
    "rsa1": "RSASHA1", SIGNED, USUAL;
    "nsec3rsa1": "NSEC3RSASHA1", Some(&["-3", "-"]), USUAL;
    "p384": "ECDSAP384SHA384", SIGNED, USUAL;
    "ed25519": "ED25519", SIGNED, USUAL;
    "ed448": "ED448", SIGNED, USUAL;
    "ed448lost": "ED448", None, USUAL;
    "expired": P256, Some(&["-s", "20200101000000", "-e", "20200201000000"]), USUAL;
    "future": P256, Some(&["-s", "20980101000000", "-e", "20990101000000"]), USUAL;
    "hour": P256, Some(&["-s", "now-7200", "-e", "now-1800"]), USUAL;
    "altered": P256, SIGNED, USUAL;
    "lost": P256, None, USUAL;
    "otherkey": P256, SIGNED, Digests::RightAndWrong("", "SHA-256");
    "sha1": P256, SIGNED, Digests::Right(&["SHA-1"]);
    "sha384": P256, SIGNED, Digests::Right(&["SHA-384"]);
    "shaall": P256, SIGNED, Digests::Right(&["SHA-1", "SHA-256", "SHA-384"]);
    "sha1only": P256, SIGNED, Digests::RightAndWrong("SHA-1", "SHA-256");
    "sha256only": P256, SIGNED, Digests::RightAndWrong("SHA-256", "SHA-384");
    "sha384only": P256, SIGNED, Digests::RightAndWrong("SHA-384", "SHA-256");
    "otherdigest": P256, SIGNED, Digests::Made(&["1 13 99 ABCD"]);
    "gostdigest": P256, SIGNED, Digests::Made(&[digest!("1 13 3")]);
    "anddigest": P256, SIGNED, Digests::RightAndMade(&["1 13 99 ABCD"]);
    "algorithm1": P256, None, Digests::Made(&[digest!("1 1 2")]);
    "algorithm3": P256, None, Digests::Made(&[digest!("1 3 2")]);
    "algorithm6": P256, None, Digests::Made(&[digest!("1 6 2")]);
    "algorithm12": P256, None, Digests::Made(&[digest!("1 12 2")]);
    "algorithm17": P256, None, Digests::Made(&[digest!("1 17 2")]);
    "algorithm23": P256, None, Digests::Made(&[digest!("1 23 2")]);
    "algorithm200": P256, SIGNED, Digests::Made(&[digest!("1 200 2")]);
    "algorithm253": P256, None, Digests::Made(&[digest!("1 253 2")]);
    "andalgorithm": P256, SIGNED, Digests::RightAndMade(&[digest!("1 200 2")]);
    "oralgorithm": P256, None, Digests::Made(&[digest!("1 200 2"), "1 13 99 ABCD"]);
};

/// The prefixes of domains of a zone of [`FEW`]; more, which are also asked for while answers are forged;
/// and all the others of a zone of [`MANY`].
const PREFIXES: [&[&str]; 3] = [
    &["", "absent.", "empty."],
    &["x.wild.", "there.wild.", "ent.", "alias.", "moved.", "lower.", "open."],
    &[
        "x.y.wild.",
        "wild.",
        "x.bare.",
        "deep.ent.",
        "x.ent.",
        "case.",
        "several.",
        "long.",
        "leaves.",
        "spoilt.",
        "nowhere.",
        "x.walias.",
        "gone.",
        "absent.lower.",
        "absent.open.",
        "broken.",
        "x.absent.",
        "endless.",
        "spelt.",
    ],
];

/// Of a list of zones, one for each way to be signed.
fn domains(zones: &[Kind], only: &[&str], prefixes: &[&[&str]]) -> Vec<String> {
    let zones = zones.iter().filter(|kind| kind.is_in(only));
    let zones = zones.flat_map(|kind| PARENTS.map(|(parent, _)| format!("{}.{parent}", kind.name)));
    let prefixes = prefixes.concat();
    zones
        .flat_map(|zone| {
            prefixes.iter().map(move |prefix| format!("{prefix}{zone}")).collect::<Vec<_>>()
        })
        .collect()
}

impl Kind {
    /// Whether it is one of these, where there are any.
    fn is_in(&self, only: &[&str]) -> bool {
        only.is_empty() || only.contains(&self.name)
    }
}

fn records(zone: &str) -> Vec<String> {
    let named = |prefix: &str| format!("{prefix}.{zone}");
    let alias = |from: &str, to: &str| format!("{} 60 IN CNAME {}", service(&named(from)), service(to));
    let mut records = vec![
        srv(zone, 60, &format!("infra.{zone}.")),
        format!("{} 60 IN TXT none", service(&named("empty"))),
        format!("*.wild.{zone}. 60 IN SRV 10 5 443 infra.wild.{zone}."),
        srv(&named("there.wild"), 60, &format!("infra.there.{zone}.")),
        format!("*.bare.{zone}. 60 IN TXT none"),
        srv(&named("deep.ent"), 60, &format!("infra.deep.{zone}.")),
        srv(&named("case"), 60, &format!("INFRA.Case.{zone}.")),
        srv(&named("several"), 60, &format!("b.{zone}.")),
        srv(&named("several"), 60, &format!("A.{zone}.")),
        srv(&named("several"), 3600, &format!("c.c.{zone}.")),
        alias("alias", "nsec.org"),
        alias("leaves", "unsigned.org"),
        alias("spoilt", "expired.org"),
        alias("nowhere", "absent.nsec.org"),
        alias("endless", &named("endless")),
        format!("*.walias.{zone}. 60 IN CNAME {}", service("nsec3.net")),
        format!("moved.{zone}. 60 IN DNAME nsec.org."),
        format!("gone.{zone}. 60 IN DNAME unsigned.org."),
        format!("spelt.{zone}. 60 IN DNAME NSEC.Org."),
    ];
    records.extend((10..50).map(|n| srv(&named("long"), 60, &format!("t{n}.long.{zone}."))));
    records
}

/// All zones, signed, and the folder that they are in.
pub(crate) struct Zones {
    dir: PathBuf,
    conf: String,
    only: &'static [&'static str],
    pub(crate) trust_anchor: PathBuf,
}

impl Zones {
    /// Makes them; `only` those that are signed in these ways, if any is named.
    pub(crate) fn sign(dir: &Path, only: &'static [&'static str]) -> Self {
        let (dir, trust_anchor) = (dir.to_owned(), dir.join("anchor"));
        let mut zones = Self { dir, conf: String::new(), only, trust_anchor };
        let mut root = String::new();
        for (parent, options) in PARENTS {
            let mut below = String::new();
            for kind in MANY.iter().filter(|kind| kind.is_in(only)) {
                let zone = format!("{}.{parent}", kind.name);
                let mut text = records(&zone).join("\n");
                for (child, kind) in [("lower", &MANY[0]), ("open", &MANY[5])] {
                    let child = format!("{child}.{zone}");
                    let record = srv(&child, 60, &format!("infra.{child}."));
                    text += &zones.delegate(&child, &record, kind);
                }
                let child = format!("broken.{zone}");
                let lost = Kind { name: "", algorithm: P256, options: None, digests: USUAL };
                text += &zones.delegate(&child, &srv(&child, 60, &format!("infra.{child}.")), &lost);
                below += &zones.delegate(&zone, &text, kind);
            }
            for kind in FEW.iter().filter(|kind| kind.is_in(only)) {
                let zone = format!("{}.{parent}", kind.name);
                let text = records(&zone)[..2].join("\n");
                below += &zones.delegate(&zone, &text, kind);
            }
            let kind = Kind { name: "", algorithm: P256, options: Some(options), digests: USUAL };
            root += &zones.delegate(parent, &below, &kind);
        }
        let file = zones.write(".", &root);
        let key = zones.key(".", P256);
        zones.sign_file(".", &file, &key, &[]);
        let anchor = fs::read_to_string(zones.dir.join(format!("{key}.key"))).unwrap();
        fs::write(&zones.trust_anchor, anchor).unwrap();
        zones
    }

    /// The domains to ask for while the path is honest.
    pub(crate) fn honest(&self) -> Vec<String> {
        [domains(MANY, self.only, &PREFIXES), domains(FEW, self.only, &PREFIXES[..1])].concat()
    }

    /// Those to ask for while answers are forged.
    pub(crate) fn forged(&self) -> Vec<String> {
        domains(MANY, self.only, &PREFIXES[..2])
    }

    /// Makes a zone, and what the zone above says of it.
    fn delegate(&mut self, zone: &str, text: &str, kind: &Kind) -> String {
        let file = self.write(zone, text);
        let key = self.key(zone, kind.algorithm);
        if let Some(options) = kind.options {
            self.sign_file(zone, &file, &key, options);
        }
        if kind.name == "altered" {
            let signed = fs::read_to_string(&file).unwrap();
            fs::write(&file, signed.replace(" 443 infra.", " 443 other.")).unwrap();
        }
        let mut above = format!("\n{zone}. 60 IN NS ns.{zone}.\nns.{zone}. 60 IN A 127.0.0.1\n");
        let made = |records: &[&str]| {
            let line = |record: &&str| format!("{zone}. 60 IN DS {record}\n");
            records.iter().map(line).collect::<String>()
        };
        above += &match kind.digests {
            Digests::None => String::new(),
            Digests::Right(types) => types.iter().map(|kind| self.digest(&key, kind)).collect(),
            Digests::RightAndWrong(right, wrong) => {
                let other = self.key(zone, kind.algorithm);
                let right = if right.is_empty() { String::new() } else { self.digest(&key, right) };
                right + &self.digest(&other, wrong)
            }
            Digests::Made(records) => made(records),
            Digests::RightAndMade(records) => made(records) + &self.digest(&key, "SHA-256"),
        };
        above
    }

    fn write(&mut self, zone: &str, text: &str) -> PathBuf {
        let dot = if zone == "." { "" } else { zone };
        let file = self.dir.join(format!("{zone}.zone"));
        let ns = format!("ns.{dot}").trim_end_matches('.').to_owned();
        let head = format!(
            "$ORIGIN .\n{zone} 60 IN SOA {ns} h.{dot} 1 60 60 600 5\n{zone} 60 IN NS {ns}\n{ns} 60 IN A 127.0.0.1\n"
        );
        fs::write(&file, head + text).unwrap();
        let _ = writeln!(self.conf, "zone \"{zone}\" {{ type primary; file \"{zone}.zone\"; }};");
        file
    }

    fn key(&self, zone: &str, algorithm: &str) -> String {
        let mut command = Command::new("dnssec-keygen");
        command.args(["-q", "-a", algorithm, "-f", "KSK", "-K"]).arg(&self.dir);
        if algorithm.contains("RSA") {
            command.args(["-b", "2048"]);
        }
        run(command.arg(zone)).expect("a key").trim().to_owned()
    }

    fn digest(&self, key: &str, kind: &str) -> String {
        let mut command = Command::new("dnssec-dsfromkey");
        run(command.args(["-a", kind]).arg(self.dir.join(key))).expect("a digest")
    }

    fn sign_file(&self, zone: &str, file: &Path, key: &str, options: &[&str]) {
        let path = self.dir.join(key);
        let record = fs::read_to_string(path.with_file_name(format!("{key}.key"))).unwrap();
        let text = fs::read_to_string(file).unwrap();
        fs::write(file, text + "\n" + &record).unwrap();
        if let Some(rounds) = options.last().filter(|_| options.contains(&"-t")) {
            // More iterations than BIND signs with.
            let mut command = Command::new("ldns-signzone");
            command.args(["-n", "-t", rounds, "-o", zone, "-f"]).arg(file).arg(file).arg(path);
            run(&mut command).expect("signed");
            return;
        }
        let mut command = Command::new("dnssec-signzone");
        command.args(["-q", "-P", "-z", "-O", "full", "-d"]).arg(&self.dir).args(options);
        run(command.arg("-o").arg(zone).arg("-f").arg(file).arg(file).arg(path)).expect("signed");
    }

    /// BIND, with all of them.
    pub(crate) fn serve(&self, address: SocketAddr) -> Process {
        let dir = self.dir.display();
        let (ip, port) = (address.ip(), address.port());
        let conf = format!(
            "options {{ directory \"{dir}\"; pid-file none; session-keyfile none; listen-on port {port} {{ {ip}; }};
  listen-on-v6 {{ none; }}; recursion no; check-names primary ignore; check-integrity no;
  dnssec-validation no; notify no; minimal-responses yes; }};\ncontrols {{ }};\n{}",
            self.conf
        );
        let file = self.dir.join("named.conf");
        fs::write(&file, conf).unwrap();
        let mut command = Command::new("/usr/sbin/named");
        command.arg("-g").arg("-c").arg(file).args(["-n", "1"]);
        let mut process = Process::start(&mut command, &self.dir.join("named.log"));
        process.wait_until("BIND answers", || answers(address));
        process
    }
}
