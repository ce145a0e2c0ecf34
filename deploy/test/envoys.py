"""Envoy itself, on configurations that the chart makes: with throw-away secrets, and in a network of its own."""

import json
import os
import pathlib
import subprocess

from chart import ROOT

ENVOY = ROOT / ".tools/envoy"
TARGET = pathlib.Path(os.environ["FEDGATE_TARGET"])
FEDGATE, FILTER = TARGET / "debug/fedgate", TARGET / "fedgate_filter.wasm"

# Loopback and nothing else: no name is looked up outside, and no port is anybody else's.
ALONE = ["unshare", "--map-root-user", "--net", "bash", "-euc", 'ip link set lo up; "$@"', "alone"]

# Envoy as it runs in its pod; what `fedgate check` finds of it as JSON.
CHECK = """
"$1" -c "$2" --concurrency 2 --disable-hot-restart --log-path "$3" --log-level warning >/dev/null & envoy=$!
trap 'kill $envoy; wait $envoy || true' EXIT
for _ in $(seq 1200); do
  kill -0 $envoy || { cat "$3" >&2; exit 9; }
  curl --silent --fail http://127.0.0.1:9901/ready >/dev/null && break
  sleep 0.1
done
curl --silent --fail --show-error http://127.0.0.1:9901/ready >/dev/null || { cat "$3" >&2; exit 9; }
"$4" check --envoy http://127.0.0.1:9901 --json
"""


class Secrets:
    """What the Secrets and ConfigMaps of a cluster would hold, as files: /etc/fedgate/tls, made by OpenSSL."""

    def __init__(self, directory):
        self.tls = pathlib.Path(directory) / "tls"
        self.tls.mkdir()
        self._openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=root", "-keyout root.key -out trust.pem")
        for name in ("server", "client"):
            self.issue(name, "infra.b.com")
        for name in ("outgoing.pem", "control-plane-ca.pem"):
            (self.tls / name).write_bytes((self.tls / "trust.pem").read_bytes())

    def issue(self, file, name):
        """FILE.pem and FILE.key: a certificate of this name, for both purposes."""
        self._openssl(
            "req -x509 -CA trust.pem -CAkey root.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 90"
            f" -subj /CN={name} -addext subjectAltName=DNS:{name} -addext basicConstraints=critical,CA:FALSE"
            " -addext extendedKeyUsage=serverAuth,clientAuth -addext keyUsage=critical,digitalSignature",
            f"-keyout {file}.key -out {file}.pem",
        )

    def _openssl(self, *words):
        subprocess.run(["openssl", *" ".join(words).split()], cwd=self.tls, check=True, capture_output=True)


def install(files, directory):
    """Writes a pod's `/etc/fedgate/…` into a directory, all paths leading there. `files`: texts by their names, of which
    envoy.yaml is Envoy's. Returns the path of that."""
    directory = pathlib.Path(directory)
    for folder in ("gate", "secrets"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            text = text.replace("/etc/fedgate/fedgate_filter.wasm", str(FILTER))
            (directory / folder / name).write_text(text.replace("/etc/fedgate/", f"{directory}/"))
    return directory / "gate/envoy.yaml"


def _run(*command):
    environment = {**os.environ, "FEDGATE_TOKEN": "a-token-of-nobody"}
    return subprocess.run([*ALONE, *map(str, command)], capture_output=True, text=True, env=environment)


def validate(configuration):
    """What Envoy's `--mode validate` says against it, or None."""
    done = _run(ENVOY, "--mode", "validate", "--log-level", "error", "-c", configuration)
    return None if done.returncode == 0 else done.stdout + done.stderr


def check(configuration):
    """Runs Envoy, and gives what `fedgate check` finds above info: [(severity, code, what is seen)]."""
    done = _run("bash", "-euc", CHECK, "check", ENVOY, configuration, configuration.with_suffix(".log"), FEDGATE)
    if done.returncode not in (0, 1, 3):
        raise AssertionError(done.stdout + done.stderr)
    report = json.loads(done.stdout)
    found = [(f["severity"], f["code"], f.get("seen")) for f in findings(report) if f["severity"] != "info"]
    assert bool(found) == (done.returncode != 0), "the report and the exit code say the same"
    return found


def findings(report):
    """All findings of a report of `fedgate check`, however deep they stand."""
    if isinstance(report, dict):
        if "code" in report and "severity" in report:
            yield report
        for value in report.values():
            yield from findings(value)
    elif isinstance(report, list):
        for value in report:
            yield from findings(value)
