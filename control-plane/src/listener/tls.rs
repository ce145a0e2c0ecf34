//! TLS for a listener: a certificate and its key, read from files, and anew when these change.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fedgate_policy::{Certificate, UnixTime};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use tokio::sync::watch;

use super::Listener;

/// How often the files are looked at. Links that Kubernetes exchanges are as good as files that are
/// written, since it is their content that counts.
const LOOK: Duration = Duration::from_secs(2);

/// How long before its end a certificate is warned of, and how often.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
const WARN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Octets of a file that are read, whatever it is.
const LONGEST: u64 = 1 << 20;

/// Where a certificate and its key are, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// The chain, leaf first.
    pub(crate) certificate: PathBuf,
    /// The key: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub(crate) key: PathBuf,
}

/// A certificate in use.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    files: Files,
    content: Content,
    current: Arc<Current>,
    config: ServerConfig,
    /// What is wrong with the files now, and whether it was told.
    trouble: Option<(bool, String)>,
}

/// Why there is no certificate to be had from files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A file has another form, or nothing of what it should have.
    #[error("{}: {cause}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The two do not belong together.
    #[error("{} is not the key of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's.
        certificate: PathBuf,
    },
}

/// What the two files hold.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The certificate that is shown to whoever connects now.
#[derive(Debug)]
struct Current(watch::Sender<Arc<CertifiedKey>>);

/// What is seen of the files while they are followed.
enum Look {
    /// What is in use.
    Same,
    /// Another certificate, which is in use now.
    Renewed,
    /// This is wrong with them, which was not told yet. What was in use stays so.
    Wrong(String),
    /// Nothing that is to be told.
    Unsettled,
}

// === impl Tls ===

impl Tls {
    /// Where it is read from.
    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    /// Reads the files, which have to be good.
    pub(crate) fn load(files: Files) -> Result<Self, TlsError> {
        let content = files.read()?;
        let current = Arc::new(Current(watch::Sender::new(Arc::new(files.certified(&content)?))));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| files.unusable(&error))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        Ok(Self { files, content, current, config, trouble: None })
    }

    /// What a listener speaks: TLS 1.2 and 1.3, with the certificate that is in use at the time.
    pub(super) fn server(&self, listener: Listener) -> Arc<ServerConfig> {
        let mut config = self.config.clone();
        config.alpn_protocols = match listener {
            Listener::Admin | Listener::Verdicts | Listener::Wire => {
                vec![b"h2".to_vec(), b"http/1.1".to_vec()]
            }
            Listener::Xds => vec![b"h2".to_vec()],
        };
        Arc::new(config)
    }

    /// Takes the certificate anew whenever its files change.
    pub(crate) async fn follow(mut self, listener: Listener) {
        let listener = listener.name();
        let mut warned: Option<Instant> = None;
        loop {
            if warned.is_none_or(|warned| warned.elapsed() > WARN_EVERY)
                && let Some(end) = self.end().filter(|end| is_soon(*end, SystemTime::now()))
            {
                let certificate = self.files.certificate.display();
                tracing::warn!(
                    listener, %certificate, %end,
                    "the certificate comes to its end: renew its files, which are read anew by themselves"
                );
                warned = Some(Instant::now());
            }
            tokio::time::sleep(LOOK).await;
            let files = self.files.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || files.read()).await else { return };
            match self.look(read) {
                Look::Renewed => {
                    tracing::info!(listener, "another certificate is in use");
                    warned = None;
                }
                Look::Wrong(error) => tracing::error!(
                    listener,
                    error,
                    "the certificate cannot be renewed; the one before stays in use"
                ),
                Look::Same | Look::Unsettled => {}
            }
        }
    }

    /// When the certificate that is in use ends, if it says so.
    pub(crate) fn end(&self) -> Option<UnixTime> {
        let current = self.current.0.borrow();
        Certificate::parse(current.cert.first()?).ok().map(|certificate| certificate.validity().1)
    }

    fn look(&mut self, read: Result<Content, TlsError>) -> Look {
        let found = read.and_then(|content| {
            if content == self.content {
                return Ok(None);
            }
            self.files.certified(&content).map(|certified| Some((content, certified)))
        });
        match found {
            Ok(None) => {
                self.trouble = None;
                Look::Same
            }
            Ok(Some((content, certified))) => {
                self.trouble = None;
                self.content = content;
                self.current.0.send_replace(Arc::new(certified));
                Look::Renewed
            }
            Err(error) => {
                let error = error.to_string();
                let (told, before) = self.trouble.take().unwrap_or_default();
                // Seen once, it may be that one of the two files was written, and the other not yet.
                let wrong = !told && before == error;
                self.trouble = Some((before == error, error.clone()));
                if wrong { Look::Wrong(error) } else { Look::Unsettled }
            }
        }
    }
}

