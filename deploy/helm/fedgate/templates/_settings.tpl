{{/* The control plane's settings, as variables: docs/configuration.md. */}}
{{- define "fedgate.settings" -}}
{{- $settings := .Values.controlPlane -}}
{{- if eq $settings.store "etcd" -}}
- name: FEDGATE_STORE_URL
  value: {{ printf "%s://%s/%s" ($settings.etcd.tls | ternary "etcds" "etcd") (join "," $settings.etcd.endpoints) $settings.etcd.prefix | quote }}
{{- if $settings.etcd.tls }}
- {name: FEDGATE_STORE_CA, value: /etc/fedgate/etcd/ca.crt}
{{- if $settings.etcd.certificate }}
- {name: FEDGATE_STORE_CERTIFICATE, value: /etc/fedgate/etcd/tls.crt}
- {name: FEDGATE_STORE_KEY, value: /etc/fedgate/etcd/tls.key}
{{- end }}
{{- end }}
{{- with $settings.etcd.user }}
- {name: FEDGATE_STORE_USER, value: {{ . | quote }}}
- {name: FEDGATE_STORE_PASSWORD_FILE, value: /etc/fedgate/etcd/password}
{{- end }}
{{- else -}}
- {name: FEDGATE_STORE_URL, value: "sqlite:///var/lib/fedgate/fedgate.db"}
{{- end }}
- {name: FEDGATE_LISTEN_ADMIN, value: "0.0.0.0:8600"}
- {name: FEDGATE_LISTEN_VERDICTS, value: "0.0.0.0:8601"}
- {name: FEDGATE_LISTEN_XDS, value: "0.0.0.0:8602"}
{{- if $settings.tls }}
{{- range list "ADMIN" "VERDICTS" "XDS" }}
- {name: FEDGATE_TLS_{{ . }}_CERTIFICATE, value: /etc/fedgate/control-plane/tls.crt}
- {name: FEDGATE_TLS_{{ . }}_KEY, value: /etc/fedgate/control-plane/tls.key}
{{- end }}
{{- end }}
{{- with $settings.discovery.servers }}
- {name: FEDGATE_DISCOVERY_SERVERS, value: {{ join "," . | quote }}}
{{- end }}
- {name: FEDGATE_DISCOVERY_DNSSEC, value: {{ $settings.discovery.dnssec | quote }}}
- {name: FEDGATE_DISCOVERY_ALLOW_PRIVATE_ADDRESSES, value: {{ $settings.discovery.allowPrivateAddresses | quote }}}
{{- if $settings.listFile.enabled }}
- {name: FEDGATE_LIST_FILE, value: /etc/fedgate/list/domains.toml}
{{- end }}
{{- with $settings.brig.url }}
- {name: FEDGATE_BRIG_URL, value: {{ . | quote }}}
- {name: FEDGATE_BRIG_MODE, value: {{ $settings.brig.mode }}}
{{- end }}
- {name: FEDGATE_BOOTSTRAP_TOKEN_FILE, value: /etc/fedgate/admin/token}
- {name: FEDGATE_LOG_FORMAT, value: json}
- {name: FEDGATE_LOG, value: {{ $settings.log | quote }}}
{{- end }}
