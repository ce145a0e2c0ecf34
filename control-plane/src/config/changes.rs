//! What of a configuration counts after a restart only.

use super::Config;
use crate::listener::Listener;
use crate::listener::tls::Tls;

impl Config {
    /// The keys that are read at start alone, and are others in `next`.
    pub(crate) fn needs_restart(&self, next: &Self) -> Vec<&'static str> {
        // Each by name, so that nobody forgets a new one.
        let Self {
            store,
            admin,
            verdicts,
            xds,
            tls,
            servers,
            ttl,
            timeout,
            private_addresses,
            egress,
            dnssec,
            require_match,
            tokens: _,
            log_format,
            log: _,
        } = self;
        let moved = |listener| tls.of(listener).map(Tls::files) != next.tls.of(listener).map(Tls::files);
        let keys = [
            ("store.url", *store != next.store),
            ("listen.admin", *admin != next.admin),
            ("listen.verdicts", *verdicts != next.verdicts),
            ("listen.xds", *xds != next.xds),
            ("tls.admin_certificate", moved(Listener::Admin)),
            ("tls.verdicts_certificate", moved(Listener::Verdicts)),
            ("tls.xds_certificate", moved(Listener::Xds)),
            ("discovery.servers", *servers != next.servers),
            ("discovery.min_ttl", ttl.min != next.ttl.min),
            ("discovery.max_ttl", ttl.max != next.ttl.max),
            ("discovery.timeout", *timeout != next.timeout),
            ("discovery.allow_private_addresses", *private_addresses != next.private_addresses),
            ("discovery.dnssec", dnssec.demand != next.dnssec.demand),
            ("discovery.trust_anchor", dnssec.anchors != next.dnssec.anchors),
            ("egress.connect_timeout", egress.connect_timeout != next.egress.connect_timeout),
            (
                "egress.client_certificate_sds",
                egress.client_certificate_sds != next.egress.client_certificate_sds,
            ),
            ("egress.trust_sds", egress.trust_sds != next.egress.trust_sds),
            ("api.require_match", *require_match != next.require_match),
            ("log.format", *log_format != next.log_format),
        ];
        keys.into_iter().filter_map(|(key, changed)| changed.then_some(key)).collect()
    }
}
