//! Flags and environment variables.

use std::path::PathBuf;

/// The settings as flags or environment variables give them, unread.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Settings {
    /// The configuration file (TOML); without it, defaults hold
    #[arg(long, env = "FEDGATE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the allow list is kept: `sqlite://relative.db` or `sqlite:///absolute.db`; or, shared with other control
    /// planes, `etcd://host:port,host:port,host:port/prefix`, or `etcds://` over TLS
    #[arg(long, env = "FEDGATE_STORE_URL", value_name = "URL")]
    pub(crate) store_url: Option<String>,
    /// Authorities of etcd's certificates (PEM)
    #[arg(long, env = "FEDGATE_STORE_CA", value_name = "FILE")]
    pub(crate) store_ca: Option<String>,
    /// The certificate that we show to etcd (PEM)
    #[arg(long, env = "FEDGATE_STORE_CERTIFICATE", value_name = "FILE")]
    pub(crate) store_certificate: Option<String>,
    /// The key of that certificate (PEM)
    #[arg(long, env = "FEDGATE_STORE_KEY", value_name = "FILE")]
    pub(crate) store_key: Option<String>,
    /// Our user at etcd
    #[arg(long, env = "FEDGATE_STORE_USER", value_name = "NAME")]
    pub(crate) store_user: Option<String>,
    /// The file with that user's password
    #[arg(long, env = "FEDGATE_STORE_PASSWORD_FILE", value_name = "FILE")]
    pub(crate) store_password_file: Option<String>,
    /// Address of the admin API
    #[arg(long, env = "FEDGATE_LISTEN_ADMIN", value_name = "IP:PORT")]
    pub(crate) listen_admin: Option<String>,
    /// Address of the verdict API
    #[arg(long, env = "FEDGATE_LISTEN_VERDICTS", value_name = "IP:PORT")]
    pub(crate) listen_verdicts: Option<String>,
    /// Address of the xDS service for Envoy
    #[arg(long, env = "FEDGATE_LISTEN_XDS", value_name = "IP:PORT")]
    pub(crate) listen_xds: Option<String>,
    /// Address of Wire's own list API, `/i/federation/remotes`; without it, there is none
    #[arg(long, env = "FEDGATE_LISTEN_WIRE", value_name = "IP:PORT")]
    pub(crate) listen_wire: Option<String>,
    /// Whether Wire's list API needs no token, because the network protects it: `true` or `false`
    #[arg(long, env = "FEDGATE_WIRE_LIST_OPEN", value_name = "BOOL")]
    pub(crate) wire_list_open: Option<String>,
    /// The internal API of brig with whose list ours is kept in step, e.g. `http://brig:8080`
    #[arg(long, env = "FEDGATE_BRIG_URL", value_name = "URL")]
    pub(crate) brig_url: Option<String>,
    /// Who is the master of both lists: `push`: we; `follow`: brig
    #[arg(long, env = "FEDGATE_BRIG_MODE", value_name = "MODE")]
    pub(crate) brig_mode: Option<String>,
    /// How long one call of brig may take
    #[arg(long, env = "FEDGATE_BRIG_TIMEOUT", value_name = "TIME")]
    pub(crate) brig_timeout: Option<String>,
    /// Authorities to trust for brig alone (PEM); without it, the system's
    #[arg(long, env = "FEDGATE_BRIG_CA", value_name = "FILE")]
    pub(crate) brig_ca: Option<String>,
    /// Whether rows of listed domains are written over that others wrote: `true` or `false`
    #[arg(long, env = "FEDGATE_BRIG_OVERWRITE", value_name = "BOOL")]
    pub(crate) brig_overwrite: Option<String>,
    /// The certificate with which the admin API speaks TLS: PEM, leaf first; without it, plain text
    #[arg(long, env = "FEDGATE_TLS_ADMIN_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_admin_certificate: Option<String>,
    /// The key of that certificate: PEM
    #[arg(long, env = "FEDGATE_TLS_ADMIN_KEY", value_name = "FILE")]
    pub(crate) tls_admin_key: Option<String>,
    /// The certificate with which the verdict API speaks TLS: PEM, leaf first; without it, plain text
    #[arg(long, env = "FEDGATE_TLS_VERDICTS_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_verdicts_certificate: Option<String>,
    /// The key of that certificate: PEM
    #[arg(long, env = "FEDGATE_TLS_VERDICTS_KEY", value_name = "FILE")]
    pub(crate) tls_verdicts_key: Option<String>,
    /// The certificate with which the xDS service speaks TLS: PEM, leaf first; without it, plain text
    #[arg(long, env = "FEDGATE_TLS_XDS_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_xds_certificate: Option<String>,
    /// The key of that certificate: PEM
    #[arg(long, env = "FEDGATE_TLS_XDS_KEY", value_name = "FILE")]
    pub(crate) tls_xds_key: Option<String>,
    /// The certificate with which Wire's list API speaks TLS: PEM, leaf first; without it, plain text
    #[arg(long, env = "FEDGATE_TLS_WIRE_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_wire_certificate: Option<String>,
    /// The key of that certificate: PEM
    #[arg(long, env = "FEDGATE_TLS_WIRE_KEY", value_name = "FILE")]
    pub(crate) tls_wire_key: Option<String>,
    /// DNS servers, `ip` or `ip:port`, separated by commas; without it, the system's
    #[arg(long, env = "FEDGATE_DISCOVERY_SERVERS", value_name = "LIST")]
    pub(crate) discovery_servers: Option<String>,
    /// No DNS answer is kept for less, whatever its TTL
    #[arg(long, env = "FEDGATE_DISCOVERY_MIN_TTL", value_name = "TIME")]
    pub(crate) discovery_min_ttl: Option<String>,
    /// No DNS answer is kept for longer, whatever its TTL
    #[arg(long, env = "FEDGATE_DISCOVERY_MAX_TTL", value_name = "TIME")]
    pub(crate) discovery_max_ttl: Option<String>,
    /// How long one discovery may take
    #[arg(long, env = "FEDGATE_DISCOVERY_TIMEOUT", value_name = "TIME")]
    pub(crate) discovery_timeout: Option<String>,
    /// Whether SRV targets may have addresses that are not public: `true` or `false`
    #[arg(long, env = "FEDGATE_DISCOVERY_ALLOW_PRIVATE_ADDRESSES", value_name = "BOOL")]
    pub(crate) discovery_allow_private_addresses: Option<String>,
    /// Whether DNS answers are to be proven: `off`, `opportunistic` or `require`
    #[arg(long, env = "FEDGATE_DISCOVERY_DNSSEC", value_name = "MODE")]
    pub(crate) discovery_dnssec: Option<String>,
    /// The DNSKEY or DS records from which trust begins; without it, the root's
    #[arg(long, env = "FEDGATE_DISCOVERY_TRUST_ANCHOR", value_name = "FILE")]
    pub(crate) discovery_trust_anchor: Option<String>,
    /// How long Envoy may take to connect to one address of another backend
    #[arg(long, env = "FEDGATE_EGRESS_CONNECT_TIMEOUT", value_name = "TIME")]
    pub(crate) egress_connect_timeout: Option<String>,
    /// File on Envoy's side: the SDS secret `federation_client`, our certificate and key
    #[arg(long, env = "FEDGATE_EGRESS_CLIENT_CERTIFICATE_SDS", value_name = "FILE")]
    pub(crate) egress_client_certificate_sds: Option<String>,
    /// File on Envoy's side: the SDS secret `federation_trust`, the authorities that we trust
    #[arg(long, env = "FEDGATE_EGRESS_TRUST_SDS", value_name = "FILE")]
    pub(crate) egress_trust_sds: Option<String>,
    /// A file of entries that the list is kept in step with: .toml or .jsonl, as `fedgate store export` writes it
    #[arg(long, env = "FEDGATE_LIST_FILE", value_name = "FILE")]
    pub(crate) list_file: Option<String>,
    /// Whether there is a page, on the listener of the admin API: `true` or `false`
    #[arg(long, env = "FEDGATE_PAGE_ENABLED", value_name = "BOOL")]
    pub(crate) page_enabled: Option<String>,
    /// Our own backend domain, for what the page has other sides sent, and for its checks
    #[arg(long, env = "FEDGATE_PAGE_OWN_DOMAIN", value_name = "DOMAIN")]
    pub(crate) page_own_domain: Option<String>,
    /// The authorities of our own certificates (PEM), which the page has other sides sent
    #[arg(long, env = "FEDGATE_PAGE_OWN_CA", value_name = "FILE")]
    pub(crate) page_own_ca: Option<String>,
    /// The authorities that our Envoy trusts (PEM), for the page's checks
    #[arg(long, env = "FEDGATE_PAGE_TRUST", value_name = "FILE")]
    pub(crate) page_trust: Option<String>,
    /// Whether the admin API takes a change of what is there only with a condition: `true` or `false`
    #[arg(long, env = "FEDGATE_API_REQUIRE_MATCH", value_name = "BOOL")]
    pub(crate) api_require_match: Option<String>,
    /// Tokens that are accepted, `name:role:sha256`, separated by commas; see `fedgate token`
    #[arg(long, env = "FEDGATE_TOKENS", value_name = "LIST", hide_env_values = true)]
    pub(crate) tokens: Option<String>,
    /// The file of the first token, where there is none of role admin: one that is in it is taken in, else one is made
    /// and put there; without this, it is printed
    #[arg(long, env = "FEDGATE_BOOTSTRAP_TOKEN_FILE", value_name = "FILE")]
    pub(crate) bootstrap_token_file: Option<String>,
    /// How long records of the audit are kept
    #[arg(long, env = "FEDGATE_AUDIT_MAX_AGE", value_name = "TIME")]
    pub(crate) audit_max_age: Option<String>,
    /// How many records of the audit are kept
    #[arg(long, env = "FEDGATE_AUDIT_MAX_RECORDS", value_name = "NUMBER")]
    pub(crate) audit_max_records: Option<String>,
    /// How log lines look: `text` or `json`
    #[arg(long, env = "FEDGATE_LOG_FORMAT", value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// What is logged, e.g. `info`, or `fedgate=debug,info`
    #[arg(long, env = "FEDGATE_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Where traces are sent, over OTLP and HTTP, e.g. `http://collector:4318`; without it, there are none
    #[arg(long, env = "FEDGATE_TELEMETRY_OTLP_ENDPOINT", value_name = "URL")]
    pub(crate) telemetry_otlp_endpoint: Option<String>,
}
