//! TLS on the control plane's listeners: with the command line, with Envoy, and through renewals.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use fedgate_tests::caller::Caller;
use fedgate_tests::control_plane::{ADMIN_PORT, ADMIN_TOKEN};
use fedgate_tests::dns::srv;
use fedgate_tests::pki::{Authority, Identity, Leaf};
use fedgate_tests::process::{PATIENCE, Process, eventually, run};
use fedgate_tests::{World, address::Address, artifacts};

use crate::claim::Expect::Permit;
use crate::claim::{check_http2, origin};

const NAME: &str = "fedgate.example.com";

/// Puts a certificate in place as Kubernetes does: all of it in one step, behind a link.
fn put(folder: &Path, number: u32, certificate: &str, key: &str) {
    let data = folder.join(format!("data-{number}"));
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("tls.crt"), certificate).unwrap();
    fs::write(data.join("tls.key"), key).unwrap();
    let next = folder.join("next");
    symlink(&data, &next).unwrap();
    fs::rename(next, folder.join("..data")).unwrap();
    for file in ["tls.crt", "tls.key"] {
        // From the second time on it is there.
        let _ = symlink(Path::new("..data").join(file), folder.join(file));
    }
}

/// The lines of a configuration in which these listeners speak TLS.
fn configured(folder: &Path, listeners: &[&str]) -> String {
    let folder = folder.display();
    let of = |name: &&str| {
        format!("{name}_certificate = \"{folder}/tls.crt\"\n{name}_key = \"{folder}/tls.key\"\n")
    };
    format!("\n[tls]\n{}", listeners.iter().map(of).collect::<String>())
}

fn issue(authority: &Authority) -> Identity {
    authority.issue(&Leaf::of([NAME]))
}

/// `docs/envoy.md`'s transport socket, for this authority, as it stands in a cluster.
fn transport_socket(ca: &Path) -> String {
    let guide = artifacts::read("docs/envoy.md");
    let (_, after) = guide.split_once("### TLS to the control plane").expect("the guide speaks of TLS");
    let (_, after) = after.split_once("```yaml\n").expect("with an example");
    let (example, _) = after.split_once("```").expect("that ends");
    let lines = example.lines().map(|line| format!("    {line}\n")).collect::<Vec<_>>().concat();
    lines.replace("/etc/fedgate/tls/control-plane-ca.pem", &ca.display().to_string())
}

#[test]
fn envoy_speaks_tls_to_verdicts_and_xds_as_the_guide_says() {
    let authority = Authority::root("the control plane's");
    let folder = tempfile::tempdir().unwrap();
    let identity = issue(&authority);
    put(folder.path(), 1, &identity.chain, &identity.key);
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let socket = transport_socket(&ca);
    let in_cluster = |name: &str| format!("    load_assignment:\n      cluster_name: {name}");
    let [verdicts, xds] = ["fedgate_verdicts", "fedgate_xds"].map(in_cluster);
    let world = World::builder()
        .records([srv("a.com", 3600, "infra.x.com.")])
        .discovery(&configured(folder.path(), &["verdicts", "xds"]))
        .egress()
        .edit(&verdicts, &format!("{socket}{verdicts}"))
        .edit(&xds, &format!("{socket}{xds}"))
        .allow(&["a.com"])
        .start();
    let caller = world.caller(&world.identity(&["infra.x.com"]));
    check_http2(&world, &caller, "over_tls", &[origin("a.com")], Permit("a.com"));
    eventually("Envoy has a stream", || {
        world.control_plane.as_ref()?.log().contains("xDS stream opened").then_some(())
    });
}

/// `fedgate serve` whose admin listener speaks TLS.
struct Admin {
    process: Process,
    address: Address,
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Admin {
    fn start() -> Self {
        let (address, folder) = (Address::claim(), tempfile::tempdir().unwrap());
        let authority = Authority::root("the control plane's");
        let identity = issue(&authority);
        put(folder.path(), 1, &identity.chain, &identity.key);
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let mut command = serve(&address, folder.path());
        let process = Process::start(&mut command, &folder.path().join("log"));
        let mut admin = Self { process, address, folder, authority };
        let at = (admin.address.ip(), ADMIN_PORT);
        admin.process.wait_until("it listens", || TcpStream::connect(at).is_ok());
        admin
    }

    /// The certificate that a new connection is shown is one of this authority's.
    fn shows(&self, authority: &Authority) -> bool {
        let address = SocketAddr::from((self.address.ip(), ADMIN_PORT));
        let caller = Caller::new(address, NAME, authority.pem(), None);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { caller.http1().await.is_ok() && caller.http2().await.is_ok() })
    }

    fn told(&self, words: &str) -> usize {
        self.process.log().lines().filter(|line| line.contains(words)).count()
    }
}

fn cli(args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(artifacts::fedgate());
    run(command.args(args).env("FEDGATE_TOKEN", ADMIN_TOKEN))
}

