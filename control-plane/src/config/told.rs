//! A configuration, told: every key with the value that counts, and no secret.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use humantime::format_duration;

use super::{Config, LogFormat};
use crate::listener::Listener;
use crate::{auth, startup};

/// What counts, by key; none where a key has no value.
pub(crate) type Told = Vec<(&'static str, Option<String>)>;

impl Config {
    /// All of it, in the order of the documentation. Two configurations that tell the same do the same, but for what
    /// stands in files beside them.
    pub(crate) fn told(&self) -> Told {
        // Each by name, so that nobody forgets a new one.
        let Self {
            store,
            admin,
            verdicts,
            xds,
            wire,
            wire_open,
            brig,
            tls,
            servers,
            ttl,
            timeout,
            private_addresses,
            egress,
            dnssec,
            list_file,
            page,
            require_match,
            tokens,
            bootstrap_token_file,
            audit,
            log_format,
            log,
            otlp_endpoint,
            // Of the environment alone, which no file changes.
            waiting_spans: _,
        } = self;
        let text = |value: &dyn Display| Some(value.to_string());
        let time = |value: Duration| Some(format_duration(value).to_string());
        let path = |value: &Path| Some(value.display().to_string());
        let files = |listener| tls.of(listener).map(crate::listener::tls::Tls::files);
        let certificate = |listener| files(listener).and_then(|files| path(&files.certificate));
        let key = |listener| files(listener).and_then(|files| path(&files.key));
        let address = brig.as_ref().map(|brig| &brig.address);
        let mut all = store.told();
        all.extend([
            ("listen.admin", text(admin)),
            ("listen.verdicts", text(verdicts)),
            ("listen.xds", text(xds)),
            ("listen.wire", wire.as_ref().map(ToString::to_string)),
            ("wire_list.open", text(wire_open)),
            ("brig.url", address.map(|address| address.url.to_string())),
            ("brig.mode", brig.as_ref().map(|brig| brig.mode.to_string())),
            ("brig.timeout", address.and_then(|address| time(address.timeout))),
            ("brig.ca", address.and_then(|address| path(address.ca.as_ref()?.file()))),
            ("brig.overwrite", brig.as_ref().map(|brig| brig.overwrite.to_string())),
            ("tls.admin_certificate", certificate(Listener::Admin)),
            ("tls.admin_key", key(Listener::Admin)),
            ("tls.verdicts_certificate", certificate(Listener::Verdicts)),
            ("tls.verdicts_key", key(Listener::Verdicts)),
            ("tls.xds_certificate", certificate(Listener::Xds)),
            ("tls.xds_key", key(Listener::Xds)),
            ("tls.wire_certificate", certificate(Listener::Wire)),
            ("tls.wire_key", key(Listener::Wire)),
            ("discovery.servers", Some(startup::listed(servers))),
            ("discovery.min_ttl", time(ttl.min)),
            ("discovery.max_ttl", time(ttl.max)),
            ("discovery.timeout", time(*timeout)),
            ("discovery.allow_private_addresses", text(private_addresses)),
            ("discovery.dnssec", text(dnssec)),
            (
                "discovery.trust_anchor",
                Some(dnssec.anchors.text().to_owned()).filter(|it| !it.is_empty()),
            ),
            ("egress.connect_timeout", time(egress.connect_timeout)),
            ("egress.client_certificate_sds", text(&egress.client_certificate_sds)),
            ("egress.trust_sds", text(&egress.trust_sds)),
            ("list.file", list_file.as_deref().and_then(path)),
            ("page.enabled", text(&page.is_some())),
            ("page.own_domain", page.as_ref().and_then(|it| text(it.own_domain.as_ref()?))),
            ("page.own_ca", page.as_ref().and_then(|it| path(&it.own_ca.as_ref()?.path))),
            ("page.trust", page.as_ref().and_then(|it| path(&it.trust.as_ref()?.path))),
            ("api.require_match", text(require_match)),
            ("api.bootstrap_token_file", bootstrap_token_file.as_deref().and_then(path)),
            ("audit.max_age", time(audit.age)),
            ("audit.max_records", text(&audit.count)),
            ("log.format", text(log_format)),
            ("log.filter", text(log)),
            ("telemetry.otlp_endpoint", otlp_endpoint.as_ref().map(ToString::to_string)),
            // Names and roles alone.
            ("token", Some(auth::listed(tokens)).filter(|names| !names.is_empty())),
        ]);
        all
    }
}

impl Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}
