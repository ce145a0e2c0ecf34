{{/*
Envoy's configuration: envoy/both.yaml, ingress.yaml or egress.yaml as it stands in files/envoy, with what is different
in Kubernetes. All that is changed is changed here; a test compares the rest.
*/}}
{{- define "fedgate.envoy" -}}
{{- $values := .Values -}}
{{- $root := . -}}
{{- $file := "both" -}}
{{- if ne $values.ingress.mode "envoy" -}}{{- $file = "egress" -}}
{{- else if not $values.egress.enabled -}}{{- $file = "ingress" -}}{{- end -}}
{{- $envoy := .Files.Get (printf "files/envoy/%s.yaml" $file) | fromYaml -}}
{{- range $listener := $envoy.static_resources.listeners -}}
  {{- $address := $listener.address.socket_address -}}
  {{- $_ := set $address "address" "0.0.0.0" -}}
  {{- $_ = set $address "port_value" (eq $listener.name "federation_egress" | ternary 8080 8081) -}}
  {{- if and (eq $listener.name "federation_ingress") $values.ingress.envoy.proxyProtocol -}}
    {{- $_ = set $listener "listener_filters" (list (dict
      "name" "envoy.filters.listener.proxy_protocol"
      "typed_config" (dict "@type" "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"))) -}}
  {{- end -}}
  {{- range $chain := $listener.filter_chains -}}{{- range $filter := $chain.filters -}}
    {{- range $http := $filter.typed_config.http_filters -}}{{- if eq $http.name "fedgate" -}}
      {{- $configuration := $http.typed_config.config.configuration -}}
      {{- $plugin := fromJson $configuration.value -}}
      {{- $_ := set $plugin "max_staleness_s" $values.ingress.maxStalenessSeconds -}}
      {{- if hasKey $plugin "own_domain" -}}{{- $_ = set $plugin "own_domain" $values.backendDomain -}}{{- end -}}
      {{- $_ = set $configuration "value" (toPrettyJson $plugin) -}}
    {{- end -}}{{- end -}}
  {{- end -}}{{- end -}}
{{- end -}}
{{- range $cluster := $envoy.static_resources.clusters -}}
  {{- if hasPrefix "fedgate_" $cluster.name -}}
    {{- include "fedgate.pointAtControlPlane" (list $root $cluster) -}}
  {{- else -}}
    {{- $component := index $values.wire $cluster.name -}}
    {{- $endpoint := (index (index $cluster.load_assignment.endpoints 0).lb_endpoints 0).endpoint.address.socket_address -}}
    {{- $_ := set $endpoint "address" (contains "." $component.host | ternary $component.host (printf "%s.%s.svc.%s" $component.host $root.Release.Namespace $values.clusterDomain)) -}}
    {{- $_ = set $endpoint "port_value" $component.port -}}
  {{- end -}}
{{- end -}}
{{- if $values.monitoring.podMonitor -}}
  {{- $metrics := .Files.Get "files/envoy-metrics.yaml" | fromYaml -}}
  {{- $_ := set $envoy.static_resources "listeners" (append $envoy.static_resources.listeners $metrics.listener) -}}
  {{- $_ = set $envoy.static_resources "clusters" (append $envoy.static_resources.clusters $metrics.cluster) -}}
{{- end -}}
{{ toYaml $envoy }}
{{- end }}

{{/* Changes a cluster of the reference so that it leads to the control plane's Service: (list . $cluster). With etcd there
are several behind it: nobody is to wait for one that is frozen. */}}
{{- define "fedgate.pointAtControlPlane" -}}
{{- $root := index . 0 -}}
{{- $cluster := index . 1 -}}
{{- $_ := set $cluster "type" "STRICT_DNS" -}}
{{- $endpoint := (index (index $cluster.load_assignment.endpoints 0).lb_endpoints 0).endpoint.address.socket_address -}}
{{- $_ = set $endpoint "address" (include "fedgate.controlPlane" $root) -}}
{{- if eq $root.Values.controlPlane.store "etcd" -}}
  {{- $http := index $cluster.typed_extension_protocol_options "envoy.extensions.upstreams.http.v3.HttpProtocolOptions" -}}
  {{- $_ = set $http.explicit_http_config.http2_protocol_options "connection_keepalive" (dict "interval" "0.4s" "timeout" "0.8s") -}}
{{- end -}}
{{- if $root.Values.controlPlane.tls -}}
  {{- $_ = set $cluster "transport_socket" (include "fedgate.controlPlaneTls" $root | fromYaml) -}}
{{- end -}}
{{- end }}

{{/* How Envoy speaks TLS to the control plane: docs/envoy.md. */}}
{{- define "fedgate.controlPlaneTls" -}}
name: envoy.transport_sockets.tls
typed_config:
  "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
  sni: {{ include "fedgate.controlPlane" . }}
  common_tls_context:
    alpn_protocols: [h2]
    combined_validation_context:
      default_validation_context:
        match_typed_subject_alt_names:
        - san_type: DNS
          matcher: {exact: {{ include "fedgate.controlPlane" . }}}
      # By SDS, even from a file, since an authority that is replaced would count at the next start alone.
      validation_context_sds_secret_config:
        name: control_plane_trust
        sds_config:
          resource_api_version: V3
          path_config_source: {path: /etc/fedgate/secrets/control-plane-trust.yaml}
{{- end }}

{{/* That file. */}}
{{- define "fedgate.controlPlaneTrust" -}}
resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: control_plane_trust
  validation_context:
    trusted_ca: {filename: /etc/fedgate/tls/control-plane-ca.pem}
    watched_directory: {path: /etc/fedgate/tls}
{{- end }}

{{/* One of envoy/secrets/: the bundle of the outgoing direction may be one of its own. (list . "federation-trust.yaml") */}}
{{- define "fedgate.sds" -}}
{{- $root := index . 0 -}}
{{- $text := $root.Files.Get (printf "files/envoy/secrets/%s" (index . 1)) -}}
{{- if and (eq (index . 1) "federation-trust.yaml") $root.Values.trust.outgoing.name -}}
{{- $text = replace "/etc/fedgate/tls/trust.pem" "/etc/fedgate/tls/outgoing.pem" $text -}}
{{- end -}}
{{ $text }}
{{- end }}