fn serve(address: &Address, folder: &Path) -> Command {
    let digest = run(Command::new("sh").args([
        "-c",
        "printf %s \"$0\" | \"$1\" token hash --name admin --role admin",
        ADMIN_TOKEN,
        &artifacts::fedgate().display().to_string(),
    ]));
    let digest = digest.unwrap();
    let token =
        digest.split_whitespace().find(|word| word.starts_with("admin:admin:")).unwrap().to_owned();
    let ip = address.ip();
    let mut command = Command::new(artifacts::fedgate());
    command.args(["serve", "--tokens", &token]).current_dir(folder);
    for (listener, port) in [("admin", ADMIN_PORT), ("verdicts", 8601), ("xds", 8602)] {
        command.args([format!("--listen-{listener}"), format!("{ip}:{port}")]);
    }
    command.args(["--discovery-servers", "127.0.0.1:9"]);
    command.args(["--tls-admin-certificate", "tls.crt", "--tls-admin-key", "tls.key"]);
    command
}

#[test]
fn the_command_line_speaks_tls_to_whom_it_is_told_to_trust() {
    let admin = Admin::start();
    let ip = admin.address.ip();
    let identity = admin.authority.issue(&Leaf {
        names: vec![fedgate_tests::pki::San::Ip(ip.octets().to_vec())],
        ..Leaf::default()
    });
    put(admin.folder.path(), 2, &identity.chain, &identity.key);
    let ca = admin.folder.path().join("ca.pem").display().to_string();
    let url = format!("https://{ip}:{ADMIN_PORT}");
    eventually("the certificate bears the address", || {
        cli(&["strategy", "get", "--url", &url, "--ca", &ca]).ok()
    });
    for (args, cause) in [
        (vec!["--url", &url], "UnknownIssuer"),
        (vec!["--url", &url, "--ca", "/no/ca.pem"], "/no/ca.pem: No such file"),
        (vec!["--url", &url, "--ca", "/dev/null"], "/dev/null: it holds no certificate in PEM"),
        (vec!["--url", &format!("http://{ip}:{ADMIN_PORT}")], "cannot reach the control plane"),
    ] {
        let error = cli(&[&["strategy", "get"], &*args].concat()).unwrap_err();
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn a_certificate_is_renewed_while_it_serves_and_a_broken_one_is_told_once() {
    let admin = Admin::start();
    let folder = admin.folder.path();
    assert!(admin.shows(&admin.authority));
    // It is good for a day.
    eventually("its end is told", || {
        (admin.told("the certificate comes to its end") == 1).then_some(())
    });
    let next = Authority::root("the next one");
    let (mine, other) = (issue(&next), issue(&next));
    put(folder, 2, &mine.chain, &other.key);
    eventually("what is wrong is told", || {
        (admin.told("the certificate cannot be renewed") == 1).then_some(())
    });
    assert!(admin.told("is not the key of the certificate in") == 1, "{}", admin.process.log());
    assert!(admin.shows(&admin.authority), "the old one stays in use");
    put(folder, 3, &mine.chain, &mine.key);
    eventually("the next one is in use", || admin.shows(&next).then_some(()));
    assert!(!admin.shows(&admin.authority));
    assert_eq!(admin.told("the certificate cannot be renewed"), 1);
}

#[test]
fn handshakes_that_are_begun_and_not_gone_on_with_end_and_keep_nobody_out() {
    let admin = Admin::start();
    let at = (admin.address.ip(), ADMIN_PORT);
    // Nothing; half a ClientHello; and what is no TLS at all.
    let all = [&b""[..], b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"].map(|octets| {
        std::iter::repeat_with(|| {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.write_all(octets).unwrap();
            stream
        })
        .take(300)
        .collect::<Vec<_>>()
    });
    assert!(admin.shows(&admin.authority));
    for mut stream in all.into_iter().flatten() {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let closed = stream.read_to_end(&mut Vec::new());
        let late = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
        assert!(!closed.is_err_and(|error| late.contains(&error.kind())), "it is still open");
    }
}

#[test]
fn a_start_without_a_usable_certificate_is_refused_with_file_and_cause() {
    let (address, folder) = (Address::claim(), tempfile::tempdir().unwrap());
    let authority = Authority::root("the control plane's");
    let (mine, other) = (issue(&authority), issue(&authority));
    for (number, (certificate, key, cause)) in (0_u32..).zip([
        (&*mine.chain, &*other.key, "tls.key is not the key of the certificate in tls.crt"),
        ("nonsense", &*mine.key, "tls.crt: holds no certificate in PEM"),
        (&*mine.chain, "", "tls.key: holds no private key in PEM"),
    ]) {
        put(folder.path(), number, certificate, key);
        let error = run(&mut serve(&address, folder.path())).unwrap_err();
        assert!(error.contains("exit status: 2") && error.contains(cause), "{error}");
    }
    fs::remove_file(folder.path().join("tls.key")).unwrap();
    let error = run(&mut serve(&address, folder.path())).unwrap_err();
    assert!(error.contains("cannot read tls.key: No such file or directory"), "{error}");
}
