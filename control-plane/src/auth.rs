//! Who calls, and what they may do.
//!
//! A caller shows a bearer token (RFC 6750); we hold only its SHA-256, which is of no use to whoever
//! reads our configuration: a token is 256 random bits, so there is nothing to guess.

mod failures;
mod guard;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

pub(crate) use guard::Guard;

/// What the bearer of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Role {
    /// Read and write the admin API.
    Admin,
    /// Read the admin API.
    Viewer,
    /// Ask for verdicts, and for clusters; nothing else.
    Filter,
}

/// A token that we accept, by its digest.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// Who holds it, as logs say it.
    pub(crate) name: Arc<str>,
    /// What they may do.
    pub(crate) role: Role,
    digest: Digest,
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
    /// Not a role.
    #[error("a token's role is admin, viewer or filter, not '{}'", .0.escape_debug())]
    Role(String),
    /// Not a digest. The text is not repeated: somebody may have put the token itself there.
    #[error("a token's sha256 has 64 hexadecimal digits: `fedgate token hash` makes it from the token")]
    Digest,
}

/// All tokens that we accept: a handle, of which each listener holds a copy.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Arc<watch::Sender<Arc<[Token]>>>);

/// Who made the request, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Arc<str>);

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Refused {
    /// It shows no token, or several.
    #[error("this needs a token: `Authorization: Bearer …`")]
    NoToken,
    /// It shows a token that is not among ours.
    #[error("we do not know this token")]
    Unknown,
    /// Its token is for something else.
    #[error("the token '{name}' has the role {}, and this needs {needed}", .role.name())]
    Role {
        /// Who holds the token.
        name: Arc<str>,
        /// What they may do.
        role: Role,
        /// The roles, one of which would do.
        needed: String,
    },
}

/// The token of the one `Authorization` header; the scheme in any case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii()).filter(|token| !token.is_empty())
}

// === impl Tokens ===

impl Tokens {
    /// Whose call this is, if its token has one of `roles`.
    pub(crate) fn authorize(&self, headers: &HeaderMap, roles: &[Role]) -> Result<Caller, Refused> {
        let presented = bearer(headers).ok_or(Refused::NoToken)?;
        let token = self.find(presented).ok_or(Refused::Unknown)?;
        if !roles.contains(&token.role) {
            let needed: Vec<_> = roles.iter().map(|role| role.name()).collect();
            let (name, role, needed) = (token.name.clone(), token.role, needed.join(" or "));
            return Err(Refused::Role { name, role, needed });
        }
        Ok(Caller(token.name.clone()))
    }

    /// The token whose text this is. Compares with every one of them, each in constant time, so that
    /// the time taken tells nothing of either.
    fn find(&self, presented: &[u8]) -> Option<Token> {
        let digest = Digest::of(presented);
        let tokens = self.0.borrow();
        let mut found = u32::MAX;
        for (index, token) in (0..u32::MAX).zip(tokens.iter()) {
            found.conditional_assign(&index, token.digest.ct_eq(&digest));
        }
        tokens.get(usize::try_from(found).ok()?).cloned()
    }

    /// Whether there is none, so that every call is refused.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Whether these are the same tokens, in the same order.
    pub(crate) fn are(&self, others: &Self) -> bool {
        *self.0.borrow() == *others.0.borrow()
    }

    /// Waits until the token that is shown here is none of ours any more, or another one.
    pub(crate) async fn revoked(&self, headers: &HeaderMap) {
        let mut changes = self.0.subscribe();
        let shown = bearer(headers).and_then(|presented| self.find(presented));
        while shown.is_some() && shown == bearer(headers).and_then(|presented| self.find(presented)) {
            // Never, as we hold the sender.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Accepts the tokens of `others` instead, wherever a copy of this handle is held, from the next
    /// call on. What is under way goes on.
    pub(crate) fn replace(&self, others: &Self) {
        self.0.send_replace(others.0.borrow().clone());
    }
}

/// Names and roles.
impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = self.0.borrow();
        if tokens.is_empty() {
            return f.write_str("none");
        }
        let names: Vec<_> =
            tokens.iter().map(|token| format!("{} ({})", token.name, token.role.name())).collect();
        f.write_str(&names.join(", "))
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::from_iter([])
    }
}

