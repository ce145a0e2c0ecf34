//! The containers as the stage of the demo's scenarios.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{self, Stdio};

use fedgate_tests::checkup::Outlook;
use fedgate_tests::envoy::{ADMIN_PORT, EGRESS_PORT};
use fedgate_tests::pki::Authority;
use fedgate_tests::scenario::{self, ALLOWED, Side, Stage};
use fedgate_tests::witness::Witness;
use tokio::io::{copy_bidirectional, join};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::runtime::Runtime;

use crate::project::{Project, service};

/// The project with everything that callers need.
pub(crate) struct Containers {
    pub(crate) project: Project,
    authority: Authority,
    egresses: [SocketAddr; 2],
    /// b.com's, at the first two machines of the profile `ha`.
    pub(crate) machines: [SocketAddr; 2],
    runtime: Runtime,
}

// === impl Containers ===

impl Containers {
    /// Announces names, fills the allow lists, and takes the authority out of its volume, to make
    /// callers of every kind.
    pub(crate) fn set(project: Project) -> Result<Self, String> {
        let pem = project.file("secrets", "/secrets/authority/root.pem")?;
        let key = project.file("secrets", "/secrets/authority/root.key")?;
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        let relay =
            |brig: &str| relay(&runtime, project.container(brig)?).map_err(|error| error.to_string());
        let egresses = [relay("a-brig")?, relay("b-brig")?];
        let machines = [relay("b1-brig")?, relay("b2-brig")?];
        let authority = Authority::load(&pem, &key);
        let containers = Self { project, authority, egresses, machines, runtime };
        scenario::announce(&containers);
        for (side, domains) in ALLOWED {
            for domain in domains {
                containers.administer(side, &["domain", "add", domain])?;
            }
        }
        Ok(containers)
    }

    /// The command line of one control plane, as an administrator.
    pub(crate) fn command_line(&self, service: &str, command: &[&str]) -> Result<String, String> {
        let token = ["--token-file", "/run/fedgate/admin.token"];
        self.project.exec(service, &[&["fedgate"], command, &token].concat())
    }

    /// What `fedgate check` goes by, in the container of this Envoy, which has a control plane beside it.
    pub(crate) fn outlook_of(&self, control_plane: &str, envoy: &str) -> Outlook {
        let token = self.project.exec(control_plane, &["cat", "/run/fedgate/admin.token"]);
        let token = token.expect("an administrator's token");
        let envoy = self.project.container(envoy).expect("a container of Envoy's");
        let mut fedgate = process::Command::new("docker");
        // By name alone: the value is in nobody's list of processes.
        fedgate.args(["exec", "--env", "FEDGATE_TOKEN", &envoy, "fedgate"]);
        fedgate.env("FEDGATE_TOKEN", token.trim());
        Outlook {
            fedgate,
            certificates: "/etc/fedgate/tls".to_owned(),
            dns: Project::dns(),
            envoy: format!("http://127.0.0.1:{ADMIN_PORT}"),
        }
    }

    /// `kill -9` of one of a backend's parts.
    pub(crate) fn kill(&self, side: Side, part: &str) {
        self.project.kill(&service(side, part)).expect("a running part can be killed");
    }

    /// Starts it again, and waits until it is healthy.
    pub(crate) fn revive(&self, side: Side, part: &str) {
        self.project.revive(&[&service(side, part)]).expect("a killed part can be started");
    }
}

impl Stage for Containers {
    fn ingress(&self, side: Side) -> SocketAddr {
        self.project.ingress(side)
    }

    fn egress(&self, side: Side) -> SocketAddr {
        self.egresses[side as usize]
    }

    fn announced(&self, side: Side) -> SocketAddr {
        Project::announced(side)
    }

    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn administer(&self, side: Side, command: &[&str]) -> Result<String, String> {
        self.command_line(&service(side, "control-plane"), command)
    }

    fn witness(&self, _: Side) -> Option<Witness> {
        // The admin APIs are for their containers alone.
        None
    }

    fn outlook(&self, side: Side) -> Outlook {
        self.outlook_of(&service(side, "control-plane"), &service(side, "envoy"))
    }

    fn update_dns(&self, commands: &[&str]) {
        // One update for each line: they are of several zones.
        let script = format!("server 127.0.0.1\n{}\nsend\n", commands.join("\nsend\n"));
        let nsupdate = ["bash", "-c", "nsupdate <<<\"$0\"", &script];
        self.project.exec("dns", &nsupdate).expect("BIND takes the update");
    }

    fn kill_control_plane(&mut self, side: Side) {
        self.kill(side, "control-plane");
    }

    fn restart_control_plane(&mut self, side: Side) {
        self.revive(side, "control-plane");
    }

    fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

/// A port of this machine that leads to the egress beside the brig in this container. The egress
/// itself listens for its own backend only; so each connection is carried by a program in there.
fn relay(runtime: &Runtime, brig: String) -> io::Result<SocketAddr> {
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let address = listener.local_addr()?;
    runtime.spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            // A connection that breaks is its caller's to tell of.
            tokio::spawn(carry(connection, brig.clone()));
        }
    });
    Ok(address)
}

async fn carry(mut connection: TcpStream, brig: String) -> io::Result<()> {
    let both_ways = format!("exec 3<>/dev/tcp/127.0.0.1/{EGRESS_PORT}; cat <&3 & cat >&3; kill $!");
    let mut program = Command::new("docker")
        .args(["exec", "--interactive", &brig, "bash", "-c", &both_ways])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let (Some(to), Some(from)) = (program.stdin.take(), program.stdout.take()) {
        copy_bidirectional(&mut connection, &mut join(from, to)).await?;
    }
    program.wait().await.map(drop)
}
