//! A resource as it is sent: packed once, for all streams.

use envoy_types::pb::google::protobuf::Any;
use envoy_types::util::pack_any;
use fedgate_policy::Domain;
use prost::{Message, Name};
use sha2::{Digest, Sha256};

/// What stands before the backend domain in the name of its cluster, and of its endpoints.
const PREFIX: &str = "federation/";

/// One cluster, or the endpoints of one.
#[derive(Debug, PartialEq)]
pub(super) struct Resource {
    /// Tells this content from any other, whichever process says it.
    pub(super) version: String,
    /// The content.
    pub(super) packed: Any,
    /// Whether it is empty only because DNS did not answer: who has another keeps that.
    pub(super) stopgap: bool,
}

/// The name of a domain's resources.
pub(super) fn name_of(domain: &Domain) -> String {
    format!("{PREFIX}{domain}")
}

/// The domain whose resources have this name, if there can be such; one name for each domain.
pub(super) fn domain_of(name: &str) -> Option<Domain> {
    let text = name.strip_prefix(PREFIX)?;
    text.parse().ok().filter(|domain: &Domain| domain.as_str() == text)
}

impl Resource {
    /// Packs a message. The same one gives the same bytes, and so the same version: no map in it has
    /// more than one entry.
    pub(super) fn pack<T: Name + Message>(message: T, stopgap: bool) -> Self {
        let packed = pack_any(message);
        let mut version = hex::encode(Sha256::digest(&packed.value));
        version.truncate(16);
        Self { version, packed, stopgap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_one_domain_or_for_none() {
        let domain: Domain = "a.com".parse().unwrap();
        assert_eq!(domain_of(&name_of(&domain)), Some(domain));
        for other in ["", "a.com", "federation/", "federation", "federation/A.com", "Federation/a.com"] {
            assert_eq!(domain_of(other), None, "{other}");
        }
        for other in ["federation/a.com.", "federation/a", "federation/a.com/b", "federation/*", "*"] {
            assert_eq!(domain_of(other), None, "{other}");
        }
    }
}
