//! `fedgate store`: copies of the store, and the list as a file for people.

mod copy;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::{Args, Subcommand};
use fedgate_allow_list::AllowList;
use fedgate_allow_list::sqlite::Sqlite;
use fedgate_store::sqlite::Database;
use fedgate_store::{StoreError, backup, rights};
use reqwest::Method;
use serde_json::json;

use super::client::Client;
use super::transfer::{self, ExportArgs, ImportArgs};
use super::{Error, Remote, print};
use crate::config::{Config, ConfigErrors, Settings, StoreUrl};
use crate::serve::ServeError;

/// What can be done with the store as a whole.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Copy the whole store into a file, while the control plane runs; takes a token of role admin
    #[command(after_help = "\
The copy is one SQLite file of mode 0600. It holds the digests of tokens, so keep it as you keep the store.

Examples:
  fedgate store backup /var/backups/fedgate.db
  fedgate store backup /var/backups/fedgate.db --offline --config /etc/fedgate/fedgate.toml")]
    Backup(BackupArgs),
    /// Put a copy in the place of the store, while no control plane runs; what was there is kept beside it
    #[command(after_help = "\
The file that was there is kept as FILE.before-restore-TIME, with its -wal if it has one.

Example, as root: the file is the owner's of the one that it replaces
  systemctl stop fedgate
  fedgate store restore /var/backups/fedgate.db --config /etc/fedgate/fedgate.toml
  systemctl start fedgate")]
    Restore(RestoreArgs),
    /// Copy a store into an empty one, of the same kind or of another: list, tokens, audit, and what we wrote at brig
    #[command(after_help = "\
No control plane may write to the store that is copied, and none may use the other one yet. The copy is known by the
same name, so filters go on from where they are.

Examples:
  fedgate store copy --from sqlite:///var/lib/fedgate/fedgate.db --to etcd://h1:2379,h2:2379,h3:2379/fedgate
  fedgate store copy --from etcd://h1:2379,h2:2379,h3:2379/fedgate --to sqlite:///var/backups/fedgate.db
  fedgate store copy --from etcds://h1:2379/fedgate --to sqlite://copy.db --ca ca.pem --certificate us.pem --key us.key")]
    Copy(copy::CopyArgs),
    /// Write strategy and list into a file for people, to be read, changed and given back
    #[command(after_help = "\
Examples:
  fedgate store export                           TOML, to standard output
  fedgate store export list.toml
  fedgate store export --format jsonl | jq .")]
    Export(ExportArgs),
    /// Make the list what such a file says: all of it, or nothing
    #[command(after_help = "\
Examples:
  fedgate store import list.toml --dry-run       say what would change, and who would lose access
  fedgate store import list.toml                 add and change what is there
  fedgate store import list.toml --prune         and take off the list what is not")]
    Import(ImportArgs),
}

/// A copy, and of what.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The file to write
    file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    replace: bool,
    /// Copy the file of a store that no control plane has open
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    remote: Remote,
}

/// A copy, and where it is to go.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The copy; it stays as it is
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Where the store is, as `fedgate serve` is told.
#[derive(Debug, Args)]
struct Place {
    /// The configuration file of `fedgate serve`, which names the store
    #[arg(long, env = "FEDGATE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The store: `sqlite://relative.db` or `sqlite:///absolute.db`
    #[arg(long, env = "FEDGATE_STORE_URL", value_name = "URL")]
    store_url: Option<String>,
}

/// Why a file that was named cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is there.
    #[error("{} is there already: name another file, or have it replaced with --replace", .0.display())]
    Exists(PathBuf),
    /// It is there, and somebody's store.
    #[error("{} is a store that is in use, or was when its control plane was killed: name another file", .0.display())]
    InUse(PathBuf),
    /// It cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the system says, and what to do about it.
        cause: String,
    },
    /// It does not say how it is written.
    #[error("{} does not end in .toml or .jsonl: say which it is with --format", .0.display())]
    Format(PathBuf),
    /// What it says is no list.
    #[error("{} cannot be taken over; nothing was changed:{}", path.display(), super::client::listed(errors))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// All that is wrong with it, each with its line.
        errors: Vec<String>,
    },
}

