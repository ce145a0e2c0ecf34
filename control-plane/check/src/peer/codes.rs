//! What can be wrong with another backend, and with a certificate, theirs or ours. Each is a heading in docs/check.md.

use crate::code::codes;

codes! {
    // DNS: who speaks for them.
    Error SRV_MISSING "srv-missing":
        "an SRV record says which hosts speak for the domain";
        "They add it: `_wire-server-federator._tcp.DOMAIN. 600 IN SRV 10 5 443 HOST.`";
    Error SRV_UNAVAILABLE "srv-unavailable":
        "the SRV record names a host";
        "They put a host in the place of the target `.`, which says that they do not federate (RFC 2782).";
    Error SRV_LOOKUP_FAILED "srv-lookup-failed":
        "DNS answers for the domain";
        "Ask with `dig`, here and elsewhere: if it fails everywhere, they mend their zone; if only here, we our resolver.";
    Error SRV_UNUSABLE "srv-unusable":
        "the target of an SRV record is a host name";
        "They put a host name in the place of each target that is none.";
    Warning SRV_PASSED_OVER "srv-passed-over":
        "each target of an SRV record is a host name";
        "They mend or remove the records that are passed over.";
    Error PORT_ZERO "port-zero":
        "the SRV record has the port of their ingress";
        "They put its port in the place of 0.";
    Info PORT_UNUSUAL "port-unusual":
        "port 443, which firewalls let through";
        "Nothing, where the way to it is open from here and from them.";
    Info SEVERAL_TARGETS "several-targets":
        "one target, or several that are all meant";
        "Nothing. Fedgate tries them in the order of priority and weight; Wire's own federator takes the first only.";
    Info TTL_SHORT "ttl-short":
        "a TTL of a minute or more";
        "They raise it when no move is near; each end of it costs a question, and a failure of DNS is felt at once.";
    Info TTL_LONG "ttl-long":
        "a TTL of a day or less";
        "They lower it before they move: for so long, others go on to call the old host.";
    Info DNSSEC_ABSENT "dnssec-absent":
        "a signed zone, where somebody demands it";
        "Nothing, unless `discovery.dnssec` is to be `require`; then they sign their zone.";
    Warning DNSSEC_BOGUS "dnssec-bogus":
        "signatures that hold, or none";
        "They mend signatures or DS record, if `delv` says so elsewhere too; else we our resolver, anchor or clock.";
    // DNS: where those are.
    Error ADDRESS_MISSING "address-missing":
        "the target has an A or AAAA record";
        "They add one, or mend the SRV record's target. A line in /etc/hosts does not count.";
    Error ADDRESS_LOOKUP_FAILED "address-lookup-failed":
        "DNS answers for the target";
        "Ask with `dig A` and `dig AAAA`: they mend their zone, or we our resolver.";
    Warning ADDRESS_LOOKUP_HALF "address-lookup-half":
        "DNS answers for both families";
        "They mend the zone: for a family without addresses it is to answer so, rather than with an error.";
    Error ADDRESS_PRIVATE "address-private":
        "public addresses";
        "They publish public ones; or we mean these, and set allow_private_addresses.";
    Info ADDRESS_PASSED_OVER "address-passed-over":
        "public addresses only";
        "They remove those that are not public.";
    Info TARGET_IS_ALIAS "target-is-alias":
        "a target that has addresses of its own (RFC 2782)";
        "They name the alias' end, or give it addresses; some callers do not follow an alias there.";
    // TCP.
    Error TARGET_DEAD "target-dead":
        "one address at least takes a connection";
        "They start the ingress, open the firewall, or mend port or addresses in DNS.";
    Warning TARGET_UNTRIED "target-untried":
        "one address at least that this machine has a way to";
        "Look from a machine that has the address family, usually IPv6; see that our Envoy's machine has it too.";
    Warning ADDRESS_DEAD "address-dead":
        "each address takes a connection";
        "They open it, or take it out of DNS; until then, callers lose time there.";
    Warning FAMILY_DEAD "family-dead":
        "addresses of both families work where both are published";
        "They open the family, or take its records out of DNS; callers that have only this one do not reach them.";
    // TLS.
    Error NOT_TLS "not-tls":
        "TLS";
        "They put the port of their ingress' TLS listener into the SRV record, or switch TLS on.";
    Error TLS_SILENT "tls-silent":
        "a handshake that ends in time";
        "They look whether the listener works; a balancer without a backend behaves like this.";
    Error TLS_FAILED "tls-failed":
        "a handshake that succeeds for the SRV record's target as server name";
        "They look into the listener's log; a server that does not know the name behaves like this.";
    Error TLS_TOO_OLD "tls-too-old":
        "TLS 1.2 or 1.3";
        "They switch TLS 1.3 on.";
    Warning TLS_12_ONLY "tls-1-2-only":
        "TLS 1.3";
        "They switch TLS 1.3 on; newer backends demand it.";
    Info POST_QUANTUM_ABSENT "post-quantum-absent":
        "the group X25519MLKEM768";
        "Nothing; newer backends demand it of those who call them.";
    Error HTTP2_ABSENT "http2-absent":
        "HTTP/2 by ALPN (h2)";
        "They offer `h2` at the listener; Wire's services speak nothing else.";
    // Certificates, theirs and ours.
    Error CERTIFICATE_UNREADABLE "certificate-unreadable":
        "a certificate that can be read, without any extension twice";
        "Have it issued anew.";
    Error NAME_MISSING "name-missing":
        "a subject alternative name that is, or covers, the SRV record's target";
        "Have it issued anew with that name, or mend the SRV record. A wildcard covers one label.";
    Error NAME_IN_CN_ONLY "name-in-cn-only":
        "the target as subject alternative name";
        "Have it issued anew with the name as DNS name in subjectAltName; the common name does not count.";
    Error CERTIFICATE_EXPIRED "certificate-expired":
        "a certificate that is valid now";
        "Renew it, and have the listener load it; see why that did not happen by itself.";
    Error CERTIFICATE_NOT_YET_VALID "certificate-not-yet-valid":
        "a certificate that is valid now";
        "Compare the clocks of both sides; else wait, or have it issued anew.";
    Warning CERTIFICATE_ENDS_SOON "certificate-ends-soon":
        "more than 14 days left, or more than a third of a life that is short";
        "Renew it; what renews it should have done so by now.";
    Error SERVER_PURPOSE_MISSING "server-purpose-missing":
        "the purpose serverAuth in extendedKeyUsage, or no such extension";
        "Have it issued anew with serverAuth.";
    Error CLIENT_PURPOSE_MISSING "client-purpose-missing":
        "the purpose clientAuth in extendedKeyUsage, or no such extension";
        "Have it issued anew with clientAuth; public authorities no longer do that, one of your own does.";
    Info SERVER_ONLY "server-only":
        "the purpose clientAuth too, since the same certificate is often shown when calling";
        "They have it issued anew with both purposes, unless they call with another certificate.";
    Error DIGITAL_SIGNATURE_MISSING "digital-signature-missing":
        "digitalSignature in keyUsage, or no such extension";
        "Have it issued anew with digitalSignature.";
    Error KEY_NOT_ACCEPTED "key-not-accepted":
        "a key on P-256 or P-384, or of RSA with 2048 bits or more";
        "Have it issued anew with such a key.";
    Error SIGNATURE_WEAK "signature-weak":
        "signatures with SHA-256 or better";
        "Have it issued anew by an authority that signs so.";
    Warning LEAF_IS_AUTHORITY "leaf-is-authority":
        "a certificate that may not issue others";
        "Have it issued anew without CA:TRUE; some refuse it.";
    Warning CHAIN_DISORDERED "chain-disordered":
        "each certificate followed by that of its issuer";
        "Put them into order: leaf, then its issuer, and so on; some refuse another.";
    Info CERTIFICATE_UNUSED "certificate-unused":
        "the certificates that lead to the authority, and no others";
        "Leave the others out, unless somebody needs them who trusts another root (cross-signing).";
    Info ROOT_SENT "root-sent":
        "the chain without the root, which the other side has";
        "Leave it out; it costs octets in each handshake.";
    Error INTERMEDIATE_MISSING "intermediate-missing":
        "the whole chain but for the root";
        "Serve the full chain: leaf and intermediates in one file.";
    Error AUTHORITY_UNKNOWN "authority-unknown":
        "a chain that leads to an authority in the trust bundle";
        "Agree on an authority: have it issued by one that is trusted, or add theirs to the bundle.";
    Error ISSUER_UNKNOWN "issuer-unknown":
        "a chain that leads to an authority in the trust bundle";
        "If there is an intermediate, serve it too; else have it issued by a trusted authority, or trust this one.";
    Error CHAIN_INVALID "chain-invalid":
        "a chain in which each authority may issue what is below it";
        "Have it issued anew, by an authority that may do so.";
    Error CERTIFICATE_REVOKED "certificate-revoked":
        "a certificate that its authority has not revoked";
        "Have it issued anew; find out why it was revoked.";
    Warning CRL_UNUSABLE "crl-unusable":
        "a revocation list that is signed by the authority, and not yet due for the next";
        "Fetch the list anew.";
    Info CERTIFICATES_DIFFER "certificates-differ":
        "the same certificate at each address";
        "Nothing, if each is good; else one of the addresses was forgotten when it was renewed.";
    // Whom they let in.
    Error NO_CERTIFICATE_ASKED "no-certificate-asked":
        "a listener that asks each caller for a certificate";
        "They have the listener ask for client certificates, and validate them.";
    Error STRANGER_ANSWERED "stranger-answered":
        "that nobody is answered without a certificate";
        "They have the listener refuse who has none: anybody can speak for anybody.";
    Error SELF_SIGNED_ANSWERED "self-signed-answered":
        "that a certificate of no authority is refused";
        "They have the listener validate client certificates against their trust bundle: anybody can make one.";
    Warning ISSUER_NOT_ASKED_FOR "issuer-not-asked-for":
        "our issuer among the authorities that they ask for";
        "They add our root to the bundle of the listener's client certificates.";
    // What they say to us.
    Error CERTIFICATE_REFUSED "certificate-refused":
        "that they accept our certificate";
        "See what is said of our certificate; they look for our root in their trust bundle, and for our name in it.";
    Error NOT_ON_THEIR_LIST "not-on-their-list":
        "our domain on their allow list";
        "Ask them to add our domain.";
    Error OUR_SRV_UNSEEN "our-srv-unseen":
        "that they find our SRV record";
        "Add or mend ours: `dig SRV _wire-server-federator._tcp.OUR-DOMAIN`; what DNS said before may live a while there.";
    Error ENDPOINT_MISSING "endpoint-missing":
        "POST /federation/brig/api-version";
        "They route /federation/ at this listener to the federation gate; the SRV record may lead to another one.";
    Error NO_FEDERATOR "no-federator":
        "an answer of a Wire backend";
        "They look what listens there: the SRV record may lead to a web server.";
    Error BACKEND_FAILS "backend-fails":
        "an answer of a Wire backend that works";
        "They look into the logs of their gate and of brig.";
    Error CALL_REFUSED "call-refused":
        "the answer 200";
        "See docs/errors.md for the label; they have the reason in their log.";
    Error CALL_UNANSWERED "call-unanswered":
        "an answer in time";
        "They look into their gate's log, and at what is behind it.";
    Error HTTP2_BROKEN "http2-broken":
        "HTTP/2 as it was agreed on";
        "They look what listens there, and into its log.";
    // Clocks.
    Warning CLOCK_DIFFERS "clock-differs":
        "clocks that are less than two minutes apart";
        "Look at NTP on both sides, `timedatectl`, beginning here.";
    Error CLOCK_WRONG "clock-wrong":
        "clocks that are less than ten minutes apart";
        "Look at NTP on both sides, `timedatectl`, beginning here: certificates, DNSSEC and tokens are judged by it.";
    // Ours, as they will see it.
    Error OWN_SRV_MISSING "own-srv-missing":
        "an SRV record for our own domain";
        "We add it: `_wire-server-federator._tcp.OUR-DOMAIN. 600 IN SRV 10 5 443 HOST.`";
}
