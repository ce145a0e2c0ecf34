"""What must hold of the chart's pods, whatever the values: pure functions from resources to what is wrong, one line for
each. test_policy.py asks them of every case, test_mistakes.py of charts that were spoilt. Who reaches whom: doors.py."""

import hashlib
import re

from chart import pods

# Who may hold what in clear: Secrets by the workloads that may have them, in a volume or in the environment.
HOLDERS = {
    "fedgate-filter": {"fedgate-envoy", "fedgate-gateway"},
    "fedgate-admin": {"fedgate"},
    "fedgate-viewer": {"fedgate-check-self"},
    "fedgate-tokens": {"fedgate"},
    "federator-certificate-secret": {"fedgate-envoy", "fedgate-check-self"},
    "federator-secret": {"fedgate-envoy", "fedgate-check-self"},
    "etcd-client": {"fedgate"},
}
# What may stand in the environment, since it is nobody's key, or the filter can have it nowhere else.
IN_ENVIRONMENT = {("fedgate-filter", "FEDGATE_TOKEN"), ("fedgate-tokens", "FEDGATE_TOKENS")}
SECRET_WORDS = ("PRIVATE KEY", "password=", "Bearer ")


def nothing_empty(resources):
    """Each resource has a name, and no member is null: that is what a value becomes that a template misspells."""
    for resource in resources:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", str(resource["metadata"].get("name") or "")):
            yield f"{resource['kind']} {resource['metadata'].get('name')}: has no name"
        for path in _nulls(resource):
            yield f"{resource['kind']} {resource['metadata'].get('name')}: {path} is empty"


def restricted(resources):
    """Kubernetes' pod security, profile `restricted`; and what goes beyond it: nothing to write to but volumes."""
    for name, _, pod in pods(resources):
        context = pod.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser") == 0:
            yield f"{name}: may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{name}: has no seccomp profile"
        if any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name}: shares the node's namespaces"
        # Istio's injection needs it, for its own identity.
        if pod.get("automountServiceAccountToken") is not False and name != "fedgate-gateway":
            yield f"{name}: holds a token of the cluster's API"
        for volume in pod.get("volumes", []):
            kinds = set(volume) - {"name"}
            if not kinds <= {"configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim"}:
                yield f"{name}: has a volume of the kind {kinds}"
        for container in _containers(pod):
            context = container.get("securityContext", {})
            if context.get("readOnlyRootFilesystem") is not True:
                yield f"{name}/{container['name']}: may write to its root filesystem"
            if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
                yield f"{name}/{container['name']}: may gain privileges"
            if context.get("capabilities", {}).get("drop") != ["ALL"] or context.get("capabilities", {}).get("add"):
                yield f"{name}/{container['name']}: keeps capabilities"
            if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
                yield f"{name}/{container['name']}: may run as root"


# What can be run in the images that scripts/release makes: no shell is among it.
PROGRAMS = {"fedgate": {"fedgate", "sleep"}, "fedgate-envoy": {"fedgate", "envoy", "sleep"}}


def programs_are_there(resources):
    """Whatever a container is told to run is in its image."""
    for name, _, pod in pods(resources):
        for container in _containers(pod):
            programs = PROGRAMS.get(container["image"].rsplit("/", 1)[-1].split(":")[0])
            hooks = [hook["exec"]["command"] for hook in container.get("lifecycle", {}).values()]
            for command in filter(None, [container.get("command"), *hooks]) if programs else ():
                if command[0] not in programs:
                    yield f"{name}/{container['name']}: runs {command[0]}, which its image does not have"


def bounded(resources):
    """Each container says what it needs, and has an end to what it takes."""
    for name, _, pod in pods(resources):
        for container in _containers(pod):
            resources_ = container.get("resources", {})
            if "memory" not in resources_.get("limits", {}):
                yield f"{name}/{container['name']}: has no limit of memory"
            if not {"cpu", "memory"} <= set(resources_.get("requests", {})):
                yield f"{name}/{container['name']}: does not say what it needs"
        for volume in pod.get("volumes", []):
            if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
                yield f"{name}: the volume {volume['name']} has no limit"


