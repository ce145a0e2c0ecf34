"""Mistakes, each planted into a copy of the chart: what is changed, with which values it shows, who has to find it, and in
which words. A judge takes resources and gives what is wrong, a line for each."""

import dataclasses
import tempfile
import typing

import chart
import doors
import envoys
import gateways
import policy
import schemas


def types(resources):
    return schemas.errors(resources, versions=["1.33"])


def envoy_takes_it(resources):
    with tempfile.TemporaryDirectory() as folder:
        envoys.Secrets(folder)
        error = envoys.validate(envoys.install(chart.envoy(resources), folder))
        return [error] if error else []


def fedgate_check(resources):
    with tempfile.TemporaryDirectory() as folder:
        envoys.Secrets(folder)
        found = envoys.check(envoys.install(gateways.files(resources) or chart.envoy(resources), folder))
        return [f"{severity}: {code}: {seen}" for severity, code, seen in found]


@dataclasses.dataclass(frozen=True)
class Mistake:
    name: str
    file: str
    old: str
    new: str
    judge: typing.Callable
    words: str
    case: str = "envoy, a balancer"


PLANTED = [
    # Kubernetes, and others, drop what they do not know, or refuse it when it is too late.
    Mistake(
        "a member of Kubernetes is misspelt", "templates/_helpers.tpl",
        "readOnlyRootFilesystem",
        "readOnlyRootFileSystem",
        types, "readOnlyRootFileSystem",
    ),
    Mistake(
        "a value is misspelt in a template, so that a name is empty", "templates/federator.yaml",
        "name: {{ .Values.egress.service }}",
        "name: {{ .Values.egress.servce }}",
        policy.nothing_empty, "has no name",
    ),
    Mistake(
        "an API version is one that is gone", "templates/availability.yaml",
        "apiVersion: policy/v1",
        "apiVersion: policy/v1beta1",
        types, "policy/v1beta1",
    ),
    Mistake(
        "a member of the Gateway API is misspelt", "templates/gateway-envoy-gateway.yaml",
        "    backendRefs:",
        "    backendRef:",
        types, "backendRef", "Envoy Gateway",
    ),
    Mistake(
        "a member of cert-manager is misspelt", "templates/certificate.yaml",
        "  usages: [digital signature, server auth, client auth]",
        "  usage: [digital signature, server auth, client auth]",
        types, "usage", "envoy, cert-manager",
    ),
    # What a pod may do.
    Mistake(
        "a container runs as root", "templates/_helpers.tpl",
        "runAsNonRoot: true",
        "runAsNonRoot: false",
        policy.restricted, "fedgate-envoy: may run as root",
    ),
    Mistake(
        "a root filesystem can be written to", "templates/_helpers.tpl",
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
        policy.restricted, "may write to its root filesystem",
    ),
    Mistake(
        "a container keeps capabilities", "templates/_helpers.tpl",
        "  capabilities: {drop: [ALL]}\n",
        "",
        policy.restricted, "keeps capabilities",
    ),
    Mistake(
        "a container has no limits", "templates/envoy.yaml",
        "        resources: {{- toYaml .Values.envoy.resources | nindent 10 }}\n",
        "",
        policy.bounded, "fedgate-envoy/envoy: has no limit of memory",
    ),
    Mistake(
        "the test needs a shell", "templates/tests/self.yaml",
        "command: [fedgate, check",
        "command: [sh, -c, fedgate, check",
        policy.programs_are_there, "fedgate-check-self/check: runs sh, which its image does not have",
    ),
    # What a pod may hold.
    Mistake(
        "a token is an argument", "templates/tests/self.yaml",
        "    - --own-domain={{ .Values.backendDomain }}",
        "    - --header=Bearer {{ randAlphaNum 48 }}",
        policy.secrets_where_they_belong, "has a secret among its arguments",
    ),
    Mistake(
        "Envoy has the administrator's token", "templates/envoy.yaml",
        "{name: {{ .Values.tokens.filterSecret }}, key: token}",
        "{name: {{ .Values.tokens.adminSecret }}, key: token}",
        policy.secrets_where_they_belong, "FEDGATE_TOKEN has the Secret fedgate-admin",
    ),
    Mistake(
        "the control plane holds the ingress's key", "templates/control-plane.yaml",
        "secretName: {{ .Values.tokens.adminSecret }}",
        "secretName: {{ .Values.certificate.secret }}",
        policy.secrets_where_they_belong, "fedgate: holds the Secret federator-certificate-secret",
    ),
    Mistake(
        "tokens go with the release", "templates/tokens.yaml",
        "annotations: {helm.sh/resource-policy: keep}",
        "annotations: {}",
        policy.tokens_stay, "goes with the release",
    ),
    Mistake(
        "the control plane is told the digest of another token", "templates/tokens.yaml",
        "(sha256sum $token)",
        "(sha256sum (randAlphaNum 48))",
        policy.tokens_stay, "does not know the token of fedgate-filter",
    ),
    # How pods end, and who may reach them.
    Mistake(
        "Envoy is killed while calls are under way", "templates/envoy.yaml",
        "{{ add .Values.envoy.noticeSeconds .Values.envoy.patienceSeconds 15 }}",
        "30",
        policy.ends_gently, "is killed while calls are under way",
    ),
    Mistake(
        "Envoy is started without what drains it", "templates/envoy.yaml",
        "command: [fedgate, envoy, --notice, {{ .Values.envoy.noticeSeconds }}s, --patience, {{ .Values.envoy.patienceSeconds }}s, --]",
        "command: [env]",
        policy.ends_gently, "ends without draining",
    ),
    Mistake(
        "two control planes have a volume each", "templates/control-plane.yaml",
        "  replicas: 1\n",
        "  replicas: 2\n",
        policy.ends_gently, "have stores of their own",
    ),
    Mistake(
        "a budget keeps nodes from being drained", "templates/availability.yaml",
        "maxUnavailable: 1",
        "maxUnavailable: 0",
        policy.drainable, "may keep a node from being drained",
    ),
    Mistake(
        "everybody in the cluster reaches the egress", "templates/network-policies.yaml",
        "ports: [{port: 8080}]",
        "- podSelector: {}\n    ports: [{port: 8080}]",
        doors.doors_kept, "others than Wire's components reach the egress",
    ),
    Mistake(
        "the policy selects no pod", "templates/network-policies.yaml",
        "matchLabels: {app: fedgate-envoy, release: {{ .Release.Name }}}\n  policyTypes",
        "matchLabels: {app: fedgate-envoys, release: {{ .Release.Name }}}\n  policyTypes",
        doors.doors_kept, "selects none of its pods",
    ),
    Mistake(
        "brig's federator:8080 leads nowhere", "templates/federator.yaml",
        "port: 8080, targetPort: internal",
        "port: 80, targetPort: internal",
        doors.federator_is_ours, "at port 8080",
    ),
    Mistake(
        "Envoy is ready before its filter can decide", "templates/envoy.yaml",
        "httpGet: {path: /i/status, port: internal}",
        "tcpSocket: {port: internal}",
        doors.federator_is_ours, "is ready before its filter can decide",
    ),
    Mistake(
        "Envoy's admin interface is open to the cluster", "files/envoy/both.yaml",
        "address: {socket_address: {address: 127.0.0.1, port_value: 9901}}",
        "address: {socket_address: {address: 0.0.0.0, port_value: 9901}}",
        doors.federator_is_ours, "may stop Envoy",
    ),
    Mistake(
        "cert-manager's certificate is for servers alone", "templates/certificate.yaml",
        "server auth, client auth]",
        "server auth]",
        doors.certificates_serve_both, "is not for both purposes", "envoy, cert-manager",
    ),
    Mistake(
        "cert-manager's certificate is with the gateway alone", "templates/certificate.yaml",
        "append $namespaces .Release.Namespace",
        "$namespaces",
        doors.certificates_where_they_are_read, "fedgate-envoy: the Secret federator-certificate-secret is issued elsewhere",
        "Istio, egress beside",
    ),
    Mistake(
        "everybody reaches the federator behind the gateway", "templates/network-policies.yaml",
        "    ports: [{port: {{ $federator.port }}}]",
        "    - podSelector: {}\n    ports: [{port: {{ $federator.port }}}]",
        doors.federator_behind_a_gateway, "others than the gateway reach", "Istio",
    ),
    # What becomes of requests.
    Mistake(
        "the filter fails open at Envoy Gateway", "templates/_gateway.tpl",
        "failOpen: false",
        "failOpen: true",
        doors.filter_never_open, "fails open", "Wire's chart",
    ),
    Mistake(
        "the filter fails open at Istio", "templates/gateway-istio.yaml",
        "failStrategy: FAIL_RELOAD",
        "failStrategy: FAIL_OPEN",
        doors.filter_never_open, "fails open", "Istio",
    ),
    Mistake(
        "sessions are resumed by our Envoy", "files/envoy/both.yaml",
        "disable_stateless_session_resumption: true",
        "disable_stateless_session_resumption: false",
        fedgate_check, "session-resumption-on",
    ),
    Mistake(
        "sessions are resumed by Istio's Envoy", "templates/gateway-istio.yaml",
        "            disable_stateful_session_resumption: true\n",
        "",
        fedgate_check, "session-resumption-on", "Istio",
    ),
    Mistake(
        "headers with underscores pass Envoy Gateway", "templates/gateway-envoy-gateway.yaml",
        "withUnderscoresAction: RejectRequest",
        "withUnderscoresAction: Allow",
        fedgate_check, "underscores-pass", "Envoy Gateway",
    ),
    Mistake(
        "a field of Envoy's is misspelt", "templates/_envoy.tpl",
        'set $cluster "transport_socket"',
        'set $cluster "transport_sockets"',
        envoy_takes_it, "transport_sockets", "envoy, cert-manager and TLS to the control plane",
    ),
    Mistake(
        "the filter's configuration has a key that is none", "templates/_envoy.tpl",
        'set $plugin "max_staleness_s"',
        'set $plugin "max_staleness"',
        envoy_takes_it, "wasm",
    ),
    Mistake(
        "Envoy's secrets are files that the pod does not have", "templates/_helpers.tpl",
        "path: server.pem",
        "path: tls.crt",
        doors.files_are_there, "server.pem",
    ),
]
