//! What can be wrong on our own side, beside what [`crate::peer::CODES`] has. Each is a heading in docs/check.md.

use crate::code::codes;

codes! {
    // Files.
    Error FILE_UNREADABLE "file-unreadable":
        "a file that can be read";
        "Look at its path, owner and mode; `fedgate check` has to be run as somebody who may read it.";
    Error PEM_UNREADABLE "pem-unreadable":
        "PEM that can be read, with what belongs there";
        "Write the file anew; `openssl x509 -in FILE -noout -text` or `openssl pkey -in FILE -check` has to read it.";
    Error KEY_ENCRYPTED "key-encrypted":
        "a key without a passphrase, which Envoy cannot ask for";
        "Decrypt it with `openssl pkey -in OLD -out NEW`, and keep it from others by its mode.";
    Error KEY_MISMATCH "key-mismatch":
        "the key that belongs to the certificate";
        "Put certificate and key of the same order side by side; one of them was renewed without the other.";
    Warning KEY_EXPOSED "key-exposed":
        "a key that its owner and its group alone may read";
        "`chmod 0640` it, for the group that Envoy runs in; if others have had access, order a new certificate.";
    // The trust bundle.
    Error BUNDLE_BEGINS_WITH_BOM "bundle-begins-with-bom":
        "a bundle that begins with text, and no byte order mark";
        "Remove the first three octets: `sed -i '1s/^\\xEF\\xBB\\xBF//' FILE`. Envoy does not see the first root.";
    Error BUNDLE_PART_UNREADABLE "bundle-part-unreadable":
        "certificates that can be read, each of them";
        "Remove or replace that part: Envoy takes none of the bundle.";
    Error BUNDLE_EMPTY "bundle-empty":
        "at least one root";
        "Put the roots there that our partners' certificates lead to.";
    Error BUNDLE_HAS_KEY "bundle-has-key":
        "certificates, and no private key";
        "Remove the key. If others have had access to the file, who holds that key orders a new certificate.";
    Warning ROOT_EXPIRED "root-expired":
        "roots that are valid now";
        "Ask its owner for the new one; what leads to the old one is refused.";
    Warning ROOT_NO_AUTHORITY "root-no-authority":
        "authorities: CA:TRUE in basicConstraints";
        "Put the root there that this certificate leads to.";
    Warning ROOT_WEAK "root-weak":
        "roots with keys and signatures of today";
        "Ask its owner for a newer one.";
    Info ROOT_TWICE "root-twice":
        "each root once";
        "Remove one of them, when it suits.";
    // Our ingress.
    Error SRV_LEADS_ELSEWHERE "srv-leads-elsewhere":
        "our SRV record leads to our ingress, whose certificate is for that name and leads to our trust bundle";
        "If the certificate was renewed, have Envoy read it; else mend our SRV record or the target's addresses.";
    Info ANOTHER_CERTIFICATE "another-certificate":
        "the certificate of the file, or another that is as good";
        "Nothing, where the ingress has several; if the file's was renewed, have Envoy read it.";
    Error FORGED_ORIGIN_ANSWERED "forged-origin-answered":
        "a refusal of who claims a domain that its certificate does not prove";
        "Put Fedgate's filter into that listener, before the router; docs/envoy.md. Until then, the border is open.";
    // Our control plane.
    Error CONTROL_PLANE_AWAY "control-plane-away":
        "a control plane that answers";
        "Start it, or name it with `--url`; its log says why it does not run.";
    Error STORE_NOT_WRITABLE "store-not-writable":
        "a store that can be written to";
        "Make room, or mend owner, mode or mount of the file; nothing is to be restarted.";
    Error DNS_FAILING "dns-failing":
        "DNS servers that answer the control plane";
        "Ask each with `dig`; mend them, or name others in `discovery.servers`.";
    Warning STRATEGY_UNUSUAL "strategy-unusual":
        "the strategy allowDynamic";
        "`fedgate strategy set allowDynamic`, unless everybody, or nobody, is meant.";
    Warning BRIG_NOT_IN_STEP "brig-not-in-step":
        "one list, here and in brig";
        "`fedgate brig diff` says what differs; docs/brig.md what mends it.";
    Warning LISTENER_CERTIFICATE_ENDS "listener-certificate-ends":
        "certificates of our listeners that are good for a month";
        "Renew its files; they are read anew by themselves.";
    Warning CALLS_REFUSED "calls-refused":
        "nobody who calls without a right token";
        "Give an Envoy of ours, or a colleague, a token that counts; of others, ask how they reach the listener.";
    Info PARTNER_IN_TROUBLE "partner-in-trouble":
        "partners with whom all is well";
        "`fedgate status` says how to go on with each; it need not be about our side.";
    // Our Envoys.
    Error ENVOY_ABSENT "envoy-absent":
        "an Envoy that asks the control plane for news";
        "Does Envoy run, can it reach the listeners `verdicts` and `xds`, and does its token count?";
    Error FEED_STALE "feed-stale":
        "workers that hear the control plane";
        "Find out what is between that Envoy and the control plane: `fedgate check --envoy URL` on its host.";
    Error CONTROL_PLANES_DISAGREE "second-control-plane":
        "one control plane behind the cluster that filters ask";
        "Have the cluster lead to one of them; the store of the other is not ours, or not shared.";
    Info FILTER_VERSION_DIFFERS "filter-version-differs":
        "filters of the control plane's version";
        "Replace the module when it suits; older and newer ones understand each other.";
}
