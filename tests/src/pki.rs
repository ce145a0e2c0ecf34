//! Certificate authorities, and certificates good and bad.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use crate::process::run;

/// A certificate authority, root or intermediate.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// The intermediates between a leaf and the root, as a server or client sends them.
    chain: String,
}

/// A certificate to be issued. [`Leaf::default`] is a good one without any name.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The subject's common name, which must never count.
    pub common_name: String,
    /// Subject alternative names, as they will stand in the certificate.
    pub names: Vec<San>,
    /// Seconds from now to the first second of validity.
    pub not_before: i64,
    /// Seconds from now to the last second of validity.
    pub not_after: i64,
    /// The purposes; none means no such extension.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    /// What the key is for; none means no such extension.
    pub key_usages: Vec<KeyUsagePurpose>,
    /// The kind of key.
    pub key: Key,
    /// Whether it is signed with SHA-1; certificates with DNS names only.
    pub is_weak: bool,
    /// Whether it claims to be an authority itself.
    pub is_ca: bool,
    /// Extensions of one's own: OID and DER value; an OID may stand twice.
    pub extensions: Vec<(Vec<u64>, Vec<u8>)>,
}

/// A subject alternative name in raw bytes, so that it may be as unclean as can be.
#[derive(Clone, Debug)]
pub enum San {
    /// dNSName.
    Dns(Vec<u8>),
    /// rfc822Name.
    Email(Vec<u8>),
    /// uniformResourceIdentifier.
    Uri(Vec<u8>),
    /// iPAddress.
    Ip(Vec<u8>),
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521; certificates with DNS names only.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA with 2048 bits.
    Rsa,
}

/// A certificate with its chain, and its key: both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Leaf first, then the intermediates.
    pub chain: String,
    /// PKCS #8.
    pub key: String,
}

// === impl Authority ===

impl Authority {
    /// A new self-signed root.
    pub fn root(name: &str) -> Self {
        let key = Key::P256.generate();
        let params = ca_params(name);
        let pem = params.self_signed(&key).expect("a root signs itself").pem();
        Self { issuer: Issuer::new(params, key), pem, chain: String::new() }
    }

    /// An authority that exists already, from its certificate and its key, both PEM.
    pub fn load(pem: &str, key: &str) -> Self {
        let key = KeyPair::from_pem(key).expect("a key in PEM");
        let issuer = Issuer::from_ca_cert_pem(pem, key).expect("an authority's certificate in PEM");
        Self { issuer, pem: pem.to_owned(), chain: String::new() }
    }

    /// A new authority under this one.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        self.subordinate(ca_params(name))
    }

    /// A new authority under this one that may only issue names below `subtree`.
    #[must_use]
    pub fn constrained(&self, name: &str, subtree: &str) -> Self {
        let mut params = ca_params(name);
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(subtree.to_owned())],
            excluded_subtrees: vec![],
        });
        self.subordinate(params)
    }

    fn subordinate(&self, params: CertificateParams) -> Self {
        let key = Key::P256.generate();
        let pem = params.signed_by(&key, &self.issuer).expect("an authority signs").pem();
        let chain = format!("{pem}{}", self.chain);
        Self { issuer: Issuer::new(params, key), pem, chain }
    }

    /// Another certificate of its, PEM: for the same key under the same name, by another authority; it ends so many
    /// seconds from now.
    pub fn cross_signed(&self, name: &str, by: &Self, not_after: i64) -> String {
        let mut params = ca_params(name);
        params.not_before = OffsetDateTime::now_utc() - Duration::days(90);
        params.not_after = OffsetDateTime::now_utc() + Duration::seconds(not_after);
        params.signed_by(self.issuer.key(), &by.issuer).expect("an authority signs").pem()
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate.
    pub fn issue(&self, leaf: &Leaf) -> Identity {
        if leaf.is_weak || matches!(leaf.key, Key::P521) {
            return self.issue_by_openssl(leaf);
        }
        let key = leaf.key.generate();
        let certificate = leaf.params().signed_by(&key, &self.issuer).expect("an authority signs");
        Identity { chain: format!("{}{}", certificate.pem(), self.chain), key: key.serialize_pem() }
    }
}

