//! The DNS servers that the system is set up with: those of `/etc/resolv.conf` (resolv.conf(5)).
//!
//! Of that file only the servers count: names are always asked for as they are, and time is ours.

use std::fs;
use std::io;
use std::net::{SocketAddr, SocketAddrV6, UdpSocket};

use resolv_conf::ScopedIp;
use rustix::net::netdevice::name_to_index;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// DNS's port.
const PORT: u16 = 53;

/// Why discovery cannot start.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system's DNS configuration is of no use: {RESOLV_CONF}: {0}; mend it, or name the servers with --discovery-servers"
)]
pub struct NoServers(String);

/// The servers of the system.
pub(super) fn servers() -> Result<Vec<SocketAddr>, NoServers> {
    let octets = fs::read(RESOLV_CONF).map_err(|error| NoServers(error.to_string()))?;
    named_in(&octets, zone)
}

/// The servers that a file names, by `zone`, which knows the numbers of interfaces. Lines that make no
/// sense are passed over, and so are servers behind an interface that is not there, unless none is left.
fn named_in(file: &[u8], zone: impl Fn(&str) -> io::Result<u32>) -> Result<Vec<SocketAddr>, NoServers> {
    let (config, mut errors) = resolv_conf::Config::parse_with_errors(file);
    let mut causes: Vec<String> = errors.drain(..).map(|error| error.to_string()).collect();
    let mut servers = Vec::new();
    for server in &config.nameservers {
        match address(server, &zone) {
            Ok(address) => servers.push(address),
            Err(cause) => causes.push(cause),
        }
    }
    if servers.is_empty() {
        causes.push("it names no server that can be asked".to_owned());
        return Err(NoServers(causes.join("; ")));
    }
    for cause in causes {
        tracing::warn!(file = RESOLV_CONF, cause, "passed over");
    }
    Ok(servers)
}

fn address(server: &ScopedIp, zone: impl Fn(&str) -> io::Result<u32>) -> Result<SocketAddr, String> {
    match server {
        ScopedIp::V4(address) => Ok((*address, PORT).into()),
        ScopedIp::V6(address, None) if address.is_unicast_link_local() => {
            Err(format!("{address} is a link-local address without its interface: write {address}%eth0"))
        }
        ScopedIp::V6(address, None) => Ok((*address, PORT).into()),
        // A zone by its name, or by its number (RFC 4007 §11.2).
        ScopedIp::V6(address, Some(name)) => name
            .parse()
            .or_else(|_| zone(name))
            .map(|zone| SocketAddrV6::new(*address, PORT, 0, zone).into())
            .map_err(|error| format!("{address}%{name}: interface {name}: {error}")),
    }
}

fn zone(name: &str) -> io::Result<u32> {
    // Any socket will do to ask the kernel.
    let socket = UdpSocket::bind("[::]:0").or_else(|_| UdpSocket::bind("0.0.0.0:0"))?;
    Ok(name_to_index(socket, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(file: &str) -> Result<Vec<String>, String> {
        let zone = |name: &str| match name {
            "eth0" => Ok(7),
            _ => Err(io::Error::other("no such device")),
        };
        named_in(file.as_bytes(), zone)
            .map(|servers| servers.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_names_servers_of_both_families_and_of_an_interface() {
        for (file, expected) in [
            (
                "nameserver 192.0.2.1\n# no\nnameserver 2001:db8::1\n",
                vec!["192.0.2.1:53", "[2001:db8::1]:53"],
            ),
            ("nameserver fe80::1%eth0\n", vec!["[fe80::1%7]:53"]),
            ("nameserver fe80::1%3\noptions edns0 timeout:1\n", vec!["[fe80::1%3]:53"]),
            (
                "nameserver fe80::1\nnameserver fe80::1%gone\nnonsense\nnameserver 192.0.2.1\n",
                vec!["192.0.2.1:53"],
            ),
        ] {
            assert_eq!(named(file).unwrap(), expected, "{file}");
        }
    }

    #[test]
    fn a_file_without_one_says_why() {
        for (file, cause) in [
            ("", "it names no server"),
            ("nameserver fe80::1\n", "link-local address without its interface"),
            ("nameserver fe80::1%gone\n", "fe80::1%gone: interface gone: no such device"),
            ("nameserver dns.example.com\n", "it names no server"),
        ] {
            let error = named(file).unwrap_err();
            assert!(error.contains(cause) && error.contains("--discovery-servers"), "{error}");
        }
    }

    #[test]
    fn the_kernel_knows_the_loopback_interface() {
        assert!(zone("lo").is_ok_and(|index| index > 0));
        assert!(zone("no-such-device").is_err());
    }
}
