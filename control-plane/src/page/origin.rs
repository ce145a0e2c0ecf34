//! Whether a request comes from our own page: a pure function of its headers.

use axum::http::{HeaderMap, header};

/// What a browser says of who sends a form. `Sec-Fetch-Site` cannot be set by a page; browsers send it over TLS and to
/// this machine. Elsewhere `Origin` has to name us. Whoever says neither is no browser, or a very old one.
pub(super) fn is_same(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let ours = of(header::ORIGIN)
        .and_then(|origin| origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")));
    ours.zip(of(header::HOST)).is_some_and(|(ours, host)| ours == host)
}

/// Whether a browser follows a link of another site, so that it leaves away a cookie that it has.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
        && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_counts_that_our_own_page_has_sent() {
        for (lines, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "http://g:1"), ("host", "g:1")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "http://g:1"), ("host", "g:1")], true),
            (&[("origin", "http://g:1"), ("host", "g:2")], false),
            (&[("origin", "http://evil"), ("host", "g")], false),
            (&[("origin", "null"), ("host", "null")], false),
            (&[("origin", "http://g:1")], false),
            (&[("host", "g:1")], false),
            (&[], false),
        ] {
            let headers: HeaderMap = lines
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<Vec<_>>()
                .into_iter()
                .collect();
            assert_eq!(is_same(&headers), expected, "{lines:?}");
        }
    }
}
