//! Which listeners speak TLS, and with which certificate.

use fedgate_policy::UnixTime;

use super::{File, Reader, Settings};
use crate::listener::Listener;
use crate::listener::tls::{Files, Tls};

/// The certificates of the listeners; one that has none speaks plain text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    admin: Option<Tls>,
    verdicts: Option<Tls>,
    xds: Option<Tls>,
    wire: Option<Tls>,
}

// === impl Certificates ===

impl Certificates {
    /// That of one listener.
    pub(crate) fn of(&self, listener: Listener) -> Option<&Tls> {
        match listener {
            Listener::Admin => self.admin.as_ref(),
            Listener::Verdicts => self.verdicts.as_ref(),
            Listener::Xds => self.xds.as_ref(),
            Listener::Wire => self.wire.as_ref(),
        }
    }

    /// Where each listener's certificate is from, and when it ends.
    pub(crate) fn ends(&self) -> Vec<(Listener, String, UnixTime)> {
        let all = [Listener::Admin, Listener::Verdicts, Listener::Xds, Listener::Wire];
        let end = |listener| {
            let tls = self.of(listener)?;
            Some((listener, tls.files().certificate.display().to_string(), tls.end()?))
        };
        all.into_iter().filter_map(end).collect()
    }

    pub(super) fn read(settings: &mut Settings, file: &mut File, reader: &mut Reader) -> Self {
        let mut of = |listener: Listener, flags: [&mut Option<String>; 2]| {
            let mut part = |flag: &mut Option<String>, part: &str| {
                let key = format!("{}_{part}", listener.name());
                let given = flag.take().filter(|text| !text.trim().is_empty());
                (given.or(file.tls.remove(&key)), format!("tls.{key}"))
            };
            let [certificate, key] = flags;
            match (part(certificate, "certificate"), part(key, "key")) {
                ((Some(certificate), name), (Some(key), _)) => {
                    let files = Files { certificate: certificate.into(), key: key.into() };
                    reader.accept(&name, Tls::load(files))
                }
                ((None, _), (None, _)) => None,
                ((Some(_), there), (None, missing)) | ((None, missing), (Some(_), there)) => {
                    reader.errors.push(format!("{missing}: is missing, where {there} is set"));
                    None
                }
            }
        };
        Self {
            admin: of(
                Listener::Admin,
                [&mut settings.tls_admin_certificate, &mut settings.tls_admin_key],
            ),
            verdicts: of(
                Listener::Verdicts,
                [&mut settings.tls_verdicts_certificate, &mut settings.tls_verdicts_key],
            ),
            xds: of(Listener::Xds, [&mut settings.tls_xds_certificate, &mut settings.tls_xds_key]),
            wire: of(Listener::Wire, [&mut settings.tls_wire_certificate, &mut settings.tls_wire_key]),
        }
    }
}
