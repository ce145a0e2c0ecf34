//! A backend's services, to stand behind Fedgate in a container: brig, galley and cargohold, which answer
//! each request with what they received, and call other backends where they are told to.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use clap::Parser;
use fedgate_tests::backend::Backend;
use fedgate_tests::envoy::EGRESS_PORT;
use fedgate_tests::local::Local;
use tokio::signal::unix::{SignalKind, signal};

/// Brig, galley and cargohold in one: they answer with what they received.
#[derive(Debug, Parser)]
enum Command {
    /// Serve on loopback, beside Envoy, until SIGTERM
    Serve,
    /// Call a remote procedure of another backend's brig through the egress; print status and body
    Call {
        /// The other backend's domain
        domain: String,
        /// What is called, e.g. `search-users`
        rpc: String,
    },
}

fn main() -> ExitCode {
    match Command::parse() {
        Command::Serve => serve(),
        Command::Call { domain, rpc } => call(&domain, &rpc),
    }
}

fn serve() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _backend = Backend::start(&runtime, Ipv4Addr::LOCALHOST);
    runtime.block_on(async {
        let mut end = signal(SignalKind::terminate()).expect("SIGTERM can be waited for");
        end.recv().await;
    });
    ExitCode::SUCCESS
}

fn call(domain: &str, rpc: &str) -> ExitCode {
    let egress = SocketAddr::from((Ipv4Addr::LOCALHOST, EGRESS_PORT));
    match Local::new(egress).call(domain, rpc) {
        Ok(answer) => {
            println!("{}\n{}", answer.status, String::from_utf8_lossy(&answer.body));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("the egress gives no answer: {}", error.0);
            ExitCode::FAILURE
        }
    }
}