impl FromIterator<Token> for Tokens {
    fn from_iter<I: IntoIterator<Item = Token>>(tokens: I) -> Self {
        Self(Arc::new(watch::Sender::new(tokens.into_iter().collect())))
    }
}

// === impl Refused ===

impl Refused {
    /// Who holds the token, if it is one of ours.
    fn name(&self) -> Option<&str> {
        match self {
            Self::NoToken | Self::Unknown => None,
            Self::Role { name, .. } => Some(name),
        }
    }
}

// === impl Token ===

impl Token {
    /// Whether whoever holds one of them holds the other.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// From its parts, as configuration gives them.
    pub(crate) fn new(name: &str, role: &str, sha256: &str) -> Result<Self, TokenError> {
        let clean = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(1..=64).contains(&name.len()) || !name.chars().all(clean) {
            return Err(TokenError::Name(name.to_owned()));
        }
        Ok(Self { name: name.into(), role: role.parse()?, digest: sha256.parse()? })
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

    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
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

// === impl Role ===

impl Role {
    /// Its name in configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
            Self::Filter => "filter",
        }
    }
}

impl FromStr for Role {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        [Self::Admin, Self::Viewer, Self::Filter]
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| TokenError::Role(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "alice:admin:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";

    #[test]
    fn a_token_is_found_by_its_text_only() {
        // The digest is that of the text "alice".
        let bob = format!("bob:viewer:{}", Digest::of(b"hello"));
        let tokens: Tokens = [ALICE, &bob].iter().map(|text| text.parse::<Token>().unwrap()).collect();
        assert_eq!(tokens.find(b"alice").unwrap().role, Role::Admin);
        assert_eq!(&*tokens.find(b"hello").unwrap().name, "bob");
        for other in ["", "Alice", "alice ", ALICE, "bob"] {
            assert!(tokens.find(other.as_bytes()).is_none(), "{other}");
        }
        assert!(Tokens::default().find(b"").is_none());
    }

    #[test]
    fn tokens_that_are_replaced_are_so_in_every_copy() {
        let tokens: Tokens = [ALICE.parse::<Token>().unwrap()].into_iter().collect();
        let copy = tokens.clone();
        let bob = format!("bob:viewer:{}", Digest::of(b"hello"));
        tokens.replace(&[bob.parse::<Token>().unwrap()].into_iter().collect());
        assert!(copy.find(b"alice").is_none());
        assert_eq!(&*copy.find(b"hello").unwrap().name, "bob");
        tokens.replace(&Tokens::default());
        assert!(copy.is_empty());
    }

    #[tokio::test]
    async fn whoever_showed_a_token_hears_when_it_counts_no_more() {
        let bob = |role: &str| format!("bob:{role}:{}", Digest::of(b"hello"));
        let of =
            |all: &[&str]| all.iter().map(|text| text.parse::<Token>().unwrap()).collect::<Tokens>();
        let tokens = of(&[ALICE, &bob("filter")]);
        let mut shown = HeaderMap::new();
        shown.insert(header::AUTHORIZATION, "Bearer hello".parse().unwrap());
        let mut revoked = Box::pin(tokens.revoked(&shown));
        let mut is_revoked = async || futures_util::poll!(&mut revoked).is_ready();
        assert!(!is_revoked().await);
        tokens.replace(&of(&[&bob("filter")]));
        assert!(!is_revoked().await, "another's token is gone");
        tokens.replace(&of(&[&bob("viewer")]));
        assert!(is_revoked().await, "it has another role");
    }

    #[test]
    fn what_is_not_a_token_is_refused_without_repeating_it() {
        let digest = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
        for (text, error) in [
            ("alice:admin".to_owned(), TokenError::Shape),
            (format!("alice:admin:{digest}:x"), TokenError::Shape),
            (format!(":admin:{digest}"), TokenError::Name(String::new())),
            (format!("a b:admin:{digest}"), TokenError::Name("a b".to_owned())),
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
}
