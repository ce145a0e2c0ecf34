//! `docker-compose.yml` as a project of its own: brought up, looked at, and taken down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fedgate_tests::artifacts::repository;
use fedgate_tests::envoy::INGRESS_PORT;
use fedgate_tests::process::run;
use fedgate_tests::scenario::Side;
use tokio::runtime::Builder;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// How long parts may take to become healthy.
const PATIENCE: Duration = Duration::from_secs(120);

/// The first three numbers of its network's addresses.
const NETWORK: [u8; 3] = [172, 31, 254];
/// And of the network among the machines of the profile `ha`.
const INSIDE: &str = "172.31.255";

/// Quicker to build than what is released, and slower; the filter is the released one all the same.
const CARGO_OPTIONS: &str = "--config=profile.release.opt-level=0 --config=profile.release.lto=false";

/// A running project; taken down with its volumes when it is dropped, unless it is kept.
pub(crate) struct Project {
    compose: Compose,
    keep: bool,
}

/// Compose as it is called for this project.
#[derive(Clone)]
struct Compose {
    /// `docker compose`, or `docker-compose`.
    program: &'static [&'static str],
    /// The project's name, which no other on this machine is to have.
    name: &'static str,
    settings: Vec<(&'static str, String)>,
    /// Of a.com's and of b.com's ingress.
    ports: [u16; 2],
    /// Of b.com's ingress at the first two machines of the profile `ha`.
    machines: [u16; 2],
}

/// One of a backend's services, as docker-compose.yml names it.
pub(crate) fn service(side: Side, part: &str) -> String {
    match side {
        Side::A => format!("a-{part}"),
        Side::B => format!("b-{part}"),
    }
}

// === impl Project ===

impl Project {
    /// Builds the images, starts everything, and waits until all parts are healthy.
    pub(crate) fn start(keep: bool) -> Result<Self, String> {
        let compose = Compose::find();
        compose.take_down_on_interrupt();
        // What an earlier run may have left.
        compose.down();
        let project = Self { compose, keep };
        project.compose.show(&["build"])?;
        project.compose.show(&["up", "--detach"])?;
        project.wait_healthy()?;
        Ok(project)
    }

    /// Where the backend's ingress is reached from this machine.
    pub(crate) fn ingress(&self, side: Side) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.compose.ports[side as usize]).into()
    }

    /// Where b.com's ingress at a machine of the profile `ha` is reached from this machine.
    pub(crate) fn machines(&self) -> [SocketAddr; 2] {
        self.compose.machines.map(|port| (Ipv4Addr::LOCALHOST, port).into())
    }

    /// Where it is reached by the other containers.
    pub(crate) fn announced(side: Side) -> SocketAddr {
        let host = match side {
            Side::A => 10,
            Side::B => 20,
        };
        let [a, b, c] = NETWORK;
        (Ipv4Addr::new(a, b, c, host), INGRESS_PORT).into()
    }

    /// Where DNS is asked by the containers.
    pub(crate) fn dns() -> SocketAddr {
        let [a, b, c] = NETWORK;
        (Ipv4Addr::new(a, b, c, 53), 53).into()
    }

    /// A file of a container, running or not.
    pub(crate) fn file(&self, service: &str, path: &str) -> Result<String, String> {
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let copy = dir.path().join("copy");
        let from = format!("{}:{path}", self.container(service)?);
        run(Command::new("docker").args(["cp", &from]).arg(&copy))?;
        std::fs::read_to_string(&copy).map_err(|error| error.to_string())
    }

    /// `kill -9`, and nobody starts it again.
    pub(crate) fn kill(&self, service: &str) -> Result<(), String> {
        self.engine("kill", service)
    }

    /// Starts all that was killed, and waits until it is healthy.
    pub(crate) fn revive(&self, services: &[&str]) -> Result<(), String> {
        services.iter().try_for_each(|service| self.engine("start", service))?;
        self.wait_healthy()
    }

    fn engine(&self, verb: &str, service: &str) -> Result<(), String> {
        run(Command::new("docker").args([verb, &self.container(service)?])).map(drop)
    }

    /// Runs a program in a service's container.
    pub(crate) fn exec(&self, service: &str, args: &[&str]) -> Result<String, String> {
        run(Command::new("docker").args(["exec", &self.container(service)?]).args(args))
    }

    /// The id of a service's container.
    pub(crate) fn container(&self, service: &str) -> Result<String, String> {
        let label = format!("label=com.docker.compose.service={service}");
        let ids = self.list(&["--filter", &label, "--format", "{{.ID}}"])?;
        match ids.trim() {
            "" => Err(format!("there is no container of {service}")),
            id => Ok(id.to_owned()),
        }
    }

    fn list(&self, args: &[&str]) -> Result<String, String> {
        let project = format!("label=com.docker.compose.project={}", self.compose.name);
        run(Command::new("docker").args(["ps", "--all", "--filter", &project]).args(args))
    }

    /// Every part that says of itself how it is must say that it is well.
    fn wait_healthy(&self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            let parts = self.list(&["--format", "{{.Names}} {{.Status}}"])?;
            let waiting = |line: &&str| line.contains("(health: ") || line.contains("(unhealthy)");
            let ended = |line: &&str| line.contains(" Exited ") && !line.contains("secrets");
            let restarting = |line: &&str| line.contains(" Restarting ");
            match parts.lines().find(|line| waiting(line) || ended(line) || restarting(line)) {
                None if !parts.is_empty() => return Ok(()),
                part if started.elapsed() > PATIENCE => {
                    return Err(format!("not healthy within {PATIENCE:?}: {part:?}\n{}", self.logs()));
                }
                _ => {}
            }
        }
    }

    /// The last words of all parts.
    pub(crate) fn logs(&self) -> String {
        let args = ["logs", "--no-color", "--tail=40"];
        run(&mut self.compose.command(&args)).unwrap_or_else(|error| error)
    }

    /// How to go on by hand.
    pub(crate) fn describe(&self) -> String {
        let Compose { program, name, settings, .. } = &self.compose;
        let settings: Vec<_> = settings.iter().map(|(key, value)| format!("{key}='{value}'")).collect();
        format!("{} {} -p {name} --profile ha", settings.join(" "), program.join(" "))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if !self.keep {
            self.compose.down();
        }
    }
}

