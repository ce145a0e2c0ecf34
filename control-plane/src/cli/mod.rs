//! The command line. All but `serve`, `check`, `envoy` and `token` speak to the admin API of a running `fedgate serve`.
//!
//! Exit codes: 0 fine, 1 refused or failed, 2 wrong use, or a configuration that cannot be used; 3 of `check`, warnings.

mod audit;
mod brig;
mod check;
mod check_config;
mod check_envoy;
mod check_own;
mod check_peer;
mod client;
mod commands;
mod complete;
mod debug;
mod domain;
mod envoy;
mod explain;
mod failure;
mod names;
mod outcome;
mod partner;
mod print;
mod status;
mod store;
mod table;
mod terms;
mod token;
mod tokens;
mod transfer;
mod when;
mod words;
mod write;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand};
use fedgate_policy::{Domain, Strategy};

use crate::auth::Role;
use crate::config::Settings;
use crate::{serve, spelling};
use complete::{CompletionsArgs, ShareArgs};
use domain::DomainCommand;
use failure::Error;
use store::StoreCommand;
use write::How;

/// The federation gate of a Wire backend: who may federate, and which hosts speak for them.
#[derive(Debug, Parser)]
#[command(
    name = "fedgate",
    version,
    after_help = "\
First steps:
  fedgate serve                                  run the control plane; the first time it prints a token
  export FEDGATE_TOKEN=…                         let the other commands use the token
  fedgate token make me --role admin             make one for yourself, and use that from now on
  fedgate domain add company-a.com               allow a backend domain

Exit codes: 0 fine, 1 refused or failed, 2 wrong use, or a configuration that cannot be used."
)]
struct Cli {
    /// Print JSON, as the API gives it; errors too, as one object on standard error
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane: allow list, discovery, admin API, verdict API and xDS
    #[command(after_help = "\
Every setting can stand in the file, in the environment, or here. Here wins, then the environment.
On SIGHUP, and on `fedgate reload`, the file is read anew.

Examples:
  fedgate serve                                  all defaults: ./fedgate.db, 127.0.0.1:8600 to :8602
  fedgate serve --config /etc/fedgate.toml
  fedgate serve --config /etc/fedgate.toml --check-config
  fedgate serve --discovery-servers 192.0.2.53,[2001:db8::53]:5353")]
    Serve(ServeArgs),
    /// Have the running control plane read its configuration anew; says what counts now, and what after a restart
    Reload(Remote),
    /// See and change which backend domains are on the allow list
    Domain {
        #[command(subcommand)]
        command: DomainCommand,
    },
    /// See and set the strategy: allowNone, allowDynamic (the listed domains), allowAll
    Strategy {
        #[command(subcommand)]
        command: StrategyCommand,
    },
    /// How it stands with all of it, on one screen: what needs somebody, worst first, and the command to go on with
    #[command(after_help = status::HELP)]
    Status(status::StatusArgs),
    /// See how we stand with each partner, and have one tried anew
    Partner {
        #[command(subcommand)]
        command: partner::PartnerCommand,
    },
    /// See how the allow list stands to that of Wire's brig, and take brig's over
    Brig {
        #[command(subcommand)]
        command: brig::BrigCommand,
    },
    /// Say what would become of a request, step by step: why it is refused, and what to do about it
    #[command(after_help = explain::HELP)]
    Explain(explain::ExplainArgs),
    /// Look whether another backend is set up right for federation; needs no control plane
    #[command(after_help = check::HELP)]
    Check(Box<check::CheckArgs>),
    /// Run an Envoy, and on SIGTERM let the calls that are under way end before it does
    #[command(after_help = "\
On SIGTERM or SIGINT:
  1. GET /i/status of the egress is answered with 503.
  2. After --notice, the listeners close; open connections go on.
  3. When no call is under way, or after --patience, connections are told to go (GOAWAY), each with its next answer.
  4. When they have gone, or after 5 s, Envoy ends. A second signal ends it at once.

Give Envoy `--drain-strategy immediate`, so that step 3 holds for all connections.

Examples:
  fedgate envoy -- envoy -c both.yaml --drain-strategy immediate
  fedgate envoy --notice 5s -- envoy -c both.yaml --drain-strategy immediate

Exit codes: 0 told to end, and did; 1 Envoy ended by itself, or badly.")]
    Envoy(envoy::EnvoyArgs),
    /// Show who changed what, and when: domains, strategy, tokens, and calls that were refused
    #[command(after_help = audit::HELP)]
    Audit(audit::AuditArgs),
    /// Make, list and revoke the tokens with which people and filters call the API
    #[command(after_help = tokens::HELP)]
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Copy the store and put a copy in its place; write the list into a file for people, and read it back
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
    /// Gather what helps whoever is to find a fault
    Debug {
        #[command(subcommand)]
        command: debug::DebugCommand,
    },
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  fedgate completions bash > /usr/local/share/bash-completion/completions/fedgate
  fedgate completions zsh > /usr/local/share/zsh/site-functions/_fedgate
  fedgate completions fish > /usr/local/share/fish/vendor_completions.d/fedgate.fish")]
    Completions(CompletionsArgs),
    /// Write man pages and completions into a folder; `scripts/build` does
    #[command(hide = true)]
    Share(ShareArgs),
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    settings: Box<Settings>,
    /// Do not serve: check configuration, files, store, DNS servers and addresses, and print what would be used
    #[arg(long)]
    check_config: bool,
}

