//! Certificates as they come: in every encoding, broken, and hostile.

use fedgate_policy::{Certificate, CertificateError, ExtendedKeyUsage, HostName, UnixTime};
use fedgate_tests::pki::{Authority, Identity, Leaf, San};
use proptest::prelude::*;
use rcgen::ExtendedKeyUsagePurpose;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

fn issue(leaf: &Leaf) -> Identity {
    Authority::root("an authority").issue(leaf)
}

fn der(identity: &Identity) -> Vec<u8> {
    CertificateDer::from_pem_slice(identity.chain.as_bytes()).unwrap().to_vec()
}

fn parse(leaf: &Leaf) -> Certificate {
    Certificate::parse(&der(&issue(leaf))).unwrap()
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

#[test]
fn der_pem_and_url_encoded_pem_say_the_same() {
    let identity = issue(&Leaf::of(["infra.a.com", "*.b.com"]));
    let from_der = Certificate::parse(&der(&identity)).unwrap();
    assert_eq!(Certificate::parse(identity.chain.as_bytes()).as_ref(), Ok(&from_der));
    let encoded: String = identity
        .chain
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    assert_eq!(Certificate::parse(encoded.as_bytes()).as_ref(), Ok(&from_der));
    // `+` is a digit of Base64, never a space.
    let spaces_only = identity.chain.replace('\n', "%0a").replace(' ', "%20");
    assert_eq!(Certificate::parse(spaces_only.as_bytes()).as_ref(), Ok(&from_der));
}

#[test]
fn validity_holds_from_its_first_to_its_last_second() {
    let certificate = parse(&Leaf { not_before: -10, not_after: 20, ..Leaf::default() });
    let (UnixTime(first), UnixTime(last)) = certificate.validity();
    assert_eq!(last - first, 30);
    for (second, valid) in [(first - 1, false), (first, true), (last, true), (last + 1, false)] {
        assert_eq!(certificate.is_valid_at(UnixTime(second)), valid, "{second}");
    }
}

#[test]
fn a_time_is_written_as_people_read_it() {
    for (seconds, text) in [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (i64::MAX, "9223372036854775807 s after 1970"),
    ] {
        assert_eq!(UnixTime(seconds).to_string(), text);
    }
}

#[test]
fn purposes_are_read() {
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    for (purposes, expected) in [
        (vec![], ExtendedKeyUsage::Any),
        (vec![ServerAuth], ExtendedKeyUsage::Only { server_auth: true, client_auth: false }),
        (vec![ClientAuth], ExtendedKeyUsage::Only { server_auth: false, client_auth: true }),
        (vec![ServerAuth, ClientAuth], ExtendedKeyUsage::Only { server_auth: true, client_auth: true }),
        (vec![CodeSigning], ExtendedKeyUsage::Only { server_auth: false, client_auth: false }),
    ] {
        assert_eq!(parse(&Leaf { purposes, ..Leaf::default() }).extended_key_usage(), expected);
    }
}

#[test]
fn only_clean_dns_names_are_presented() {
    let names = vec![
        San::dns("Infra.A.com"),
        San::dns("infra.a.com\0.evil.example"),
        San::dns("evil.example;DNS=infra.b.com"),
        San::dns(b"\xff\xfe"),
        San::Email(b"infra.c.com".to_vec()),
        San::Uri(b"infra.d.com".to_vec()),
        San::Ip(vec![192, 0, 2, 1]),
        San::dns("*.e.com"),
    ];
    let certificate = parse(&Leaf { common_name: "infra.f.com".into(), names, ..Leaf::default() });
    let presented: Vec<_> = certificate.presented().iter().map(ToString::to_string).collect();
    assert_eq!(presented, ["infra.a.com", "*.e.com"]);
    for (name, expected) in [
        ("infra.a.com", true),
        ("x.e.com", true),
        ("infra.b.com", false),
        ("infra.c.com", false),
        ("infra.d.com", false),
        ("infra.f.com", false),
        ("evil.example", false),
    ] {
        assert_eq!(certificate.presents(&host(name)), expected, "{name}");
    }
}

#[test]
fn three_thousand_names_are_read_and_the_last_one_counts() {
    let names = (0..2999).map(|n| format!("h{n}.example")).chain(["infra.a.com".to_owned()]);
    let certificate = parse(&Leaf::of(names));
    assert_eq!(certificate.presented().len(), 3000);
    assert!(certificate.presents(&host("infra.a.com")));
}

#[test]
fn names_are_counted_whatever_they_are_and_too_many_are_an_error() {
    let dns = |count| (0..count).map(|n| San::dns(format!("h{n}.example"))).collect::<Vec<_>>();
    let mixed = |count: usize| {
        let others = [San::Uri(b"x".to_vec()), San::Email(b"y".to_vec()), San::dns(b"not clean")];
        others.into_iter().cycle().take(count).collect::<Vec<_>>()
    };
    for (names, count) in
        [(dns(4096), 4096), (dns(4097), 4097), (mixed(4096), 4096), (mixed(9500), 9500)]
    {
        let names = Leaf { names, ..Leaf::default() };
        let error = Certificate::parse(&der(&issue(&names))).err();
        assert_eq!(error, (count > 4096).then_some(CertificateError::TooManyNames(count)));
    }
}

#[test]
fn what_is_kept_of_a_certificate_is_bounded_whatever_it_holds() {
    let long = |n: usize| format!("h{n}.{}.example", "a".repeat(63));
    let (short, names) = (parse(&Leaf::of(["a.com"])), parse(&Leaf::of((0..1000).map(long))));
    assert!(short.weight() < 300, "{}", short.weight());
    assert!((100_000..200_000).contains(&names.weight()), "{}", names.weight());
    let huge = parse(&Leaf::of(["a".repeat(60_000), "a.com".to_owned()]));
    assert_eq!(huge.weight(), short.weight(), "what is no name is not kept");
    for length in [1 << 18, (1 << 18) + 1] {
        let is_long =
            matches!(Certificate::parse(&vec![b'x'; length]), Err(CertificateError::TooLong(_)));
        assert_eq!(is_long, length > 1 << 18);
    }
    let oid: Vec<u64> = [1, 3].into_iter().chain(std::iter::repeat_n(99_999, 5_000)).collect();
    let twice = vec![(oid.clone(), vec![5, 0]), (oid, vec![5, 0])];
    let error = Certificate::parse(&der(&issue(&Leaf { extensions: twice, ..Leaf::default() })));
    assert!(error.unwrap_err().to_string().len() < 200, "an identifier as long as it likes");
}

#[test]
fn an_extension_that_stands_twice_is_an_error() {
    let oid = vec![1, 3, 6, 1, 4, 1, 99999, 1];
    let twice =
        Leaf { extensions: vec![(oid.clone(), vec![5, 0]), (oid, vec![5, 0])], ..Leaf::default() };
    let error = Certificate::parse(&der(&issue(&twice))).unwrap_err();
    assert_eq!(error, CertificateError::RepeatedExtension("1.3.6.1.4.1.99999.1".into()));

    let second_names = vec![(vec![2, 5, 29, 17], b"\x30\x07\x82\x05b.com".to_vec())];
    let twice = Leaf { extensions: second_names, ..Leaf::of(["a.com"]) };
    let error = Certificate::parse(&der(&issue(&twice))).unwrap_err();
    assert_eq!(error, CertificateError::RepeatedExtension("2.5.29.17".into()));
}

#[test]
fn more_than_128_extensions_are_an_error() {
    for (count, is_good) in [(100, true), (200, false)] {
        let extensions = (0..count).map(|n| (vec![1, 3, 6, 1, 4, 1, 99999, n], vec![5, 0])).collect();
        let error = Certificate::parse(&der(&issue(&Leaf { extensions, ..Leaf::default() }))).err();
        assert_eq!(error.is_none(), is_good);
        assert!(error.is_none_or(|error| matches!(error, CertificateError::TooManyExtensions(200..))));
    }
}

#[test]
fn a_name_that_is_put_together_from_parts_is_an_error() {
    for (value, is_good) in [(b"\x30\x07\x82\x05a.com", true), (b"\x30\x07\xa2\x05a.com", false)] {
        let names = (vec![2, 5, 29, 17], value.to_vec());
        let certificate =
            Certificate::parse(&der(&issue(&Leaf { extensions: vec![names], ..Leaf::default() })));
        let expected = CertificateError::Extension("2.5.29.17".into());
        assert_eq!(certificate.err(), (!is_good).then_some(expected));
    }
}

#[test]
fn a_broken_extension_that_we_rely_on_is_an_error() {
    for oid in [vec![2, 5, 29, 17], vec![2, 5, 29, 37]] {
        let text = oid.iter().map(u64::to_string).collect::<Vec<_>>().join(".");
        let leaf = Leaf {
            purposes: vec![],
            extensions: vec![(oid, b"\x30\x7f\x82".to_vec())],
            ..Leaf::default()
        };
        let error = Certificate::parse(&der(&issue(&leaf))).unwrap_err();
        assert_eq!(error, CertificateError::Extension(text));
    }
}

#[test]
fn what_is_not_exactly_one_certificate_is_an_error() {
    let identity = issue(&Leaf::of(["infra.a.com"]));
    let (pem, der) = (identity.chain.as_str(), der(&identity));
    let broken_base64 = pem.replacen("MII", "M!I", 1);
    for bytes in [
        b"".to_vec(),
        b"-----BEGIN CERTIFICATE-----".to_vec(),
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_vec(),
        identity.key.clone().into_bytes(),
        broken_base64.into_bytes(),
        format!("{pem}{pem}").into_bytes(),
        format!("{pem}trailing").into_bytes(),
        format!("{}%", pem.replace('\n', "%0A")).into_bytes(),
        [&der[..], b"\0"].concat(),
        [&der[..], &der[..]].concat(),
        der[..der.len() - 1].to_vec(),
        der[1..].to_vec(),
        vec![0x30; 100_000],
        vec![0xff; 64],
    ] {
        let start = &bytes[..bytes.len().min(40)];
        assert!(Certificate::parse(&bytes).is_err(), "{}", start.escape_ascii());
    }
}

/// The parser alone reads the name in each of them.
#[test]
fn a_certificate_in_a_wrong_frame_is_an_error() {
    let good = der(&issue(&Leaf { purposes: vec![], ..Leaf::of(["infra.a.com"]) }));
    let of = |pattern: &[u8]| good.windows(pattern.len()).position(|at| at == pattern).unwrap();
    let oid = of(b"\x06\x03\x55\x1d\x11");
    let wraps = |at: &[u8]| at[0] == 0xa3 && at[2] == 0x30 && at[1] == at[3] + 2;
    let extensions = good.windows(4).position(wraps).unwrap();
    let san = oid - 2;
    let value = oid + 5;
    for (at, octet, what) in [
        (0, 0x70, "a class of its own for the certificate"),
        (0, 0x10, "a certificate that is not put together"),
        (4, 0x70, "a class of its own for what is signed"),
        (extensions, 0x03, "extensions as a bit string"),
        (extensions, 0x83, "extensions that are not put together"),
        (extensions + 1, good[extensions + 1] - 1, "a shorter length of the extensions"),
        (extensions + 1, good[extensions + 1] + 1, "a longer length of the extensions"),
        (extensions + 2, 0x70, "a class of its own for the extensions"),
        (san, 0x70, "a class of its own for an extension"),
        (value + 2, 0x70, "a class of its own for the names"),
        (value + 4, 0xa2, "a name put together from parts"),
    ] {
        let mut der = good.clone();
        der[at] = octet;
        assert!(Certificate::parse(&der).is_err(), "{what}: {:02x?}", &der[extensions..oid + 32]);
    }
    assert!(Certificate::parse(&good).unwrap().presents(&host("infra.a.com")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_change_of_a_certificates_bytes_makes_the_parser_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
    ) {
        thread_local!(static DER: Vec<u8> = der(&issue(&Leaf::of(["infra.a.com", "*.b.com"]))));
        let mut bytes = DER.with(Clone::clone);
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = Certificate::parse(&bytes);
        bytes.truncate(length.index(bytes.len()) + 1);
        let _ = Certificate::parse(&bytes);
    }

    #[test]
    fn no_text_makes_the_pem_reader_panic(text in "(-----BEGIN CERTIFICATE-----)?[ -~\n%]{0,200}(-----END CERTIFICATE-----)?") {
        let _ = Certificate::parse(text.as_bytes());
    }
}
