{{/* What the gateways of others have of envoy/ingress.yaml. */}}

{{/* Of envoy/ingress.yaml, as JSON: `tls`, `manager` (HTTP), `plugin` (the filter's configuration), `verdicts` (its cluster). */}}
{{- define "fedgate.reference" -}}
{{- $reference := .Files.Get "files/envoy/ingress.yaml" | fromYaml -}}
{{- $chain := index (index $reference.static_resources.listeners 0).filter_chains 0 -}}
{{- $manager := dict -}}
{{- range $filter := $chain.filters -}}
  {{- if eq $filter.name "envoy.filters.network.http_connection_manager" -}}{{- $manager = $filter.typed_config -}}{{- end -}}
{{- end -}}
{{- $plugin := dict -}}
{{- range $http := $manager.http_filters -}}
  {{- if eq $http.name "fedgate" -}}{{- $plugin = fromJson $http.typed_config.config.configuration.value -}}{{- end -}}
{{- end -}}
{{- $verdicts := dict -}}
{{- range $cluster := $reference.static_resources.clusters -}}
  {{- if eq $cluster.name "fedgate_verdicts" -}}{{- $verdicts = $cluster -}}{{- end -}}
{{- end -}}
{{ dict "tls" $chain.transport_socket.typed_config "manager" $manager "plugin" $plugin "verdicts" $verdicts | toJson }}
{{- end }}

{{/* The filter's configuration, with Wire's federator behind it: (list . "fedgate_verdicts") */}}
{{- define "fedgate.gatewayPlugin" -}}
{{- $root := index . 0 -}}
{{- $plugin := (include "fedgate.reference" $root | fromJson).plugin -}}
{{- $_ := set $plugin.control_plane "cluster" (index . 1) -}}
{{- $_ = set $plugin "max_staleness_s" $root.Values.ingress.maxStalenessSeconds -}}
{{- $_ = set $plugin "mode" ($root.Values.ingress.enforce | ternary "enforce" "shadow") -}}
{{- /* Wire's federator looks at the certificate itself, and takes it from X-SSL-Certificate. */ -}}
{{- $_ = set $plugin "forward_certificate" true -}}
{{- if eq $root.Values.ingress.gateway.envoyVersion "1.38" -}}
  {{- /* It does not tell whether it validated a chain: docs/envoy.md. */ -}}
  {{- $_ = set $plugin "chain_validation" "listener" -}}
{{- end -}}
{{ toYaml $plugin }}
{{- end }}

{{- define "fedgate.ecdhCurves" -}}
{{ (include "fedgate.reference" . | fromJson).tls.common_tls_context.tls_params.ecdh_curves | toYaml }}
{{- end }}

{{/* The fields of a request's line in the access log; `protocol` and those that only our own routes have are left out. */}}
{{- define "fedgate.accessLog" -}}
{{- $log := (index (include "fedgate.reference" . | fromJson).manager.access_log 0).typed_config.log_format.json_format -}}
{{ omit $log "protocol" "flags" "upstream" "duration_ms" | toYaml }}
{{- end }}

{{/* The cluster that the filter asks. */}}
{{- define "fedgate.verdictsCluster" -}}
{{- $cluster := (include "fedgate.reference" . | fromJson).verdicts -}}
{{- include "fedgate.pointAtControlPlane" (list . $cluster) -}}
{{ toYaml $cluster }}
{{- end }}

{{/* Of an EnvoyProxy: the Envoy's token, and a cluster of the bootstrap's, since those of routes come and go. */}}
{{- define "fedgate.envoyProxy" -}}
provider:
  type: Kubernetes
  kubernetes:
    envoyService: {type: LoadBalancer}
    {{- if .Values.podDisruptionBudgets.enabled }}
    envoyPDB: {maxUnavailable: 1}
    {{- end }}
    envoyDeployment:
      replicas: {{ .Values.ingress.gateway.replicas }}
      container:
        env:
        - name: FEDGATE_TOKEN
          valueFrom:
            secretKeyRef: {name: {{ .Values.tokens.filterSecret }}, key: token}
bootstrap:
  type: Merge
  value: |
    static_resources:
      clusters:
      - {{- include "fedgate.verdictsCluster" . | nindent 8 }}
{{- end }}

{{/* Of an EnvoyExtensionPolicy: the filter. */}}
{{- define "fedgate.envoyGatewayWasm" -}}
wasm:
- name: fedgate
  rootID: fedgate
  # A crashed VM refuses. Never `true`.
  failOpen: false
  code:
    type: Image
    image:
      url: {{ include "fedgate.image" (list . "filter") }}
      {{- with .Values.image.pullSecrets }}
      pullSecretRef: {name: {{ first . }}}
      {{- end }}
  env:
    hostKeys: [FEDGATE_TOKEN]
  config: {{- include "fedgate.gatewayPlugin" (list . "fedgate_verdicts") | nindent 4 }}
{{- end }}
