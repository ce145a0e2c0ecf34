//! Who calls, and what they may do.
//!
//! A caller shows a bearer token (RFC 6750); we hold only its SHA-256, which is of no use to whoever
//! reads our configuration or our store: a token is 256 random bits, so there is nothing to guess.
//!
//! ```text
//!  configuration ─┐                        ┌─ failures: refused, told, counted, slowed ─ ledger ─► audit
//!  store ─────────┴─► tokens ◄── guard ◄───┴─ each listener
//!      ▲
//!      └── issuer: makes and revokes ◄── API, bootstrap
//! ```

pub(crate) mod bootstrap;
mod failures;
mod guard;
mod issuer;
mod ledger;
mod token;
mod tokens;

use std::sync::Arc;
use std::time::SystemTime;

use axum::http::{HeaderMap, header};
use fedgate_allow_list::Moment;
pub(crate) use fedgate_allow_list::Role;

pub(crate) use guard::Guard;
pub(crate) use issuer::{IssueError, Issuer, Wanted};
pub(crate) use token::{Digest, Token, TokenError, listed, random};
pub(crate) use tokens::{Accepted, Source, Tokens};

/// Who made the request, for the log; and by which token.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) Arc<str>, Arc<Accepted>);

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Refused {
    /// It shows no token, or several.
    #[error("this needs a token: `Authorization: Bearer …`")]
    NoToken,
    /// It shows a token that is not among ours.
    #[error("we do not know this token")]
    Unknown,
    /// Its token has come to its end.
    #[error("the token '{name}' has expired at {}: have another one made", Moment::of(*.at))]
    Expired {
        /// Who holds the token.
        name: Arc<str>,
        /// When it came to its end.
        at: SystemTime,
    },
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

// === impl Caller ===

impl Caller {
    /// A caller of that name, of role admin, whose token is none of ours.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into(), tokens::Accepted::of_a_test(name))
    }

    /// What they may do.
    pub(crate) fn role(&self) -> Role {
        self.1.token.role
    }
}

// === impl Refused ===

impl Refused {
    /// Who holds the token, if it is one of ours.
    fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::NoToken | Self::Unknown => None,
            Self::Expired { name, .. } | Self::Role { name, .. } => Some(name),
        }
    }
}
