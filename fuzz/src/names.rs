//! Names from headers and certificates, against their grammar said again.

use fedgate_policy::{Domain, HostName, PresentedIdentifier, RemoteCall, RequestId};

/// `Wire-Origin-Domain`; and the same octets as every other text of which a name may come.
pub fn origin(octets: &[u8]) -> bool {
    let domain = Domain::parse(octets);
    let accepted = domain.is_ok();
    let expected = ldh(octets).filter(|name| {
        let last = name.rsplit('.').next().unwrap_or_default();
        name == "localhost" || name.contains('.') && !last.starts_with(|c: char| c.is_ascii_digit())
    });
    assert_eq!(domain.as_ref().ok().map(Domain::as_str), expected.as_deref());
    if let Ok(domain) = domain {
        assert_eq!(Domain::parse(domain.as_str().as_bytes()).as_ref(), Ok(&domain));
        let json = serde_json::to_string(&domain).expect("JSON");
        assert_eq!(json, format!("\"{domain}\""));
        assert_eq!(serde_json::from_str::<Domain>(&json).ok().as_ref(), Some(&domain));
    }

    let host = HostName::parse(octets);
    assert_eq!(
        host.as_ref().ok().map(ToString::to_string),
        host_name(octets.strip_suffix(b".").unwrap_or(octets))
    );
    if let Ok(host) = host {
        assert_eq!(HostName::parse(host.as_str().as_bytes()), Ok(host));
    }

    if let Ok(text) = str::from_utf8(octets) {
        let presented = PresentedIdentifier::parse(text);
        assert_eq!(presented.as_ref().map(ToString::to_string), presented_identifier(text));
        for host in ["fed.a.com", "a.com", "x.fed.a.com", text] {
            let Ok(host) = HostName::parse(host.as_bytes()) else { continue };
            let matches = presented.as_ref().is_some_and(|presented| presented.matches(&host));
            let expected = presented_identifier(text)
                .is_some_and(|presented| stands_for(&presented, host.as_str()));
            assert_eq!(matches, expected, "{text} for {host}");
        }
    }

    if let Some(id) = RequestId::of(octets) {
        assert!(
            (1..=100).contains(&id.as_str().len()) && id.as_str().bytes().all(|b| b.is_ascii_graphic())
        );
    }
    if let Ok(call) = RemoteCall::parse(b"POST", octets) {
        let text = str::from_utf8(octets).expect("a call is text");
        let rest = text.strip_prefix("/rpc/").expect("a call begins so");
        let (domain, endpoint) = rest.split_once('/').expect("a domain, and more");
        assert_eq!(call.domain().as_str(), domain.to_ascii_lowercase());
        assert_eq!(call.path(), format!("/federation/{endpoint}"));
        assert!(
            endpoint.bytes().all(|b| b"abcdefghijklmnopqrstuvwxyz0123456789-/".contains(&b)),
            "{endpoint}"
        );
        assert!(!endpoint.contains("//") && endpoint.matches('/').count() == 1);
    }
    accepted
}

/// What a certificate's dNSName presents, in lower case.
pub(crate) fn presented_identifier(text: &str) -> Option<String> {
    let parent = text.strip_prefix("*.");
    let name = host_name(parent.unwrap_or(text).as_bytes())?;
    match parent {
        Some(_) => name.contains('.').then(|| format!("*.{name}")),
        None => Some(name),
    }
}

/// Whether a presented identifier stands for a host.
pub(crate) fn stands_for(presented: &str, host: &str) -> bool {
    presented == host
        || presented.strip_prefix("*.").is_some_and(|parent| {
            host.strip_suffix(parent)
                .and_then(|first| first.strip_suffix('.'))
                .is_some_and(|first| !first.is_empty() && !first.contains('.'))
        })
}

/// A host's name in lower case, without a dot at its end.
fn host_name(octets: &[u8]) -> Option<String> {
    ldh(octets).filter(|name| {
        let last = name.rsplit('.').next().unwrap_or_default();
        last.contains(|c: char| !c.is_ascii_digit())
    })
}

fn ldh(octets: &[u8]) -> Option<String> {
    let text = str::from_utf8(octets).ok()?.to_ascii_lowercase();
    let allowed = |c: char| "abcdefghijklmnopqrstuvwxyz0123456789-".contains(c);
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (text.len() <= 253 && text.split('.').all(good)).then_some(text)
}