def secrets_where_they_belong(resources):
    """No token or key in arguments, ConfigMaps or annotations; and each Secret with those alone who need it."""
    tokens = [s["stringData"]["token"] for s in resources if s["kind"] == "Secret" and "token" in s.get("stringData", {})]
    for name, metadata, pod in pods(resources):
        for container in _containers(pod):
            for word in [*container.get("command", []), *container.get("args", [])]:
                if "$(FEDGATE_TOKEN" in word or any(secret in word for secret in (*tokens, *SECRET_WORDS)):
                    yield f"{name}/{container['name']}: has a secret among its arguments"
            for variable in container.get("env", []):
                reference = variable.get("valueFrom", {}).get("secretKeyRef")
                if reference and (reference["name"], variable["name"]) not in IN_ENVIRONMENT:
                    yield f"{name}/{container['name']}: {variable['name']} has the Secret {reference['name']}"
                if any(secret in str(variable.get("value")) for secret in (*tokens, *SECRET_WORDS)):
                    yield f"{name}/{container['name']}: {variable['name']} is a secret, in clear"
            if container.get("envFrom"):
                yield f"{name}/{container['name']}: has a whole Secret or ConfigMap as its environment"
        for secret in mounted(pod):
            if name not in HOLDERS.get(secret, {name}):
                yield f"{name}: holds the Secret {secret}"
        if any(token in str(metadata) for token in tokens):
            yield f"{name}: a token is in its metadata"
    for resource in resources:
        if resource["kind"] != "Secret" and any(secret in str(resource) for secret in (*tokens, "PRIVATE KEY")):
            yield f"{resource['kind']} {resource['metadata']['name']}: has a secret in clear"


def tokens_stay(resources):
    """Tokens outlast the release, and so does what is made of them: their digests are theirs."""
    made = {s["metadata"]["name"]: s for s in resources if s["kind"] == "Secret" and "namespace" not in s["metadata"]}
    for name, secret in made.items():
        if {"token", "tokens"} & {*secret["stringData"]}:
            if secret["metadata"].get("annotations", {}).get("helm.sh/resource-policy") != "keep":
                yield f"Secret {name}: goes with the release"
            if len(next(iter(secret["stringData"].values()))) < 32:
                yield f"Secret {name}: its token is too short"
    if "fedgate-tokens" in made:
        known = dict(reversed(t.split(":")[1:]) for t in made["fedgate-tokens"]["stringData"]["tokens"].split(","))
        for name, role in [("fedgate-filter", "filter"), ("fedgate-viewer", "viewer")]:
            if known.get(hashlib.sha256(made[name]["stringData"]["token"].encode()).hexdigest()) != role:
                yield f"Secret fedgate-tokens: does not know the token of {name} as {role}"
        if "admin" in known.values():
            yield "Secret fedgate-tokens: an administrator's token stays accepted for ever"
    for secret in resources:
        if secret["kind"] == "Secret" and "namespace" in secret["metadata"]:
            if secret["stringData"] != made[secret["metadata"]["name"]]["stringData"]:
                yield f"Secret {secret['metadata']['name']}: differs from namespace to namespace"


def ends_gently(resources):
    """Whoever is told to end has the time for it, and a load balancer the time to hear of it."""
    for name, _, pod in pods(resources):
        for container in _containers(pod):
            command = [*container.get("command", []), *container.get("args", [])]
            if command[:2] == ["fedgate", "envoy"]:
                seconds = {w: int(command[i + 1].removesuffix("s")) for i, w in enumerate(command) if w in ("--notice", "--patience")}
                if set(seconds) != {"--notice", "--patience"} or sum(seconds.values()) + 15 > pod["terminationGracePeriodSeconds"]:
                    yield f"{name}: is killed while calls are under way"
                if not {"--drain-strategy", "immediate"} <= set(command):
                    yield f"{name}: connections are not told to go"
            elif "envoy" in command:
                yield f"{name}: ends without draining"
    for resource in resources:
        if resource["kind"] == "Deployment":
            rolling = resource["spec"].get("strategy", {}).get("rollingUpdate", {})
            if rolling.get("maxUnavailable") != 0:
                yield f"Deployment {resource['metadata']['name']}: an update takes pods away before others are ready"
        if resource["kind"] == "StatefulSet" and resource["spec"]["replicas"] != 1:
            yield f"StatefulSet {resource['metadata']['name']}: two control planes have stores of their own"


def drainable(resources):
    """A budget never says that no pod may go, and there is one for whatever has several."""
    for resource in resources:
        if resource["kind"] == "PodDisruptionBudget" and resource["spec"].get("maxUnavailable") != 1:
            yield f"PodDisruptionBudget {resource['metadata']['name']}: may keep a node from being drained"


RULES = [nothing_empty, restricted, programs_are_there, bounded, secrets_where_they_belong, tokens_stay, ends_gently, drainable]


def _nulls(value, path=""):
    if value is None or value == "":
        # "" is the API group of Kubernetes itself.
        if value is None or path.rsplit(".", 1)[-1] not in ("group", "0"):
            yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, deeper in items:
        yield from _nulls(deeper, f"{path}.{key}".lstrip("."))


def _containers(pod):
    return [*pod.get("initContainers", []), *pod["containers"]]


def mounted(pod):
    """The Secrets among its volumes, by name."""
    for volume in pod.get("volumes", []):
        sources = volume.get("projected", {}).get("sources", [volume])
        for source in sources:
            if "secret" in source:
                yield source["secret"].get("name") or source["secret"].get("secretName")