/// Whether an end is near, or past.
fn is_soon(end: UnixTime, now: SystemTime) -> bool {
    let soon = now.checked_add(SOON).unwrap_or(now).duration_since(SystemTime::UNIX_EPOCH);
    let soon = soon.map_or(0, |soon| i64::try_from(soon.as_secs()).unwrap_or(i64::MAX));
    end.0 <= soon
}

// === impl Files ===

impl Files {
    fn read(&self) -> Result<Content, TlsError> {
        let read = |path: &Path| {
            let mut octets = Vec::new();
            let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut octets));
            match read {
                Ok(_) => Ok(octets),
                Err(cause) => Err(TlsError::Read { path: path.to_owned(), cause }),
            }
        };
        Ok(Content { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }

    fn certified(&self, content: &Content) -> Result<CertifiedKey, TlsError> {
        let wrong = |path: &Path, cause: String| TlsError::Content { path: path.to_owned(), cause };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&content.certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| wrong(&self.certificate, "is not PEM, or breaks off".to_owned()))?;
        if chain.is_empty() {
            return Err(wrong(&self.certificate, "holds no certificate in PEM".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(&content.key).map_err(|error| {
            let none = matches!(error, pem::Error::NoItemsFound);
            let cause = if none {
                "holds no private key in PEM that is not encrypted"
            } else {
                "is not PEM, or breaks off"
            };
            wrong(&self.key, cause.to_owned())
        })?;
        let provider = ring::default_provider();
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| wrong(&self.key, format!("cannot be used as key: {error}")))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(Error::InconsistentKeys(_)) => {
                Err(TlsError::Mismatch { key: self.key.clone(), certificate: self.certificate.clone() })
            }
            Err(error) => Err(self.unusable(&error)),
        }
    }

    fn unusable(&self, error: &Error) -> TlsError {
        let cause = format!("cannot be used as certificate: {error}");
        TlsError::Content { path: self.certificate.clone(), cause }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.borrow().clone())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    fn made() -> (String, String) {
        let Made { cert, signing_key } = generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    fn content(certificate: &str, key: &str) -> Content {
        Content { certificate: certificate.into(), key: key.into() }
    }

    fn files(folder: &Path) -> Files {
        Files { certificate: folder.join("tls.crt"), key: folder.join("tls.key") }
    }

    #[test]
    fn an_error_names_the_file_and_the_cause() {
        let files = files(Path::new("/tls"));
        let ((certificate, key), (_, other)) = (made(), made());
        assert!(files.certified(&content(&certificate, &key)).is_ok());
        assert!(
            files.read().unwrap_err().to_string().starts_with("cannot read /tls/tls.crt: No such file")
        );
        for (certificate, key, error) in [
            ("", &*key, "/tls/tls.crt: holds no certificate in PEM"),
            (&*key, &*key, "/tls/tls.crt: holds no certificate in PEM"),
            (&certificate[..99], &*key, "/tls/tls.crt: is not PEM, or breaks off"),
            (&*certificate, "", "/tls/tls.key: holds no private key in PEM"),
            (&*certificate, &*certificate, "/tls/tls.key: holds no private key in PEM"),
            (&*certificate, &*other, "/tls/tls.key is not the key of the certificate in /tls/tls.crt"),
        ] {
            let said = files.certified(&content(certificate, key)).unwrap_err().to_string();
            assert!(said.starts_with(error), "{said}");
        }
    }

    #[test]
    fn an_end_is_soon_two_weeks_before_it_and_ever_after() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let day = 24 * 60 * 60;
        for (days, expected) in [(-99, true), (0, true), (14, true), (15, false), (9999, false)] {
            assert_eq!(is_soon(UnixTime(2_000_000_000 + days * day), now), expected, "{days}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_once_it_stays_so_and_the_old_one_stays_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let ((certificate, key), (next, next_key)) = (made(), made());
        std::fs::write(&files.certificate, &certificate).unwrap();
        std::fs::write(&files.key, &key).unwrap();
        let mut tls = Tls::load(files).unwrap();
        let shown = |tls: &Tls| tls.current.0.borrow().cert.clone();
        let first = shown(&tls);
        let mut look = |certificate: &str, key: &str| match tls.look(Ok(content(certificate, key))) {
            Look::Same => "same",
            Look::Renewed => "renewed",
            Look::Wrong(_) => "wrong",
            Look::Unsettled => "unsettled",
        };
        for (certificate, key, seen) in [
            (&certificate, &key, "same"),
            (&next, &key, "unsettled"),
            (&next, &key, "wrong"),
            (&next, &key, "unsettled"),
            (&certificate, &key, "same"),
            (&next, &key, "unsettled"),
        ] {
            assert_eq!(look(certificate, key), seen);
        }
        assert_eq!(look(&next, &next_key), "renewed");
        assert_eq!(look(&next, &next_key), "same");
        assert!(shown(&tls) != first);
    }
}