/// Does what is to be done with the store.
pub(super) async fn run(command: StoreCommand, json: bool) -> Result<(), Error> {
    match command {
        StoreCommand::Backup(args) => backup(args, json).await,
        StoreCommand::Restore(args) => restore(&args, json),
        StoreCommand::Copy(args) => copy::run(args, json).await,
        StoreCommand::Export(args) => transfer::export(args).await,
        StoreCommand::Import(args) => transfer::import(args, json).await,
    }
}

async fn backup(args: BackupArgs, json: bool) -> Result<(), Error> {
    let BackupArgs { file, replace, offline, place, remote } = args;
    let mut draft = Draft::new(&file, replace)?;
    if offline {
        let mut copy = Database::copy_unused(&place.path()?)?;
        io::copy(&mut copy, &mut draft.file)?;
    } else {
        let client = Client::new(&remote)?;
        let request = client.request(Method::POST, &["store", "backup"], &[]);
        client.download(request, |piece| draft.file.write_all(piece)).await?;
    }
    draft.file.sync_all()?;
    Database::examine(&draft.path)?;
    let octets = draft.finish()?;
    if json {
        return Ok(print::json(&json!({ "file": file, "octets": octets }))?);
    }
    Ok(print::line(format_args!("{} holds the store: {octets} octets", file.display()))?)
}

fn restore(RestoreArgs { file, place }: &RestoreArgs, json: bool) -> Result<(), Error> {
    let (store, now) = (place.path()?, SystemTime::now());
    let stamp = humantime::format_rfc3339_millis(now).to_string().replace(['-', ':'], "");
    // As `fedgate serve` will read it.
    let check = |database: &Database| {
        database.identity()?;
        let list = AllowList::open(Box::new(Sqlite(database.clone())), now)?;
        Ok::<_, StoreError>(list.look(|state| state.domains.len()))
    };
    let mut domains = 0;
    let replaced = backup::restore(file, &store, &stamp, |database| {
        domains = check(database)?;
        Ok(())
    })?;
    if json {
        return Ok(print::json(&json!({ "store": store, "domains": domains, "replaced": replaced }))?);
    }
    print::line(format_args!(
        "{} is what {} holds: {domains} domains",
        store.display(),
        file.display()
    ))?;
    let kept = replaced.map(|path| format!("what was there before is kept in {}", path.display()));
    Ok(kept.map_or(Ok(()), print::line)?)
}

/// A file that is written beside its place, and is there only once it is whole; for us alone.
pub(super) struct Draft {
    /// What is written to.
    pub(super) file: File,
    path: PathBuf,
    place: PathBuf,
    is_done: bool,
}

// === impl Draft ===

impl Draft {
    /// For a file that is not there, or may be replaced.
    pub(super) fn new(place: &Path, replace: bool) -> Result<Self, FileError> {
        let beside = |suffix: &str| {
            let mut name = place.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        if place.exists() && !replace {
            return Err(FileError::Exists(place.to_owned()));
        }
        if beside("-wal").exists() {
            return Err(FileError::InUse(place.to_owned()));
        }
        let path = beside(".part");
        // What is left of one that was killed.
        let _ = fs::remove_file(&path);
        let opened = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| unusable(&path, &error))?;
        Ok(Self { file, path, place: place.to_owned(), is_done: false })
    }

    /// Gives it its name; returns its length in octets.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.file.sync_all()?;
        fs::rename(&self.path, &self.place)?;
        self.is_done = true;
        Ok(self.file.metadata()?.len())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_done {
            // It is of no use; where it cannot be removed either, the next one does it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What the system said of a file, and what is known beyond that.
pub(super) fn unusable(path: &Path, error: &io::Error) -> FileError {
    FileError::Unusable { path: path.to_owned(), cause: rights::unreadable(path, error) }
}

// === impl Place ===

impl Place {
    fn path(&self) -> Result<PathBuf, ServeError> {
        let Self { config, store_url } = self;
        let settings =
            Settings { config: config.clone(), store_url: store_url.clone(), ..Settings::default() };
        match Config::load(&settings)?.store.url {
            StoreUrl::Sqlite(path) => Ok(path),
            StoreUrl::Etcd(place) => Err(ConfigErrors::one(format!(
                "store.url: {place} is no file: `fedgate store copy --from {place} --to sqlite:///FILE` copies it, and the \
                 other way round"
            ))
            .into()),
        }
    }
}
