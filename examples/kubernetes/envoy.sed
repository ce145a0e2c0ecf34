# What is different in Kubernetes, for `sed --regexp-extended`: envoy/both.yaml and the files of envoy/secrets, as
# envoy.yaml needs them. Put your backend domain, and your namespace in place of `wire`, here.
s/"own_domain": "b\.com"/"own_domain": "b.com"/
s/address: (brig|galley|cargohold),/address: \1.wire.svc.cluster.local,/
# The control plane has a name; a name is to be looked up.
s/address: 127\.0\.0\.1, port_value: (8601|8602)/address: fedgate.wire.svc.cluster.local, port_value: \1/
s/type: STATIC$/type: STRICT_DNS/
# The ports of Wire's federator. A NetworkPolicy says who reaches the first.
s/address: 127\.0\.0\.1, port_value: 8097/address: 0.0.0.0, port_value: 8080/
s/address: 0\.0\.0\.0, port_value: 8443/address: 0.0.0.0, port_value: 8081/
# Behind a balancer that speaks PROXY protocol, and only there, without the first `#`:
#/# listener_filters:/,/ProxyProtocol$/ s/# //
# The authorities of those whom we call: a bundle of its own.
/name: federation_trust/,/watched_directory/ s/trust\.pem/outgoing.pem/
