//! A token as the configuration has it, and its digest.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use fedgate_allow_list::{FILE, Role};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// A token that we accept, by its digest.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Who holds it, as logs say it.
    pub(crate) name: Arc<str>,
    /// What they may do.
    pub(crate) role: Role,
    /// Of its text.
    pub(crate) digest: Digest,
}

/// The SHA-256 of a token's text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

/// Why some text is no token of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// Not three parts.
    #[error("a token is written name:role:sha256")]
    Shape,
    /// The name would not be clear in a log.
    #[error("a token's name has 1 to 64 letters, digits, '-', '_' and '.', unlike '{}'", .0.escape_debug())]
    Name(String),
    /// Who is told by that name is somebody else.
    #[error("a token is not named '{0}': in the audit that is what the control plane does by itself")]
    Reserved(String),
    /// Not a role.
    #[error("a token's role is admin, viewer or filter, not '{}'", .0.escape_debug())]
    Role(String),
    /// Not a digest. The text is not repeated: somebody may have put the token itself there.
    #[error("a token's sha256 has 64 hexadecimal digits: `fedgate token hash` makes it from the token")]
    Digest,
}

/// Who else is named in the audit, and as whose an entry counts.
const RESERVED: [&str; 3] = ["brig", FILE, "system"];

/// The text of a new token: 256 random bits, in hexadecimal, which every tool can carry.
pub(crate) fn random() -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(hex::encode(bits))
}

/// A token's name.
pub(crate) fn name(text: &str) -> Result<Arc<str>, TokenError> {
    let clean = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !(1..=64).contains(&text.len()) || !text.chars().all(clean) {
        return Err(TokenError::Name(text.to_owned()));
    }
    if RESERVED.contains(&text) {
        return Err(TokenError::Reserved(text.to_owned()));
    }
    Ok(text.into())
}

/// Names and roles, for people.
pub(crate) fn listed(tokens: &[Token]) -> String {
    if tokens.is_empty() {
        return "none".to_owned();
    }
    let shown = tokens.iter().map(|token| format!("{} ({})", token.name, token.role.name()));
    shown.collect::<Vec<_>>().join(", ")
}

// === impl Token ===

impl Token {
    /// Whether whoever holds one of them holds the other.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// From its parts, as configuration gives them.
    pub(crate) fn new(text: &str, role: &str, sha256: &str) -> Result<Self, TokenError> {
        let name = name(text)?;
        let role = role.parse().map_err(|_| TokenError::Role(role.to_owned()))?;
        Ok(Self { name, role, digest: sha256.parse()? })
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut parts = text.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(role), Some(sha256), None) => Self::new(name, role, sha256),
            _ => Err(TokenError::Shape),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

// === impl Digest ===

impl Digest {
    /// The digest of a token's text.
    pub(crate) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// As the store keeps it.
    pub(crate) fn octets(self) -> [u8; 32] {
        self.0
    }

    pub(super) fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl From<[u8; 32]> for Digest {
    fn from(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }
}

impl FromStr for Digest {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| TokenError::Digest)?;
        Ok(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "alice:admin:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";

    #[test]
    fn what_is_not_a_token_is_refused_without_repeating_it() {
        let digest = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
        for (text, error) in [
            ("alice:admin".to_owned(), TokenError::Shape),
            (format!("alice:admin:{digest}:x"), TokenError::Shape),
            (format!(":admin:{digest}"), TokenError::Name(String::new())),
            (format!("a b:admin:{digest}"), TokenError::Name("a b".to_owned())),
            (format!("file:admin:{digest}"), TokenError::Reserved("file".to_owned())),
            (format!("alice:root:{digest}"), TokenError::Role("root".to_owned())),
            (format!("alice:Admin:{digest}"), TokenError::Role("Admin".to_owned())),
            (format!("alice:admin:{digest}0"), TokenError::Digest),
            (format!("alice:admin:{}", digest.replace('a', "g")), TokenError::Digest),
            ("alice:admin:s3cret".to_owned(), TokenError::Digest),
            ("alice:admin:".to_owned(), TokenError::Digest),
        ] {
            let result = text.parse::<Token>().unwrap_err();
            assert_eq!(result, error, "{text}");
            assert!(!result.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn a_token_does_not_show_its_digest() {
        let shown = format!("{:?}", ALICE.parse::<Token>().unwrap());
        assert!(shown.contains("alice") && !shown.contains("2bd8"), "{shown}");
    }

    #[test]
    fn a_digest_is_printed_as_it_is_read() {
        let digest = Digest::of(b"x");
        assert!(digest.to_string().parse::<Digest>().unwrap() == digest);
        assert!(digest.to_string().to_uppercase().parse::<Digest>().unwrap() == digest);
    }

    #[test]
    fn no_two_random_tokens_are_the_same() {
        let tokens = [random().unwrap(), random().unwrap()];
        assert!(tokens[0] != tokens[1] && tokens.iter().all(|token| token.len() == 64));
    }
}
