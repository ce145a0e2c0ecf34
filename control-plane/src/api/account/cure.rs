//! Who mends a refusal, and how, in one sentence; docs/errors.md has more. Pure.

use std::net::SocketAddr;

use fedgate_allow_list::Owner;
use fedgate_allow_list::terms::{Action, Proof};
use fedgate_policy::FailureLabel::{DiscoveryFailure, FederationDenied, InvalidDomain};
use fedgate_policy::{Domain, HostName, Refusal, Strategy};

use crate::contract::{DiscoveryBody, ListedDomain};

/// What a cure depends on, besides the refusal.
pub(super) struct Case<'a> {
    pub(super) domain: &'a Domain,
    pub(super) strategy: Strategy,
    pub(super) entry: Option<&'a ListedDomain>,
    pub(super) discovery: Option<&'a DiscoveryBody>,
    /// Who is asked, as the configuration or the system names them.
    pub(super) servers: &'a str,
    /// The file that owns entries, where there is one.
    pub(super) list_file: Option<&'a str>,
}

/// What denies a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The strategy alone.
    Strategy,
    /// Its entry.
    Blocked,
    /// Its entry counts as absent.
    Expired,
    /// It has none.
    Unlisted,
    /// Nothing any more: the list has changed meanwhile.
    Nothing,
}

// === impl Denial ===

impl Denial {
    pub(super) fn of(strategy: Strategy, entry: Option<&ListedDomain>) -> Self {
        match (entry, strategy) {
            (Some(it), _) if !it.expired && it.terms.action == Action::Block => Self::Blocked,
            (_, Strategy::AllowAll) => Self::Nothing,
            (Some(it), _) if it.expired => Self::Expired,
            (None, _) => Self::Unlisted,
            (Some(_), Strategy::AllowNone) => Self::Strategy,
            (Some(_), Strategy::AllowDynamic) => Self::Nothing,
        }
    }
}

// === impl Case ===

impl Case<'_> {
    pub(super) fn cure(&self, refusal: &Refusal) -> String {
        let domain = self.domain;
        let is = |text: &str| text.to_owned();
        match refusal {
            Refusal::NoClientCertificate => is(
                "they give their federator its client certificate, with a key on P-256 or P-384, or of RSA",
            ),
            Refusal::UntrustedCertificate => {
                is("we see that the listener validates chains, and resumes no sessions")
            }
            Refusal::CertificateParseError(_) => is("they have the certificate issued anew"),
            Refusal::CertificateExpired { .. } => {
                is("they renew the certificate and connect anew; or our clock is wrong")
            }
            Refusal::NoOriginDomain | Refusal::DomainParseError { .. } => {
                is("they send their one backend domain as Wire-Origin-Domain")
            }
            Refusal::Failure(failure) => match failure.label {
                FederationDenied => self.denied(),
                InvalidDomain => format!(
                    "they add the SRV record _wire-server-federator._tcp.{domain}; then `fedgate domain refresh {domain}`"
                ),
                DiscoveryFailure => self.undiscovered(&failure.message),
            },
            Refusal::AuthenticationFailure { .. } => {
                is("they change their certificate or their SRV record, so that one names the other")
            }
            Refusal::VerdictUnavailable(_) | Refusal::TooManyQuestions { .. } => {
                is("we see that the control plane can be asked")
            }
            Refusal::InvalidEndpoint => is("our service asks for /rpc/DOMAIN/COMPONENT/PROCEDURE"),
        }
    }

    fn denied(&self) -> String {
        let domain = self.domain;
        let of_list = match Denial::of(self.strategy, self.entry) {
            Denial::Nothing => return "ask again: the list has just changed".to_owned(),
            Denial::Strategy => None,
            Denial::Blocked => Some(self.changed("--allow")),
            Denial::Expired => {
                Some(format!("{}, or give it another end", self.changed("--expires never")))
            }
            Denial::Unlisted => Some(format!("`fedgate domain add {domain}`")),
        };
        let of_strategy = (self.strategy == Strategy::AllowNone).then(|| {
            "`fedgate strategy set allowDynamic`, with which every listed domain may federate that is not blocked"
                .to_owned()
        });
        let ways: Vec<_> = of_list.into_iter().chain(of_strategy).collect();
        format!("we allow it, if it should be: {}", ways.join("; and "))
    }

    /// How the entry is changed by such flags; where a file owns it, that has to say so.
    fn changed(&self, flags: &str) -> String {
        let domain = self.domain;
        if self.entry.is_none_or(|it| it.owner == Owner::Operators) {
            return format!("`fedgate domain set {domain} {flags}`");
        }
        let file = self.list_file.map(|file| format!(" ({file})")).unwrap_or_default();
        format!("change its entry in the list's file{file}, which alone changes it")
    }

    fn undiscovered(&self, message: &str) -> String {
        let domain = self.domain;
        let pins = self.entry.filter(|it| !it.expired).map(|it| &it.terms.pinned_hosts);
        if let (Some(pins), Some(found)) = (pins, self.discovery)
            && !pins.is_empty()
            && !found.hosts.is_empty()
            && !found.hosts.iter().any(|it| it.parse::<HostName>().is_ok_and(|it| pins.contains(&it)))
        {
            let hosts: Vec<_> = found.hosts.iter().map(|host| format!("--pin {host}")).collect();
            let change = self.changed(&hosts.join(" "));
            return format!(
                "ask them, by another way than DNS, whether they moved; if they did: {change}"
            );
        }
        let (server, then) = (self.server(), format!("then `fedgate domain refresh {domain}`"));
        let question = format!("SRV _wire-server-federator._tcp.{domain}");
        if !message.contains("DNSSEC") {
            return format!("ask DNS as we do: `dig {server}{question}`; {then}");
        }
        let ours = self.entry.is_some_and(|it| it.terms.dnssec == Proof::Require);
        let without =
            if ours { self.changed("--dnssec inherit") } else { "discovery.dnssec".to_owned() };
        format!(
            "they have their zone signed, and see that `delv {server}{question}` proves it; {then}. Or we make do without \
             a proof: {without}"
        )
    }

    /// Who is asked first, as dig and delv take it.
    fn server(&self) -> String {
        let first = self.servers.split(", ").next().and_then(|it| it.parse::<SocketAddr>().ok());
        let Some(first) = first else { return String::new() };
        let port = if first.port() == 53 { String::new() } else { format!("-p {} ", first.port()) };
        format!("@{} {port}", first.ip())
    }
}
