//! URLs of services that we call.

use reqwest::Url;

/// The URL below which a service is; errors say to write such as `example`.
pub(super) fn base(text: &str, example: &str) -> Result<Url, String> {
    // It is not repeated where it might hold a password.
    let url =
        Url::parse(text.trim()).map_err(|error| format!("is no URL ({error}); write e.g. {example}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(format!("is neither http:// nor https://; write e.g. {example}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user's name or password, which would not be sent".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("has a query or a fragment; write e.g. {example}"));
    }
    Ok(url)
}