#[derive(Debug, Subcommand)]
enum StrategyCommand {
    /// Print the strategy
    Get(Remote),
    /// Set the strategy
    Set {
        #[arg(value_parser = PossibleValuesParser::new(Strategy::ALL.map(Strategy::name)).try_map(|name| name.parse::<Strategy>()))]
        strategy: Strategy,
        #[command(flatten)]
        how: How,
        #[command(flatten)]
        remote: Remote,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token in the store of the running control plane; it counts at once, and is printed this once
    #[command(after_help = tokens::MAKE_HELP)]
    Make(tokens::MakeArgs),
    /// List all tokens, of the store and of the configuration: whose, for what, until when, last used when
    List(Remote),
    /// Revoke a token of the store: it is refused at once, and what is held open with it ends
    #[command(after_help = tokens::REVOKE_HELP)]
    Revoke(tokens::RevokeArgs),
    /// Make a random token for the configuration; it is printed this once, the server needs its digest only
    #[command(after_help = "\
Examples:
  fedgate token new --name alice --role admin    a person who changes the list
  fedgate token new --name envoy-1 --role filter an Envoy: its filters ask for verdicts, itself for clusters")]
    New(TokenArgs),
    /// Print what the server needs of a token that exists already, which is read from standard input
    #[command(after_help = "\
Example:
  fedgate token hash --name alice --role admin < alice.token")]
    Hash(TokenArgs),
}

/// Where the control plane is, and how to speak to it.
#[derive(Debug, Args)]
struct Remote {
    /// The admin API
    #[arg(long, env = "FEDGATE_URL", default_value = "http://127.0.0.1:8600")]
    url: String,
    /// Trust these certificate authorities alone (PEM); without it, the system's
    #[arg(long, env = "FEDGATE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file that holds the token; without it, the token is taken from `FEDGATE_TOKEN`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A proxy to go by, which sees the token unless the URL is https; without this, none is used, whatever
    /// `http_proxy` and the like say
    #[arg(long, env = "FEDGATE_PROXY", value_name = "URL", hide_env_values = true)]
    proxy: Option<String>,
}

#[derive(Debug, Args)]
struct OneDomain {
    /// A backend domain, e.g. company-a.com
    #[arg(value_parser = spelling::domain)]
    domain: Domain,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct TokenArgs {
    /// Whose it is: letters, digits, '-', '_', '.'; logs say this name
    #[arg(long)]
    name: String,
    /// What its holder may do: admin reads and writes, viewer reads, filter asks for verdicts
    #[arg(long, value_parser = tokens::role())]
    role: Role,
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let (ended, json) = match Cli::try_parse() {
        Ok(cli) => (dispatch(cli.command, cli.json), cli.json),
        // Help, or the version.
        Err(told) if !told.use_stderr() => {
            // A reader that has seen enough is no error.
            let _ = told.print();
            return ExitCode::SUCCESS;
        }
        Err(misused) => {
            let words = std::env::args_os().skip(1).take_while(|word| word != "--");
            let json = words.into_iter().any(|word| word == "--json");
            (Err(Error::Use(misuse(&misused, json))), json)
        }
    };
    let Err(error) = ended else { return ExitCode::SUCCESS };
    match (&error, json) {
        (_, true) => print::error_json(&error.problem()),
        (Error::Use(text), false) => print::error(text),
        (_, false) => print::error(&format!("fedgate: {error}")),
    }
    ExitCode::from(error.exit_code())
}

/// What clap says of a command line that means nothing; for programs, the first paragraph.
fn misuse(error: &clap::Error, is_short: bool) -> String {
    let text = error.render().to_string();
    if !is_short {
        return text;
    }
    let first = text.split("\n\n").next().unwrap_or_default();
    first.strip_prefix("error: ").unwrap_or(first).trim_end().to_owned()
}

fn dispatch(command: Command, json: bool) -> Result<(), Error> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match command {
        Command::Serve(ServeArgs { settings, check_config: true }) => check_config::run(&settings, json),
        Command::Serve(ServeArgs { settings, check_config: false }) => {
            runtime()?.block_on(async { Ok(serve::serve(*settings).await?) })
        }
        Command::Domain { command } => runtime()?.block_on(domain::run(command, json)),
        Command::Strategy { command } => runtime()?.block_on(commands::strategy(command, json)),
        Command::Status(args) => runtime()?.block_on(status::run(args, json)),
        Command::Partner { command } => runtime()?.block_on(partner::run(command, json)),
        Command::Brig { command } => runtime()?.block_on(brig::run(command, json)),
        Command::Check(args) => runtime()?.block_on(check::run(*args, json)),
        Command::Explain(args) => runtime()?.block_on(explain::run(&args, json)),
        Command::Reload(remote) => runtime()?.block_on(commands::reload(&remote, json)),
        Command::Envoy(args) => Ok(runtime()?.block_on(envoy::run(args))?),
        Command::Audit(args) => runtime()?.block_on(audit::run(&args, json)),
        Command::Token { command } => match command {
            TokenCommand::Make(args) => runtime()?.block_on(tokens::make(args, json)),
            TokenCommand::List(remote) => runtime()?.block_on(tokens::list(&remote, json)),
            TokenCommand::Revoke(args) => runtime()?.block_on(tokens::revoke(&args, json)),
            TokenCommand::New(args) => token::new(&args, json),
            TokenCommand::Hash(args) => token::hash(&args, json),
        },
        Command::Store { command } => runtime()?.block_on(store::run(command, json)),
        Command::Debug { command } => runtime()?.block_on(debug::run(command, json)),
        Command::Completions(args) => complete::completions(&args, Cli::command()),
        Command::Share(args) => complete::share(&args, &Cli::command()),
    }
}

/// Whether the command line takes these words.
#[cfg(test)]
pub(crate) fn takes(words: &str) -> Result<(), String> {
    let parsed = Cli::try_parse_from(words.split(' '));
    parsed.map(|_| ()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod documented_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
