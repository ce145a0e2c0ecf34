{{/* What the schema cannot say: values that do not go together. Each line says what to do. */}}
{{- define "fedgate.validate" -}}
{{- $mode := .Values.ingress.mode -}}
{{- $own := eq $mode "envoy" -}}
{{- if and (not $own) .Values.egress.enabled (eq .Values.egress.service .Values.ingress.gateway.federator.service) -}}
{{- fail (printf "the Service %s cannot be both, Wire's federator behind the gateway and our egress: set egress.enabled=false, or give one of egress.service and ingress.gateway.federator.service another name" .Values.egress.service) -}}
{{- end -}}
{{- if and $own (not .Values.ingress.enforce) -}}
{{- fail "ingress.enforce=false lets everything pass, and in the mode envoy nothing behind our Envoy checks again: shadow mode is for the modes with Wire's federator behind the filter" -}}
{{- end -}}
{{- if and (eq .Values.controlPlane.store "etcd") (not .Values.controlPlane.etcd.endpoints) -}}
{{- fail "controlPlane.store is etcd, and controlPlane.etcd.endpoints names no member" -}}
{{- end -}}
{{- with .Values.controlPlane.etcd -}}
{{- if and (or .tls .user .certificate) (not .secret) -}}
{{- fail "controlPlane.etcd says how etcd is spoken to, and controlPlane.etcd.secret names no Secret with its ca.crt, certificate or password" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.controlPlane.store "etcd") .Values.controlPlane.brig.url (gt (int .Values.controlPlane.replicas) 1) -}}
{{- fail "one control plane alone is to keep in step with brig: set controlPlane.replicas=1, or leave controlPlane.brig.url empty" -}}
{{- end -}}
{{- if and .Values.envoy.autoscaling.enabled (gt (int .Values.envoy.autoscaling.minReplicas) (int .Values.envoy.autoscaling.maxReplicas)) -}}
{{- fail "envoy.autoscaling.minReplicas is above maxReplicas" -}}
{{- end -}}
{{- with .Values.controlPlane.listFile -}}
{{- if and .entries .configMap -}}
{{- fail "the list has one file: leave either controlPlane.listFile.entries empty, or controlPlane.listFile.configMap" -}}
{{- end -}}
{{- if and .entries (not .enabled) -}}
{{- fail "controlPlane.listFile.entries are put on the list only where controlPlane.listFile.enabled=true" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.controlPlane.tls (not $own) -}}
{{- fail "controlPlane.tls is for the mode envoy: a gateway does not have the authority of the control plane's certificate" -}}
{{- end -}}
{{- if and .Values.certificate.certManager.enabled (not .Values.certificate.certManager.issuer.name) -}}
{{- fail "certificate.certManager is enabled, and certificate.certManager.issuer.name names no issuer" -}}
{{- end -}}
{{- if and .Values.certificate.certManager.enabled .Values.certificate.clientSecret -}}
{{- fail "cert-manager's certificate has both purposes: leave certificate.clientSecret empty" -}}
{{- end -}}
{{- if and $own .Values.ingress.envoy.proxyProtocol (not (and .Values.networkPolicies.enabled .Values.networkPolicies.ingressFrom)) -}}
{{- fail "who speaks PROXY protocol is believed: name the balancer alone in networkPolicies.ingressFrom, with networkPolicies.enabled" -}}
{{- end -}}
{{- if and .Values.ingress.envoy.proxyProtocol (eq .Values.ingress.envoy.expose "nginx") -}}
{{- fail "ingress-nginx speaks no PROXY protocol to what it passes through: set ingress.envoy.proxyProtocol=false" -}}
{{- end -}}
{{- if and (eq $mode "envoyGateway") (ne (include "fedgate.trust" . | fromYaml).key "ca.crt") -}}
{{- fail "Envoy Gateway reads the bundle from the key ca.crt: set trust.key=ca.crt" -}}
{{- end -}}
{{- if and (eq $mode "istio") (eq .Values.ingress.istio.namespace .Release.Namespace) -}}
{{- fail "Istio's gateway may read all Secrets of its namespace: give it one of its own, ingress.istio.namespace" -}}
{{- end -}}
{{- end }}
