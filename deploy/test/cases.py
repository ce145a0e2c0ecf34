"""The values with which the chart is tried: each mode, and what else changes what is rendered."""

from chart import merged

OURS = {"backendDomain": "b.com", "infrastructureDomain": "infra.b.com"}
ETCD = {"controlPlane": {"store": "etcd", "etcd": {"endpoints": ["etcd-0.etcd:2379", "etcd-1.etcd:2379"]}}}
ISSUER = {"certificate": {"certManager": {"enabled": True, "issuer": {"name": "federation", "kind": "ClusterIssuer"}}}}
BEHIND = {"egress": {"enabled": False}}
BESIDE = {"egress": {"service": "fedgate-egress"}}
MONITORED = {"monitoring": {"serviceMonitor": True, "podMonitor": True, "rules": True, "dashboard": True, "labels": {"release": "prometheus"}}}


def mode(name, **ingress):
    return {"ingress": {"mode": name, **ingress}}


def own(**envoy):
    return {"ingress": {"envoy": envoy}}


CASES = {
    "envoy, a balancer": {},
    "envoy, a balancer of limits": own(port=8443, annotations={"example.com/balancer": "tcp"}, sourceRanges=["192.0.2.0/24"]),
    "envoy, a balancer with PROXY protocol": merged(
        own(proxyProtocol=True), {"networkPolicies": {"ingressFrom": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]}}
    ),
    "envoy, behind nginx": own(expose="nginx"),
    "envoy, behind a gateway that passes TLS on": own(expose="gateway", className="envoy"),
    "envoy, exposed by others": own(expose="none"),
    "envoy, the ingress alone": BEHIND,
    "envoy, domains as code": {"controlPlane": {"listFile": {"enabled": True, "entries": [
        {"domain": "a.com", "note": "contract \"17\""},
        {"domain": "c.com", "action": "block", "expires_at": "2099-01-31T12:00:00Z", "pinned_hosts": ["x.c.com"]},
        {"domain": "d.com", "restriction": {"tag": "restrict_by_team", "value": ["3f9c41d0-7ab8-5e26-8d0c-1b2a3c4d5e6f"]}},
    ]}}},
    "envoy, domains as code, none": {"controlPlane": {"listFile": {"enabled": True}}},
    "envoy, domains as code, elsewhere": {"controlPlane": {"listFile": {"enabled": True, "configMap": "partners"}}},
    "envoy, etcd": ETCD,
    "envoy, etcd over TLS, with a certificate": merged(
        ETCD, {"controlPlane": {"etcd": {"tls": True, "secret": "etcd-client", "certificate": True}, "replicas": 5}}
    ),
    "envoy, etcd over TLS, with a user": merged(
        ETCD, {"controlPlane": {"etcd": {"tls": True, "secret": "etcd-client", "user": "fedgate"}}}
    ),
    "envoy, cert-manager": ISSUER,
    "envoy, cert-manager and TLS to the control plane": merged(ISSUER, {"controlPlane": {"tls": True}}, MONITORED),
    "envoy, two certificates and two bundles": {
        "certificate": {"clientSecret": "federator-secret"},
        "trust": {"kind": "Secret", "name": "federator-ca-secret", "outgoing": {"name": "federator-ca"}},
    },
    "envoy, a bundle among the values": {"trust": {"bundle": "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"}},
    "envoy, scaled by load": {"envoy": {"autoscaling": {"enabled": True}}},
    "envoy, monitored": MONITORED,
    "envoy, of small words": {
        "envoy": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "edge", "operator": "Exists"}]},
        "controlPlane": {
            "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "edge", "operator": "Exists"}],
            "discovery": {"servers": ["192.0.2.53", "[2001:db8::53]:5353"], "dnssec": "require", "allowPrivateAddresses": True},
            "brig": {"url": "http://brig:8080", "mode": "follow"}, "sqlite": {"storageClass": "fast"}, "log": "fedgate=debug,info",
        },
        "image": {"tag": "0.1.1", "pullSecrets": ["registry"], "pullPolicy": "Always"},
        "wire": {"brig": {"host": "brig.elsewhere.example", "port": 9080}},
    },
    "envoy, without what can be left out": {
        "networkPolicies": {"enabled": False}, "podDisruptionBudgets": {"enabled": False}, "tests": {"enabled": False},
        "tokens": {"create": False},
    },
    "Envoy Gateway": merged(mode("envoyGateway"), BEHIND),
    "Envoy Gateway, egress beside": merged(mode("envoyGateway"), BESIDE, ETCD, ISSUER, MONITORED),
    "Envoy Gateway 1.8": merged(mode("envoyGateway", gateway={"envoyVersion": "1.38"}), BEHIND),
    "Envoy Gateway, shadow": merged(mode("envoyGateway", enforce=False), BEHIND),
    "Wire's chart": merged(mode("wireIngress"), BEHIND),
    "Wire's chart, egress beside": merged(mode("wireIngress"), BESIDE, ETCD, MONITORED),
    "Istio": merged(mode("istio"), BEHIND),
    "Istio 1.30": merged(mode("istio", gateway={"envoyVersion": "1.38"}), BEHIND),
    "Istio, egress beside": merged(mode("istio"), BESIDE, ETCD, ISSUER, MONITORED),
}
CASES = {name: merged(OURS, values) for name, values in CASES.items()}
