//! A loopback address for each world, so that all can use the same ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

/// How many worlds there can be at the same time.
const WORLDS: u32 = 20_000;
/// Worlds' BINDs take ports from here, below those that the system gives to clients.
const FIRST_DNS_PORT: u16 = 10_000;
/// The port that marks an address as taken; nothing is ever served on it.
const CLAIM_PORT: u16 = 9_999;

/// A loopback address that belongs to one world, in this process and in others, while this lives.
#[derive(Debug)]
pub struct Address {
    ip: Ipv4Addr,
    dns: SocketAddr,
    _claim: TcpListener,
}

// === impl Address ===

impl Address {
    /// Claims a free address below 127.16.0.0/16, away from 127.0.0.1 and its neighbours.
    pub fn claim() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let start = std::process::id().wrapping_mul(97);
        for _ in 0..WORLDS {
            let n = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % WORLDS;
            let [_, _, high, low] = n.to_be_bytes();
            let ip = Ipv4Addr::new(127, 16, high, low);
            let port = FIRST_DNS_PORT + u16::try_from(n).expect("the number of worlds fits");
            let dns = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if let Ok(claim) = TcpListener::bind((ip, CLAIM_PORT))
                && is_free(dns)
            {
                return Self { ip, dns, _claim: claim };
            }
        }
        panic!("no loopback address could be claimed; does 127.0.0.0/8 exist here?");
    }

    /// The address.
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The place of this world's BIND, which listens only on addresses that an interface names.
    pub fn dns(&self) -> SocketAddr {
        self.dns
    }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
}
