//! `fedgate token new` and `hash`: makes tokens for the configuration, and what the server needs of them.

use std::io::Read;

use super::{Error, TokenArgs, print};
use crate::auth::{self, Digest, Token};

/// The longest token that is read, in bytes.
const MAX_TOKEN: u64 = 4096;

/// Why no token can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// The name will not do.
    #[error(transparent)]
    Name(#[from] auth::TokenError),
    /// The system has no random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(#[from] getrandom::Error),
    /// Standard input holds no token.
    #[error("standard input holds no token: pipe it in, e.g. `fedgate token hash … < alice.token`")]
    Nothing,
    /// Standard input holds something else. It is not repeated.
    #[error(
        "standard input holds no token, but something of several words: a token is one, as `fedgate token new` prints it"
    )]
    Words,
}

/// Makes a token.
pub(super) fn new(args: &TokenArgs, json: bool) -> Result<(), Error> {
    let token = auth::random().map_err(TokenError::from)?;
    show(args, json, Some(&token), Digest::of(token.as_bytes()))
}

/// Hashes the token on standard input.
pub(super) fn hash(args: &TokenArgs, json: bool) -> Result<(), Error> {
    let mut token = String::new();
    std::io::stdin().take(MAX_TOKEN).read_to_string(&mut token)?;
    match token.trim() {
        "" => Err(TokenError::Nothing.into()),
        token if !token.bytes().all(|b| b.is_ascii_graphic()) => Err(TokenError::Words.into()),
        token => show(args, json, None, Digest::of(token.as_bytes())),
    }
}

fn show(args: &TokenArgs, json: bool, token: Option<&str>, digest: Digest) -> Result<(), Error> {
    let (name, role, sha256) = (&args.name, args.role.name(), digest.to_string());
    Token::new(name, role, &sha256).map_err(TokenError::Name)?;
    if json {
        let mut value = serde_json::json!({ "name": name, "role": role, "sha256": sha256 });
        if let (Some(token), Some(object)) = (token, value.as_object_mut()) {
            object.insert("token".to_owned(), token.into());
        }
        return Ok(print::json(&value)?);
    }
    if let Some(token) = token {
        let text = "The token; it is not shown again, so give it to its holder now:";
        [text, "", &format!("    {token}"), ""].into_iter().try_for_each(print::line)?;
    }
    let lines = [
        "For the configuration file of `fedgate serve`:",
        "",
        "    [[token]]",
        &format!("    name = \"{name}\""),
        &format!("    role = \"{role}\""),
        &format!("    sha256 = \"{sha256}\""),
        "",
        "Or for --tokens and FEDGATE_TOKENS:",
        "",
        &format!("    {name}:{role}:{sha256}"),
    ];
    Ok(lines.into_iter().try_for_each(print::line)?)
}
