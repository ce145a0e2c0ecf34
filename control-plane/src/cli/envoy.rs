//! `fedgate envoy`: runs an Envoy, and when it is to go, lets it finish the calls that are under way.
//!
//! Envoy by itself ends at once on SIGTERM, and the calls with it. What it has for going gently is on its
//! admin interface, and the order matters: GOAWAY comes last, since clients as Wire's end a connection on it
//! at once, with all calls that are under way on it.

use std::ffi::OsString;
use std::process::ExitStatus;
use std::time::Duration;

use clap::Args;
use reqwest::{Client, Url};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::client::http_to;
use super::print;
use crate::signals::{Signalled, Signals};

/// Envoy's gauges of requests that are under way, and of connections that are open.
const CALLS: &str = "downstream_rq_active";
const CONNECTIONS: &str = "downstream_cx_active";
/// How often Envoy is asked for them.
const STEP: Duration = Duration::from_millis(20);
/// How long Envoy may take to answer on its admin interface.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long callers may take to leave open connections: with the next answer on each they are told to.
const LEAVE: Duration = Duration::from_secs(5);
/// How long Envoy may take to end, once it is told to.
const END: Duration = Duration::from_secs(10);

/// What is run, and how long its end may take.
#[derive(Debug, Args)]
pub(super) struct EnvoyArgs {
    /// Envoy's admin interface
    #[arg(long, env = "FEDGATE_ENVOY_ADMIN", default_value = "http://127.0.0.1:9901")]
    admin: Url,
    /// How long new connections are still taken while /i/status says 503 already: in Kubernetes, 5s, so that
    /// the pod is out of its Service before it closes its ports
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    notice: Duration,
    /// How long calls that are under way may take to end; whoever stops us has to wait longer than that
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// The command that starts Envoy, and its arguments
    #[arg(required = true, last = true)]
    command: Vec<OsString>,
}

/// Why Envoy does not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvoyError {
    /// It cannot be started.
    #[error("cannot start {command:?}: {cause}; name Envoy's program after `--`")]
    Start {
        /// What was to be run.
        command: OsString,
        /// What the system says.
        cause: std::io::Error,
    },
    /// It ended by itself, or badly.
    #[error("Envoy ended with {0}")]
    Ended(ExitStatus),
    /// The system lets us have no signals, or no child.
    #[error("the system failed us: {0}")]
    System(#[from] std::io::Error),
}

/// Runs Envoy until it ends, or until SIGTERM or SIGINT and the calls that are under way then.
pub(super) async fn run(args: EnvoyArgs) -> Result<(), EnvoyError> {
    let mut signals = Signals::listen()?;
    let [command, arguments @ ..] = args.command.as_slice() else { return Ok(()) };
    let started = Command::new(command).args(arguments).process_group(0).kill_on_drop(true).spawn();
    let mut envoy = started.map_err(|cause| EnvoyError::Start { command: command.clone(), cause })?;
    let pid = pid(&envoy);
    tokio::select! {
        status = envoy.wait() => return Err(EnvoyError::Ended(status?)),
        () = told_to_end(&mut signals, pid) => {}
    }
    let began = Instant::now();
    print::remark("draining Envoy; a second signal ends it at once");
    let drained = tokio::select! {
        status = envoy.wait() => return Err(EnvoyError::Ended(status?)),
        () = told_to_end(&mut signals, pid) => Err("told to end at once".to_owned()),
        drained = drain(&args) => drained,
    };
    match drained {
        Ok(0) => print::remark(format_args!("no call is under way after {:.1?}", began.elapsed())),
        Ok(left) => {
            print::remark(format_args!("{left} calls are cut off after {:.1?}", began.elapsed()));
        }
        Err(cause) => print::remark(format_args!("calls that are under way are cut off: {cause}")),
    }
    end(&mut envoy).await
}

fn pid(envoy: &Child) -> Option<Pid> {
    Pid::from_raw(envoy.id()?.try_into().ok()?)
}

