//! Where a store in etcd is, as operators write it.

use std::fmt;
use std::str::FromStr;

/// The members of a cluster, and what all of our keys begin with:
/// `etcd://h1:2379,h2:2379,h3:2379/prefix`, or `etcds://` over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Each member's `host:port`.
    pub members: Vec<String>,
    /// What our keys begin with, without slashes around it.
    pub prefix: String,
    /// Whether members are spoken to over TLS.
    pub is_secure: bool,
}

/// A text that says no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// It is none of ours.
    #[error("begins with neither etcd:// nor etcds://")]
    Scheme,
    /// Nobody could be asked.
    #[error("names no member: etcd://host:port,host:port,host:port/prefix")]
    NoMember,
    /// A member cannot be reached by that.
    #[error(
        "names a member without a port, or that is no host: etcd://host:port,host:port,host:port/prefix"
    )]
    Member,
    /// Our keys would stand among those of others.
    #[error("names no prefix, which keeps our keys apart from others': etcd://host:port/prefix")]
    NoPrefix,
    /// It would be logged.
    #[error(
        "holds a password, which would be seen: give it with store.etcd_user and store.etcd_password_file"
    )]
    Password,
}

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (is_secure, rest) = match (text.strip_prefix("etcd://"), text.strip_prefix("etcds://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            (None, None) => return Err(NoPlace::Scheme),
        };
        let (members, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if members.contains('@') {
            return Err(NoPlace::Password);
        }
        let members: Vec<_> =
            members.split(',').map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect();
        if members.is_empty() {
            return Err(NoPlace::NoMember);
        }
        let prefix = prefix.trim_matches('/').to_owned();
        if !members.iter().all(|member| is_member(member)) {
            return Err(NoPlace::Member);
        }
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/".contains(&b);
        if prefix.is_empty() || !prefix.bytes().all(is_plain) {
            return Err(NoPlace::NoPrefix);
        }
        Ok(Self { members, prefix, is_secure })
    }
}

/// Whether that is `host:port`, `[v6]:port` among them.
fn is_member(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let is_v6 = || {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    port.parse::<u16>().is_ok_and(|port| port > 0)
        && !host.is_empty()
        && (host.bytes().all(is_name) || is_v6())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "etcds" } else { "etcd" };
        write!(f, "{scheme}://{}/{}", self.members.join(","), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in [
            "etcd://127.0.0.1:2379/fedgate",
            "etcd://h1:2379,h2.example:2379,h3:2379/wire/fedgate",
            "etcds://[::1]:2379/fedgate",
        ] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        let place: Place = "etcd://h1:2379, h2:2379,/fedgate/".parse().unwrap();
        assert_eq!(place.to_string(), "etcd://h1:2379,h2:2379/fedgate");
    }

    #[test]
    fn what_could_not_be_meant_is_refused_with_the_cure() {
        for (text, error) in [
            ("sqlite://fedgate.db", NoPlace::Scheme),
            ("etcd://", NoPlace::NoMember),
            ("etcd:///fedgate", NoPlace::NoMember),
            ("etcd://h1/fedgate", NoPlace::Member),
            ("etcd://h1:0/fedgate", NoPlace::Member),
            ("etcd://h1:99999/fedgate", NoPlace::Member),
            ("etcd://h 1:2379/fedgate", NoPlace::Member),
            ("etcd://::1:2379/fedgate", NoPlace::Member),
            ("etcd://h1:2379", NoPlace::NoPrefix),
            ("etcd://h1:2379//", NoPlace::NoPrefix),
            ("etcd://h1:2379/a b", NoPlace::NoPrefix),
            ("etcd://root:secret@h1:2379/fedgate", NoPlace::Password),
        ] {
            assert_eq!(text.parse::<Place>(), Err(error), "{text}");
        }
    }
}
