//! The page: whether there is one, and what it knows of us.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use fedgate_check::certificate::Trust;
use fedgate_store::rights;

use super::{File, Reader, Settings, either};
use crate::page::{self, Given};
use crate::spelling;

/// None where there is to be no page.
pub(super) fn read(
    settings: &mut Settings,
    file: &mut File,
    reader: &mut Reader,
) -> Option<page::Settings> {
    let enabled = either(&mut settings.page_enabled, &mut file.page.enabled);
    let enabled = reader.parse("page.enabled", enabled.as_deref().unwrap_or("true"), true);
    let own = either(&mut settings.page_own_domain, &mut file.page.own_domain);
    let own_domain =
        own.and_then(|text| reader.accept("page.own_domain", spelling::domain(text.trim())));
    let own_ca = either(&mut settings.page_own_ca, &mut file.page.own_ca);
    let own_ca = own_ca.and_then(|path| reader.given("page.own_ca", path, authorities));
    let trust = either(&mut settings.page_trust, &mut file.page.trust);
    let trust = trust.and_then(|path| {
        reader.given("page.trust", path, |pem| {
            Trust::read(pem.as_bytes()).map(Arc::new).map_err(|error| error.to_string())
        })
    });
    enabled.then_some(page::Settings { own_domain, own_ca, trust })
}

/// Text that others may be sent.
fn authorities(pem: String) -> Result<String, String> {
    Trust::read(pem.as_bytes()).map_err(|error| error.to_string())?;
    // A key in the same file would be shown.
    if pem.contains("PRIVATE KEY") {
        return Err(
            "holds a private key, and is shown to others: name a file of certificates".to_owned()
        );
    }
    Ok(pem)
}

impl Reader {
    /// What a file holds.
    fn given<T>(
        &mut self,
        key: &str,
        path: String,
        read: impl FnOnce(String) -> Result<T, String>,
    ) -> Option<Given<T>> {
        let path = PathBuf::from(path);
        let text = fs::read_to_string(&path).map_err(|error| rights::unreadable(&path, &error));
        let read = text.and_then(read).map_err(|error| format!("{}: {error}", path.display()));
        self.accept(key, read).map(|content| Given { path, content })
    }
}