/// Waits for a signal to end. SIGUSR1 is Envoy's, which opens its logs anew on it; others mean nothing.
async fn told_to_end(signals: &mut Signals, envoy: Option<Pid>) {
    loop {
        match (signals.next().await, envoy) {
            (Signalled::Stop(_), _) => return,
            (Signalled::Other("SIGUSR1"), Some(envoy)) => {
                if let Err(error) = kill_process(envoy, Signal::USR1) {
                    print::remark(format_args!("SIGUSR1 does not reach Envoy: {error}"));
                }
            }
            (signal, _) => print::remark(format_args!("{signal} means nothing to us, nor to Envoy")),
        }
    }
}

/// Lets calls end; the number of those that did not.
async fn drain(args: &EnvoyArgs) -> Result<u64, String> {
    let http = http_to(&args.admin).timeout(ADMIN_TIMEOUT).build();
    let http = http.map_err(|error| error.to_string())?;
    let admin = Admin { http, url: &args.admin };
    admin.tell("healthcheck/fail").await?;
    sleep(args.notice).await;
    admin.tell("drain_listeners").await?;
    let patience = Instant::now() + args.patience;
    admin.none_until(patience, CALLS).await?;
    admin.tell("drain_listeners?graceful&skip_exit").await?;
    admin.none_until(Instant::now() + LEAVE, CONNECTIONS).await?;
    admin.none_until(patience, CALLS).await
}

/// Ends Envoy, and does not wait for ever.
async fn end(envoy: &mut Child) -> Result<(), EnvoyError> {
    if let Some(pid) = pid(envoy) {
        kill_process(pid, Signal::TERM).map_err(std::io::Error::from)?;
    }
    let Ok(status) = timeout(END, envoy.wait()).await else {
        print::remark(format_args!("Envoy does not end within {END:?}, and is killed"));
        return Ok(envoy.kill().await?);
    };
    match status? {
        status if status.success() => Ok(()),
        status => Err(EnvoyError::Ended(status)),
    }
}

/// Envoy's admin interface.
struct Admin<'a> {
    http: Client,
    url: &'a Url,
}

impl Admin<'_> {
    async fn tell(&self, path: &str) -> Result<(), String> {
        let url = self.at(path)?;
        let answer = self.http.post(url).send().await.map_err(|error| self.away(&error))?;
        answer.error_for_status().map(|_| ()).map_err(|error| self.away(&error))
    }

    /// Waits until there are none of these, but no longer than that; how many there are.
    async fn none_until(&self, deadline: Instant, gauge: &str) -> Result<u64, String> {
        loop {
            let number = self.number_of(gauge).await?;
            if number == 0 || Instant::now() >= deadline {
                return Ok(number);
            }
            sleep(STEP).await;
        }
    }

    /// How many of these there are, on all listeners but the admin interface's own.
    async fn number_of(&self, gauge: &str) -> Result<u64, String> {
        let url = self.at(&format!(r"stats?filter=^http\..*\.{gauge}$"))?;
        let answer = self.http.get(url).send().await.map_err(|error| self.away(&error))?;
        Ok(sum(&answer.text().await.map_err(|error| self.away(&error))?))
    }

    fn at(&self, path: &str) -> Result<Url, String> {
        self.url.join(path).map_err(|error| error.to_string())
    }

    fn away(&self, error: &reqwest::Error) -> String {
        format!(
            "Envoy's admin interface at {} gives no answer ({error}); name it with --admin",
            self.url
        )
    }
}

/// The sum of lines as `http.federation_egress.downstream_rq_active: 3`.
fn sum(stats: &str) -> u64 {
    let others = stats.lines().filter(|line| !line.starts_with("http.admin."));
    others.filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_all_listeners_count_and_the_admin_interfaces_do_not() {
        let stats = "http.admin.downstream_rq_active: 1\n\
                     http.federation_egress.downstream_rq_active: 3\n\
                     http.federation_ingress.downstream_rq_active: 2\n";
        assert_eq!(sum(stats), 5);
        assert_eq!(sum(""), 0);
    }
}