impl Authority {
    /// A list that revokes these, PEM; the next one is due so many seconds from now.
    pub fn revocation_list(&self, revoked: &[&Identity], due: i64) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked = revoked.iter().map(|identity| RevokedCertParams {
            serial_number: identity.serial(),
            revocation_time: now - Duration::days(1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now - Duration::days(2),
            next_update: now + Duration::seconds(due),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("an authority signs").pem().expect("PEM")
    }

    /// For keys that the library cannot make.
    fn issue_by_openssl(&self, leaf: &Leaf) -> Identity {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        let names = leaf.names.iter().map(|name| match name {
            San::Dns(name) => format!("DNS:{}", String::from_utf8_lossy(name)),
            San::Email(_) | San::Uri(_) | San::Ip(_) => panic!("DNS names only"),
        });
        let names = names.collect::<Vec<_>>().join(",");
        let extensions = format!(
            "subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n"
        );
        let [authority, issuer, extensions] = [
            file("ca.pem", &self.pem),
            file("ca.key", &self.issuer.key().serialize_pem()),
            file("extensions", &extensions),
        ];
        let (curve, digest) = match leaf.key {
            Key::P521 => ("ec_paramgen_curve:P-521", "-sha256"),
            Key::P256 | Key::P384 | Key::Ed25519 | Key::Rsa => ("ec_paramgen_curve:P-256", "-sha1"),
        };
        let openssl = |command: &mut Command| run(command.current_dir(&dir)).expect("openssl does it");
        openssl(
            Command::new("openssl").args(["req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt"]).args([
                curve,
                "-subj",
                "/CN=fedgate test",
                "-keyout",
                "leaf.key",
                "-out",
                "leaf.csr",
            ]),
        );
        openssl(
            Command::new("openssl")
                .args([
                    "x509", "-req", digest, "-in", "leaf.csr", "-days", "1", "-out", "leaf.pem", "-CA",
                ])
                .arg(authority)
                .arg("-CAkey")
                .arg(issuer)
                .arg("-extfile")
                .arg(extensions),
        );
        let read = |name| fs::read_to_string(dir.path().join(name)).expect("openssl made it");
        Identity { chain: format!("{}{}", read("leaf.pem"), self.chain), key: read("leaf.key") }
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = OffsetDateTime::now_utc() + Duration::days(30);
    params
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

// === impl Leaf ===

impl Default for Leaf {
    fn default() -> Self {
        Self {
            common_name: "fedgate test".to_owned(),
            names: vec![],
            not_before: -3600,
            not_after: 86_400,
            purposes: vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            key_usages: vec![KeyUsagePurpose::DigitalSignature],
            key: Key::P256,
            is_weak: false,
            is_ca: false,
            extensions: vec![],
        }
    }
}

impl Leaf {
    /// A good certificate for these DNS names, clean or not.
    pub fn of<N: AsRef<[u8]>>(names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(San::dns).collect(), ..Self::default() }
    }

    /// Issues it under no authority but its own key.
    pub fn self_signed(&self) -> Identity {
        let key = self.key.generate();
        let certificate = self.params().self_signed(&key).expect("a key signs");
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }

    fn params(&self) -> CertificateParams {
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&self.common_name);
        params.not_before = now + Duration::seconds(self.not_before);
        params.not_after = now + Duration::seconds(self.not_after);
        params.extended_key_usages.clone_from(&self.purposes);
        params.is_ca =
            if self.is_ca { IsCa::Ca(BasicConstraints::Unconstrained) } else { IsCa::ExplicitNoCa };
        params.key_usages.clone_from(&self.key_usages);
        params.use_authority_key_identifier_extension = true;
        if !self.names.is_empty() {
            let names: Vec<u8> = self.names.iter().flat_map(San::to_der).collect();
            let extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &names));
            params.custom_extensions.push(extension);
        }
        for (oid, value) in &self.extensions {
            params.custom_extensions.push(CustomExtension::from_oid_content(oid, value.clone()));
        }
        params
    }
}

// === impl Identity ===

impl Identity {
    /// Whether its validity is over.
    pub fn has_expired(&self) -> bool {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(self.chain.as_bytes()).expect("a file");
        let mut check = Command::new("openssl");
        let check = check.args(["x509", "-noout", "-checkend", "0", "-in"]).arg(file.path());
        !check.output().expect("openssl runs").status.success()
    }

    fn serial(&self) -> SerialNumber {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(self.chain.as_bytes()).expect("a file");
        let told =
            run(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(file.path()));
        let serial = told.expect("openssl reads it").trim().replace("serial=", "");
        SerialNumber::from_slice(&hex::decode(serial).expect("a number"))
    }
}

// === impl San ===

impl San {
    /// A dNSName.
    pub fn dns(name: impl AsRef<[u8]>) -> Self {
        Self::Dns(name.as_ref().to_vec())
    }

    /// `GeneralName`, RFC 5280 §4.2.1.6: implicit context tags.
    fn to_der(&self) -> Vec<u8> {
        match self {
            Self::Email(bytes) => der(0x81, bytes),
            Self::Dns(bytes) => der(0x82, bytes),
            Self::Uri(bytes) => der(0x86, bytes),
            Self::Ip(bytes) => der(0x87, bytes),
        }
    }
}

/// One DER element with its length in the shortest form.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|&byte| byte == 0).collect();
    let mut element = vec![tag];
    match significant.as_slice() {
        [] => element.push(0),
        [short @ 0..=127] => element.push(*short),
        long => {
            element.push(0x80 | u8::try_from(long.len()).expect("a length has at most 8 octets"));
            element.extend_from_slice(long);
        }
    }
    element.extend_from_slice(content);
    element
}

// === impl Key ===

impl Key {
    fn generate(self) -> KeyPair {
        let generated = match self {
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            Self::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            Self::P521 => panic!("the library makes no such key"),
            // The library signs with RSA keys but makes none.
            Self::Rsa => {
                let args =
                    ["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
                KeyPair::from_pem(&run(Command::new("openssl").args(args)).expect("openssl makes a key"))
            }
        };
        generated.expect("a key of this kind can be made")
    }
}
