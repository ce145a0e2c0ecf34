//! What is said at start: of settings that are odd, and of addresses that cannot be had.

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use crate::config::Config;
use crate::verdicts::PATIENCE;

/// A time for connecting that is too short for some.
const SHORT_CONNECT: Duration = Duration::from_secs(1);

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What can be used, and is most likely not what was meant.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.timeout > PATIENCE {
        warnings.push(format!(
            "discovery.timeout ({:?}) is longer than whoever asks waits ({PATIENCE:?}): what DNS says later counts for those who ask later",
            config.timeout
        ));
    }
    if config.egress.connect_timeout < SHORT_CONNECT {
        warnings.push(format!(
            "egress.connect_timeout ({:?}) is for all addresses of a target, tried 300 ms apart, and for TLS: below 1s, partners that are far away, or have addresses that do not answer, cannot be called",
            config.egress.connect_timeout
        ));
    }
    if let Some(wire) = config.wire.filter(|wire| config.wire_open && !wire.ip().is_loopback()) {
        warnings.push(format!(
            "wire_list.open is true, so whoever reaches {wire} can change the allow list: see that the network lets through only who may"
        ));
    }
    warnings
}

/// Prints the first token, which nobody can have again.
pub(crate) fn show_first_token(token: &str) -> io::Result<()> {
    writeln!(
        io::stdout(),
        "\
There was no token of role admin, so one is made now. It is shown this once; it counts when the log says `ready`:

    export FEDGATE_TOKEN={token}

Make one for yourself with it (`fedgate token make NAME --role admin`), then revoke it (`fedgate token revoke bootstrap`)."
    )
}

/// The servers, as one text.
pub(crate) fn listed(servers: &[SocketAddr]) -> String {
    servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What to do where an address cannot be listened on.
pub(crate) fn cure(listener: &str, address: SocketAddr, cause: &io::Error) -> String {
    let port = address.port();
    let other = format!("choose another with --listen-{listener}");
    let kind = cause.kind();
    if kind == ErrorKind::AddrNotAvailable {
        return format!(
            "no interface of this machine has {} (`ip address` shows what they have); {other}",
            address.ip()
        );
    }
    if kind == ErrorKind::PermissionDenied {
        return format!(
            "port {port} is below net.ipv4.ip_unprivileged_port_start, and takes the capability CAP_NET_BIND_SERVICE, which we, {}, do not have: in a unit of systemd, put it into AmbientCapabilities= and CapabilityBoundingSet=; or {other}",
            fedgate_store::rights::us()
        );
    }
    format!("stop what uses it (`ss -ltnp 'sport = :{port}'` names it), or {other}")
}
