//! How Envoy connects to other backends.

use std::time::Duration;

use super::{File, Reader, Settings, either};
use crate::xds::Egress;

/// Between these is the time that connecting to a target may take.
const TIMES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

pub(super) fn read(settings: &mut Settings, file: &mut File, reader: &mut Reader) -> Egress {
    let connect_timeout = either(&mut settings.egress_connect_timeout, &mut file.connect_timeout);
    let connect_timeout =
        reader.time("egress.connect_timeout", connect_timeout.as_deref().unwrap_or("2s"));
    reader.check(
        "egress.connect_timeout",
        (TIMES.0..=TIMES.1).contains(&connect_timeout),
        "is not between 100ms and 60s",
    );
    let certificate =
        either(&mut settings.egress_client_certificate_sds, &mut file.client_certificate_sds);
    let trust = either(&mut settings.egress_trust_sds, &mut file.trust_sds);
    let mut path = |key: &str, given: Option<String>, default: &str| {
        let path = given.unwrap_or_else(|| format!("/etc/fedgate/secrets/{default}.yaml"));
        reader.check(key, path.starts_with('/'), "is no absolute path of a file on Envoy's side");
        path
    };
    Egress {
        connect_timeout,
        client_certificate_sds: path("egress.client_certificate_sds", certificate, "federation-client"),
        trust_sds: path("egress.trust_sds", trust, "federation-trust"),
    }
}
