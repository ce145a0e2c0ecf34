//! The first token: made, or taken in from a file, where there is nobody who could make one.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fedgate_allow_list::{Author, Role};
use fedgate_store::rights;

use super::{Digest, IssueError, Issuer, Wanted, random};

/// The name of the first token.
const NAME: &str = "bootstrap";
/// What a token of somebody else's making has at least, in characters; fewer can be guessed.
const SHORTEST: usize = 32;

/// Why there is no first token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootstrapError {
    /// The file cannot be used.
    #[error("api.bootstrap_token_file: {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do about it.
        cause: String,
    },
    /// It could not be told to anybody.
    #[error("the first token cannot be printed: {0}: name a file for it with --bootstrap-token-file")]
    Told(io::Error),
    /// It was not accepted.
    #[error("the first token could not be made: {0}")]
    Issue(#[from] IssueError),
}

/// Sees to it that there is a token of role admin. Where one is made, it goes into `file`, or else to `tell`; before it
/// counts, so that none counts that nobody has.
pub(crate) async fn bootstrap(
    issuer: &Issuer,
    file: Option<&Path>,
    tell: impl FnOnce(&str) -> io::Result<()>,
    author: Author,
) -> Result<(), BootstrapError> {
    let now = author.at;
    if issuer.tokens().has_admin(now) {
        return Ok(());
    }
    let names = std::iter::once(NAME.to_owned()).chain((2_u32..).map(|n| format!("{NAME}-{n}")));
    let mut free = names.filter(|name| issuer.tokens().named(name).is_none());
    let name = free.next().unwrap_or_default();
    let text = match file {
        None => {
            let text = random().map_err(IssueError::from)?;
            tell(&text).map_err(BootstrapError::Told)?;
            text
        }
        Some(path) => {
            in_file(path).map_err(|cause| BootstrapError::File { path: path.to_owned(), cause })?
        }
    };
    let wanted = Wanted { name: name.clone(), role: Role::Admin, expires_at: None };
    if let Err(error) = issuer.take_in(wanted, Digest::of(text.as_bytes()), author).await {
        // Several that start on an empty store: one of the others may have been quicker.
        if !issuer.tokens().has_admin(now) {
            return Err(error.into());
        }
        tracing::warn!(
            "another control plane has made the first token: what we would have made does not count"
        );
        return Ok(());
    }
    let file = file.map(|path| path.display().to_string());
    tracing::warn!(
        token = name,
        file,
        "there was no token of role admin, so there is one now: make others with it, then revoke it"
    );
    Ok(())
}

/// The token in a file, which is made if need be.
fn in_file(path: &Path) -> Result<String, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => read(&text).map(ToOwned::to_owned),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = random().map_err(|error| error.to_string())?;
            write(path, &text).map_err(|error| format!("it cannot be written: {error}"))?;
            Ok(text)
        }
        Err(error) => Err(format!("it cannot be read: {}", rights::unreadable(path, &error))),
    }
}

fn read(text: &str) -> Result<&str, String> {
    let token = text.trim();
    if token.len() < SHORTEST || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!(
            "it is there, and holds no token, which is one word of at least {SHORTEST} characters: put one there (`openssl rand -hex 32`), or remove the file to have one made"
        ));
    }
    Ok(token)
}

/// Writes a file that was not there, whole or not at all.
fn write(path: &Path, token: &str) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = File::open(folder.unwrap_or(Path::new(".")));
    let written =
        writeln!(file, "{token}").and_then(|()| file.sync_all()).and_then(|()| folder?.sync_all());
    if written.is_err() {
        // Half a token would be in the way at the next start; the error says the rest.
        let _ = std::fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fedgate_allow_list::testing::{in_memory, us};

    use super::*;
    use crate::auth::{Token, Tokens};

    const TEXT: &str = "0123456789abcdef0123456789abcdef";

    fn issuer(configured: &[(&str, &str)]) -> Issuer {
        let token = |(name, role): &(&str, &str)| {
            Token::new(name, role, &Digest::of(name.as_bytes()).to_string()).unwrap()
        };
        let list = in_memory();
        let tokens = Tokens::new(&configured.iter().map(token).collect::<Vec<_>>(), &list).unwrap();
        Issuer::new(tokens, list)
    }

    /// The name and role that the token of this text has.
    fn bearer(issuer: &Issuer, text: &str) -> Option<(String, Role)> {
        let token = issuer.tokens().find(&Digest::of(text.as_bytes()))?;
        Some((token.token.name.to_string(), token.token.role))
    }

    fn nobody(_: &str) -> io::Result<()> {
        panic!("nothing is to be told")
    }

    #[tokio::test]
    async fn where_there_is_no_administrator_one_is_made_and_told_once() {
        let issuer = issuer(&[("bootstrap", "viewer")]);
        let mut told = String::new();
        let tell = |text: &str| {
            told = text.to_owned();
            Ok(())
        };
        bootstrap(&issuer, None, tell, us()).await.unwrap();
        assert_eq!(bearer(&issuer, &told), Some(("bootstrap-2".to_owned(), Role::Admin)));
        bootstrap(&issuer, None, nobody, us()).await.unwrap();
        assert_eq!(issuer.tokens().all().len(), 2);
    }

    #[tokio::test]
    async fn what_cannot_be_told_is_not_made() {
        let issuer = issuer(&[]);
        let closed = |_: &str| Err(ErrorKind::BrokenPipe.into());
        assert!(bootstrap(&issuer, None, closed, us()).await.is_err());
        assert!(issuer.tokens().all().is_empty());
    }

    #[tokio::test]
    async fn a_file_is_written_for_its_owner_alone_and_what_it_holds_is_taken_in_later() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        let first = issuer(&[("envoy", "filter")]);
        bootstrap(&first, Some(&file), nobody, us()).await.unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bearer(&first, text.trim()), Some(("bootstrap".to_owned(), Role::Admin)));
        // Another store, as after a crash before it had the token.
        let second = issuer(&[]);
        bootstrap(&second, Some(&file), nobody, us()).await.unwrap();
        assert!(bearer(&second, text.trim()).is_some());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }

    #[tokio::test]
    async fn a_file_never_brings_back_what_was_revoked_while_there_is_an_administrator() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, TEXT).unwrap();
        let issuer = issuer(&[("alice", "admin")]);
        bootstrap(&issuer, Some(&file), nobody, us()).await.unwrap();
        assert_eq!(bearer(&issuer, TEXT), None);
    }

    #[tokio::test]
    async fn a_file_that_holds_something_else_is_neither_used_nor_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        for text in
            ["", "\n", "short", "two words that are long enough together", "ü".repeat(40).as_str()]
        {
            std::fs::write(&file, text).unwrap();
            let issuer = issuer(&[]);
            let error = bootstrap(&issuer, Some(&file), nobody, us()).await.unwrap_err().to_string();
            assert!(error.contains("holds no token"), "{error}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
            assert!(issuer.tokens().all().is_empty());
        }
        for path in [dir.path().to_owned(), dir.path().join("no/such/directory")] {
            assert!(bootstrap(&issuer(&[]), Some(&path), nobody, us()).await.is_err(), "{path:?}");
        }
    }
}
