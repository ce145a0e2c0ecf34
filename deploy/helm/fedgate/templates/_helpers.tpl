{{/* What all objects bear; Wire's charts have the same. */}}
{{- define "fedgate.labels" -}}
chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
release: {{ .Release.Name }}
heritage: {{ .Release.Service }}
{{- end }}

{{/* An image by its name among `image`: (list . "envoy") */}}
{{- define "fedgate.image" -}}
{{- $root := index . 0 -}}
{{- $image := $root.Values.image -}}
{{ $image.registry }}/{{ index $image (index . 1) }}:{{ $image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{/* Of each pod: the restricted profile of Kubernetes' pod security. */}}
{{- define "fedgate.pod" -}}
automountServiceAccountToken: false
# Else Kubernetes would hand in variables that begin with FEDGATE_, too.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Of each container. */}}
{{- define "fedgate.container" -}}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The control plane's full name, as Envoys of other namespaces ask for it. */}}
{{- define "fedgate.controlPlane" -}}
fedgate.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{/* Whether there is an Envoy of ours: "true" or nothing. */}}
{{- define "fedgate.hasEnvoy" -}}
{{- if or .Values.egress.enabled (eq .Values.ingress.mode "envoy") }}true{{ end -}}
{{- end }}

{{/* Whether our certificate is in this namespace: "true" or nothing. A gateway of Istio's has it in its own. */}}
{{- define "fedgate.hasCertificate" -}}
{{- if or (include "fedgate.hasEnvoy" .) (ne .Values.ingress.mode "istio") }}true{{ end -}}
{{- end }}

{{/* The files of /etc/fedgate/tls: a projected volume, whole, so that a renewed certificate counts without a restart. */}}
{{- define "fedgate.tlsVolume" -}}
- name: tls
  projected:
    defaultMode: 0440
    sources:
    - secret:
        name: {{ .Values.certificate.secret }}
        items:
        - {key: tls.crt, path: server.pem}
        - {key: tls.key, path: server.key}
        {{- if not .Values.certificate.clientSecret }}
        - {key: tls.crt, path: client.pem}
        - {key: tls.key, path: client.key}
        {{- end }}
    {{- with .Values.certificate.clientSecret }}
    - secret:
        name: {{ . }}
        items:
        - {key: tls.crt, path: client.pem}
        - {key: tls.key, path: client.key}
    {{- end }}
    {{- include "fedgate.bundle" (list (include "fedgate.trust" . | fromYaml) "trust.pem") | nindent 4 }}
    {{- if .Values.trust.outgoing.name }}
    {{- include "fedgate.bundle" (list .Values.trust.outgoing "outgoing.pem") | nindent 4 }}
    {{- end }}
    {{- if .Values.controlPlane.tls }}
    - secret:
        name: {{ .Values.controlPlane.tlsSecret }}
        items:
        - {key: ca.crt, path: control-plane-ca.pem}
    {{- end }}
{{- end }}

{{/* Where the trust bundle is: `kind`, `name`, `key`. */}}
{{- define "fedgate.trust" -}}
{{- if .Values.trust.bundle -}}
{kind: ConfigMap, name: fedgate-trust, key: ca.crt}
{{- else -}}
{{ pick .Values.trust "kind" "name" "key" | toJson }}
{{- end -}}
{{- end }}

{{/* One bundle of a projected volume: (list {kind, name, key} path) */}}
{{- define "fedgate.bundle" -}}
{{- $from := index . 0 -}}
- {{ eq $from.kind "Secret" | ternary "secret" "configMap" }}:
    name: {{ $from.name }}
    items:
    - {key: {{ $from.key }}, path: {{ index . 1 }}}
{{- end }}

{{/* The namespace of the gateway's pods, where that is another than ours; or nothing. */}}
{{- define "fedgate.gatewayNamespace" -}}
{{- $namespace := "" -}}
{{- if eq .Values.ingress.mode "envoyGateway" -}}{{- $namespace = .Values.ingress.envoyGateway.podNamespace -}}
{{- else if eq .Values.ingress.mode "wireIngress" -}}{{- $namespace = .Values.ingress.wireIngress.podNamespace -}}
{{- else if eq .Values.ingress.mode "istio" -}}{{- $namespace = .Values.ingress.istio.namespace -}}{{- end -}}
{{- if ne $namespace .Release.Namespace -}}{{ $namespace }}{{- end -}}
{{- end }}

{{/* Labels of the pods of a gateway of others. */}}
{{- define "fedgate.gatewayPods" -}}
{{- if eq .Values.ingress.mode "istio" -}}
istio: fedgate
{{- else -}}
app.kubernetes.io/managed-by: envoy-gateway
app.kubernetes.io/component: proxy
{{- if eq .Values.ingress.mode "envoyGateway" }}
gateway.envoyproxy.io/owning-gateway-name: fedgate
gateway.envoyproxy.io/owning-gateway-namespace: {{ .Release.Namespace }}
{{- end }}
{{- end -}}
{{- end }}