// === impl Compose ===

impl Compose {
    /// The Compose of this machine, with places of its own for the project: beside one that somebody
    /// runs by hand.
    fn find() -> Self {
        let v2 = Command::new("docker").args(["compose", "version"]).output();
        let v2 = v2.is_ok_and(|output| output.status.success());
        let [ports, machines] = [[free_port(), free_port()], [free_port(), free_port()]];
        let [a, b, c] = NETWORK;
        let cargo_options = std::env::var("CARGO_OPTIONS").unwrap_or(CARGO_OPTIONS.to_owned());
        Self {
            program: if v2 { &["docker", "compose"] } else { &["docker-compose"] },
            name: "fedgate-test",
            settings: vec![
                ("FEDGATE_NETWORK", format!("{a}.{b}.{c}")),
                ("FEDGATE_INSIDE", INSIDE.to_owned()),
                ("A_PORT", ports[0].to_string()),
                ("B_PORT", ports[1].to_string()),
                ("B1_PORT", machines[0].to_string()),
                ("B2_PORT", machines[1].to_string()),
                ("CARGO_OPTIONS", cargo_options),
            ],
            ports,
            machines,
        }
    }

    /// Leaves nothing behind when somebody presses Ctrl-C, or ends the test otherwise.
    fn take_down_on_interrupt(&self) {
        let compose = self.clone();
        std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut terminated = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
                tokio::select! {
                    _ = terminated.recv() => {}
                    _ = ctrl_c() => {}
                }
            });
            compose.down();
            std::process::exit(130);
        });
    }

    fn down(&self) {
        if let Err(error) = self.show(&["down", "--volumes", "--timeout", "5"]) {
            eprintln!("compose: it cannot be taken down: {error}");
        }
    }

    /// Runs a command whose output people see as it comes, on standard error.
    fn show(&self, args: &[&str]) -> Result<(), String> {
        let status = self.command(args).stdout(Stdio::from(std::io::stderr())).status();
        let program = self.program.join(" ");
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{program} {}: {status}", args.join(" "))),
            Err(error) => Err(format!("{program}: {error}")),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut words = self.program.iter();
        let mut command = Command::new(words.next().expect("a program has a name"));
        command.args(words).args(["--project-name", self.name, "--profile", "ha"]).args(args);
        command.current_dir(repository()).envs(self.settings.iter().map(|(k, v)| (k, v)));
        command
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}
