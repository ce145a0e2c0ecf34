//! Which addresses the world may send us to: a pure function of the address.
//!
//! A peer's zone may say anything. A target that resolves to an address inside would let whoever
//! writes that zone have our Envoy knock at doors that only we can reach. So what is not public is
//! passed over, unless the operator says otherwise. IPv4 is judged by what is special (IANA's
//! registry, RFC 6890); IPv6 by what is public, of which there is one block so far, `2000::/3`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is a public one. An IPv6 address that carries one of IPv4 is judged by that.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0 // this network, RFC 791; with the unspecified address
        || address.is_private()
        || a == 100 && (64..128).contains(&b) // carrier-grade NAT, RFC 6598
        || address.is_loopback()
        || address.is_link_local()
        || (a, b, c) == (192, 0, 0) // protocol assignments, RFC 6890
        || address.is_documentation()
        || a == 198 && (b == 18 || b == 19) // benchmarks, RFC 2544
        || a >= 224; // multicast, reserved, broadcast
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    match segments {
        // v4-compatible (RFC 4291 §2.5.5.1) with `::` and `::1`, and v4-mapped; NAT64 (RFC 6052);
        // 6to4 (RFC 3056).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => is_public_v4(embedded(high, low)),
        [0x2001, second, ..] => {
            second >= 0x200 // below: protocol assignments, RFC 2928, with Teredo
                && second != 0xdb8 // documentation, RFC 3849
        }
        [first, second, ..] => {
            first & 0xe000 == 0x2000 // global unicast, RFC 4291 §2.4
                && !(first == 0x3fff && second < 0x1000) // documentation, RFC 9637
        }
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_public_is_told_from_its_neighbours() {
        for (public, addresses) in [
            (false, "0.0.0.0 0.1.2.3 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1"),
            (false, "127.255.255.255 169.254.0.1 169.254.169.254 172.16.0.0 172.31.255.255 192.0.0.1"),
            (false, "192.0.2.1 198.51.100.1 203.0.113.1 192.168.0.0 192.168.255.255 198.18.0.0"),
            (false, "198.19.255.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255"),
            (true, "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255"),
            (true, "128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0"),
            (true, "192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255"),
            (false, ":: ::1 fc00::1 fdff:ffff::1 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 100::1"),
            (false, "2001:db8::1 2001:db8:ffff::1 3fff::1 3fff:fff::1 2001::1 2001:1ff::1 4000::1"),
            (false, "64:ff9b:1::808:808 5f00::1 1fff::1"),
            (
                true,
                "2000::1 2001:200::1 2001:db7:ffff::1 2001:db9::1 2606:4700::1111 3ffe::1 3fff:1000::1",
            ),
            (false, "::10.0.0.1 ::127.0.0.1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254"),
            (
                false,
                "64:ff9b::10.0.0.1 64:ff9b::127.0.0.1 64:ff9b::192.168.1.1 2002:a00:1::1 2002:7f00:1::",
            ),
            (true, "::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:101:101::1"),
        ] {
            for text in addresses.split(' ') {
                assert_eq!(is_public(text.parse().unwrap()), public, "{text}");
            }
        }
    }
}
