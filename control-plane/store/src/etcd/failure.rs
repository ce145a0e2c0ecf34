//! What an error of etcd's means: ask another member, or give up.

use etcd_client::Error;
use tonic::Code;

use super::Place;
use crate::StoreError;

/// Why a member did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// It cannot now; another may.
    Away(String),
    /// The cluster has no room.
    Full(String),
    /// None would do it.
    Final(String),
}

impl Failure {
    pub(super) fn error(self, place: &Place) -> StoreError {
        match self {
            Self::Away(cause) => StoreError::Away { place: place.to_string(), cause },
            Self::Full(cause) => StoreError::Full(Some(format!("{place} ({cause})"))),
            Self::Final(cause) => StoreError::Failed(format!("{place}: {cause}")),
        }
    }
}

/// Whether a member that says so may have done, or may yet do, what it was asked.
pub(super) fn may_be_done(error: &Error) -> bool {
    let Error::GRpcStatus(status) = error else { return true };
    let said = causes(status);
    // It says so before it begins; or nothing was sent.
    !["no leader", "tcp connect error", "Connection refused"].iter().any(|words| said.contains(words))
}

pub(super) fn failure(error: &Error) -> Failure {
    match error {
        Error::GRpcStatus(status) => {
            let said = status.message().to_owned();
            match status.code() {
                Code::ResourceExhausted if said.contains("space") => Failure::Full(said),
                Code::Unavailable
                | Code::DeadlineExceeded
                | Code::Cancelled
                | Code::Aborted
                | Code::Unknown
                | Code::Internal
                | Code::ResourceExhausted => Failure::Away(causes(status)),
                Code::Ok
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::OutOfRange
                | Code::Unimplemented
                | Code::DataLoss
                | Code::Unauthenticated => Failure::Final(said),
            }
        }
        Error::IoError(_) | Error::TransportError(_) | Error::WatchError(_) => {
            Failure::Away(causes(error))
        }
        Error::InvalidArgs(_)
        | Error::InvalidUri(_)
        | Error::Utf8Error(_)
        | Error::LeaseKeepAliveError(_)
        | Error::ElectError(_)
        | Error::InvalidMetadataValue(_)
        | Error::EndpointError(_)
        | Error::EndpointsNotManaged
        | Error::Internal(_) => Failure::Final(causes(error)),
    }
}

/// An error, with what it came from.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
