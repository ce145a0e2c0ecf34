//! Why a command did not do what it was to do; for people, for programs, and as exit code.

use std::borrow::Cow;

use serde_json::{Value, json};

use fedgate_store::StoreError;

use super::check_envoy::SourceError;
use super::store::FileError;
use super::{client, envoy, token};
use crate::contract::{self, Details};
use crate::serve::ServeError;
use client::ClientError;
use token::TokenError;

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The command line means nothing.
    #[error("{0}")]
    Use(String),
    /// The configuration is wrong, or the service cannot start, or ended badly.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The control plane cannot be asked, or says no.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A lookup that was asked for came to nothing.
    #[error("{0}")]
    Lookup(String),
    /// A request that was asked about would be refused.
    #[error("{0}")]
    Refused(String),
    /// Our list and brig's are not the same, or nobody knows.
    #[error("{0}")]
    Drift(String),
    /// What was demanded is not so.
    #[error("{0}")]
    Unmet(String),
    /// A check found what is not as it should be.
    #[error("{what}")]
    Found {
        /// In short.
        what: String,
        /// By the worst of it.
        code: u8,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that was named cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is to be checked cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Envoy does not run.
    #[error(transparent)]
    Envoy(#[from] envoy::EnvoyError),
    /// No token can be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The system has no threads, or nowhere to print to.
    #[error("the system failed us: {0}")]
    System(#[from] std::io::Error),
}

/// What kind of failure it is.
struct Kind {
    /// A URI reference that says so to programs (RFC 9457 §3.1.1).
    r#type: Cow<'static, str>,
    title: Cow<'static, str>,
    /// The status with which the control plane answered, if it did.
    status: Option<u16>,
    exit_code: u8,
}

// === impl Error ===

impl Error {
    /// 1 refused or failed; 2 wrong use, or a configuration that cannot be used; 3 warnings.
    pub(super) fn exit_code(&self) -> u8 {
        self.kind().exit_code
    }

    /// Problem details (RFC 9457), with the exit code, and with all errors where there are several.
    pub(super) fn problem(&self) -> Value {
        let Kind { r#type, title, status, exit_code } = self.kind();
        let mut problem = json!({
            "type": r#type,
            "title": title,
            "status": status,
            "detail": self.detail(),
            "exit_code": exit_code,
        });
        let refused = self.refused();
        let errors: &[String] = if let Self::Serve(ServeError::Config(errors)) = self {
            errors.list()
        } else if let Self::File(FileError::Wrong { errors, .. }) = self {
            errors
        } else {
            refused.map_or(&[], |details| &details.errors)
        };
        if let (Some(object), Some(id)) =
            (problem.as_object_mut(), refused.and_then(|details| details.request_id.clone()))
        {
            object.insert("request_id".to_owned(), id.into());
        }
        if let Some(object) = problem.as_object_mut().filter(|_| !errors.is_empty()) {
            object.insert("errors".to_owned(), errors.into());
        }
        problem
    }

    fn detail(&self) -> String {
        self.refused().map_or_else(|| self.to_string(), |details| details.detail.clone())
    }

    /// What the control plane says instead of yes.
    fn refused(&self) -> Option<&Details> {
        if let Self::Client(ClientError::Refused(details)) = self { Some(details) } else { None }
    }

    fn kind(&self) -> Kind {
        let kind = |r#type: &'static str, title: &'static str, exit_code| Kind {
            r#type: r#type.into(),
            title: title.into(),
            status: None,
            exit_code,
        };
        let wrong_use = || kind("fedgate:use", "Wrong use", 2);
        match self {
            Self::Serve(ServeError::Config(_)) => {
                kind("fedgate:configuration", "The configuration cannot be used", 2)
            }
            Self::Serve(
                ServeError::Bind { .. }
                | ServeError::Bootstrap(_)
                | ServeError::Store(_)
                | ServeError::Brig(_)
                | ServeError::Traces(_)
                | ServeError::Discovery(_)
                | ServeError::System(_),
            ) => kind("fedgate:serve", "The control plane does not run", 1),
            Self::Client(error) => match error {
                ClientError::NoToken
                | ClientError::TokenFile { .. }
                | ClientError::Authorities { .. }
                | ClientError::NoWord { .. }
                | ClientError::Url { .. } => wrong_use(),
                ClientError::Unreachable { .. } => {
                    kind("fedgate:unreachable", "The control plane cannot be reached", 1)
                }
                ClientError::Unauthorized { .. } => Kind {
                    r#type: contract::Kind::Unauthorized.urn().into(),
                    title: contract::Kind::Unauthorized.title().into(),
                    status: Some(contract::Kind::Unauthorized.status()),
                    exit_code: 1,
                },
                ClientError::Refused(details) => Kind {
                    r#type: details.r#type.clone().into(),
                    title: details.title.clone().into(),
                    status: Some(details.status),
                    exit_code: 1,
                },
                ClientError::Strange { status, .. } => Kind {
                    status: Some(status.as_u16()),
                    ..kind("fedgate:strange", "What answers is no control plane", 1)
                },
            },
            Self::Unmet(_) => Kind {
                r#type: contract::Kind::PreconditionFailed.urn().into(),
                title: contract::Kind::PreconditionFailed.title().into(),
                status: None,
                exit_code: 1,
            },
            Self::Found { code, .. } => kind("fedgate:check", "Not as it should be", *code),
            Self::Store(_) => kind("fedgate:store", "The store cannot be used", 1),
            Self::Lookup(_) => kind("fedgate:lookup", "The lookup failed", 1),
            Self::Refused(_) => kind("fedgate:refused", "It would be refused", 1),
            Self::Drift(_) => kind("fedgate:drift", "Not in step with brig", 1),
            Self::Envoy(_) => kind("fedgate:envoy", "Envoy does not run", 1),
            Self::Use(_)
            | Self::File(_)
            | Self::Source(_)
            | Self::Token(TokenError::Name(_) | TokenError::Nothing | TokenError::Words) => wrong_use(),
            Self::Token(TokenError::Random(_)) | Self::System(_) => {
                kind("fedgate:system", "The system failed us", 1)
            }
        }
    }
}
