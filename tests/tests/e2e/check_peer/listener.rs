//! How their ingress takes connections, and whom it lets in.

use std::future::pending;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use fedgate_tests::address::Address;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConnection, Stream, SupportedProtocolVersion};

use super::site::{Clients, Ingress, PORT, Site, answering};

static ONLY_12: &[&SupportedProtocolVersion] = &[&TLS12];
static ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];

/// What is found where all that is ever said are these octets.
#[track_caller]
fn said(octets: &'static [u8], expected: &str) {
    let site = Site::new();
    let listener = TcpListener::bind(site.address()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Whoever called may have gone.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(octets);
        }
    });
    site.check(&[]).is(&[expected]);
}

#[test]
fn a_listener_in_plain_text_is_found() {
    said(b"HTTP/1.1 400 Bad Request\r\n\r\n", "not-tls");
}

#[test]
fn a_listener_that_is_too_old_is_found() {
    // The alert protocol_version.
    said(&[21, 3, 1, 0, 2, 2, 70], "tls-too-old");
}

#[test]
fn a_handshake_that_fails_is_found() {
    // The alert unrecognized_name; and none.
    said(&[21, 3, 3, 0, 2, 2, 112], "tls-failed");
    said(&[], "tls-failed");
}

#[test]
fn a_call_without_answer_is_found() {
    let site = Site::new();
    let router = axum::Router::new().fallback(axum::routing::any(async || pending::<()>().await));
    let _listening = site.serve(&Ingress { router, ..site.good() });
    site.check(&["--timeout", "500ms"]).is(&["call-unanswered"]);
}

#[test]
fn who_agrees_on_http_2_and_speaks_something_else_is_found() {
    let site = Site::new();
    let config = Arc::new(site.good().config());
    let listener = TcpListener::bind(site.address()).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut tls = ServerConnection::new(config.clone()).unwrap();
            let mut stream = stream.unwrap();
            // Some show no certificate that would do, and some leave before they are answered.
            if tls.complete_io(&mut stream).is_ok() {
                let mut stream = Stream::new(&mut tls, &mut stream);
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
                // Until they go.
                let _ = stream.read_to_end(&mut vec![]);
            }
        }
    });
    site.check(&[]).is(&["http2-broken"]);
}

#[test]
fn addresses_that_show_different_certificates_are_told() {
    let other = Address::claim();
    let site = Site::of_two(&other);
    let _one = site.serve(&site.good());
    let _other = site.good().serve((other.ip(), PORT).into());
    site.check(&[]).is_info("certificates-differ");
}

#[test]
fn a_silent_listener_is_found_and_does_not_hold_us_up() {
    let site = Site::new();
    let _listener = TcpListener::bind(site.address()).unwrap();
    let begun = Instant::now();
    site.check(&["--timeout", "300ms"]).is(&["tls-silent"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn tls_1_2_alone_is_found() {
    let site = Site::new();
    let told = site.told_of(&Ingress { versions: ONLY_12, ..site.good() });
    told.is(&["tls-1-2-only"]);
    assert!(told.of(&["info"]).contains("post-quantum-absent"), "{:#}", told.report);
}

#[test]
fn tls_1_3_alone_is_good() {
    let site = Site::new();
    site.told_of(&Ingress { versions: ONLY_13, ..site.good() }).is(&[]);
}

#[test]
fn an_ingress_without_http_2_is_found() {
    let site = Site::new();
    for protocols in [&[][..], &["http/1.1"]] {
        site.told_of(&Ingress { protocols, ..site.good() }).is(&["http2-absent"]);
    }
}

#[test]
fn an_ingress_that_does_not_ask_is_found() {
    let site = Site::new();
    let told = site.told_of(&Ingress { clients: Clients::NotAsked, ..site.good() });
    told.is(&["no-certificate-asked", "stranger-answered"]);
}

#[test]
fn an_ingress_that_asks_and_does_not_verify_is_found() {
    let site = Site::new();
    let told = site.told_of(&Ingress { clients: Clients::AskedAndNotVerified, ..site.good() });
    told.is(&["self-signed-answered"]);
}

#[test]
fn a_filter_behind_it_that_refuses_strangers_will_do() {
    let site = Site::new();
    let refusing = answering(403, r#"{"code":403,"label":"untrusted-certificate","message":"m"}"#);
    let ingress = Ingress { clients: Clients::AskedAndNotVerified, router: refusing, ..site.good() };
    site.told_of(&ingress).is(&["certificate-refused"]);
}

#[test]
fn an_ingress_that_does_not_trust_our_authority_is_found() {
    let site = Site::new();
    let other = fedgate_tests::pki::Authority::root("another authority");
    let told = site.told_of(&Ingress { trust: other.pem().to_owned(), ..site.good() });
    told.is(&["certificate-refused", "issuer-not-asked-for"]);
}
