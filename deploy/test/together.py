"""What the chart makes, run together on one machine: control plane and Envoy with the very commands, settings, files and
tokens of their pods, BIND, and components that answer with what they received. In namespaces of its own for network and
mounts: names of Services are in its hosts file, and nothing leaves loopback.

    together.py FOLDER < {"resources": […], "gateway": {…} or null}

plays scenarios and prints {name: [status, what is said]}. This is where further end-to-end scenarios belong: `play`."""

import json
import os
import pathlib
import subprocess
import sys
import time

import yaml

import chart
import envoys

POD = "127.0.0.2"  # Envoy's; the components are at 127.0.0.1.
ZONE = """$TTL 600
@ IN SOA ns.com. root.ns.com. 1 3600 600 86400 60
@ IN NS ns.com.
ns IN A 127.0.0.1
_wire-server-federator._tcp.b IN SRV 10 5 {port} infra.b.com.
infra.b IN A 127.0.0.2
"""
NAMED = """options {{ directory "{folder}"; listen-on {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; pid-file none;
session-keyfile none; dnssec-validation no; }}; controls {{ }}; zone "com" {{ type primary; file "com.zone"; }};"""


class Together:
    def __init__(self, folder, resources, gateway):
        self.folder, self.resources, self.gateway = pathlib.Path(folder), resources, gateway
        self.port = 8443 if gateway else 8081
        self.programs = {}
        envoys.Secrets(self.folder)
        self.tls = self.folder / "tls"
        self._namespaces()
        (self.folder / "com.zone").write_text(ZONE.format(port=self.port))
        (self.folder / "named.conf").write_text(NAMED.format(folder=self.folder))
        self.start("named", ["named", "-g", "-c", self.folder / "named.conf"])
        self.start("components", [envoys.TARGET / "debug/backend", "serve"])
        self._files()
        _, settings = self._container("fedgate")
        if settings["FEDGATE_STORE_URL"].startswith("etcd:"):
            client = "http://127.0.0.1:2379"
            urls = ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", "http://127.0.0.1:2380"]
            self.start("etcd", ["etcd", "--data-dir", self.folder / "etcd", *urls])
        self.tls_to_control_plane = "FEDGATE_TLS_ADMIN_CERTIFICATE" in settings

    def _namespaces(self):
        names = ["fedgate", "brig", "galley", "cargohold", "federator", "etcd"]
        hosts = "".join(f"127.0.0.1 {name} {name}.{chart.NAMESPACE}.svc.cluster.local\n" for name in names)
        for path, text in [("/etc/hosts", f"127.0.0.1 localhost\n{hosts}"), ("/etc/resolv.conf", "nameserver 127.0.0.1\n")]:
            file = self.folder / path.rsplit("/", 1)[1]
            file.write_text(text)
            subprocess.run(["mount", "--bind", file, path], check=True)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    def _files(self):
        """Secrets as the pods' volumes have them, and Envoy's configuration; with the pod's address."""
        for secret in (r for r in self.resources if r["kind"] == "Secret" and "token" in r["stringData"]):
            place = self.folder / secret["metadata"]["name"].removeprefix("fedgate-")
            place.mkdir(exist_ok=True)
            (place / "token").write_text(secret["stringData"]["token"])
        (self.folder / "store").mkdir()
        (self.folder / "control-plane").mkdir()
        self.issue("control-plane/tls", f"fedgate.{chart.NAMESPACE}.svc.cluster.local", "serverAuth")
        self.issue("tls/evil", "infra.evil.example", "clientAuth")
        files = dict(self.gateway or chart.envoy(self.resources))
        configuration = yaml.safe_load(files["envoy.yaml"])
        for listener in configuration["static_resources"]["listeners"]:
            listener["address"]["socket_address"]["address"] = POD
        files["envoy.yaml"] = yaml.safe_dump(configuration)
        self.envoy_configuration = envoys.install(files, self.folder)

    def issue(self, file, name, purpose):
        """FILE.crt and FILE.key, of the authority that everybody trusts here."""
        words = (
            f"openssl req -x509 -CA tls/trust.pem -CAkey tls/root.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 90"
            f" -subj /CN=x -addext subjectAltName=DNS:{name} -addext basicConstraints=critical,CA:FALSE"
            f" -addext extendedKeyUsage={purpose} -addext keyUsage=critical,digitalSignature -keyout {file}.key -out {file}.crt"
        )
        subprocess.run(words.split(), cwd=self.folder, check=True, capture_output=True)
        (self.folder / f"{file}.pem").write_bytes((self.folder / f"{file}.crt").read_bytes())

    def control_plane(self, port, path, *words):
        return self.call("--cacert", self.tls / "trust.pem", *words, f"{self._url(port)}{path}")

    def _url(self, port):
        return f"{'https' if self.tls_to_control_plane else 'http'}://fedgate.{chart.NAMESPACE}.svc.cluster.local:{port}"

    def _here(self, text):
        return text.replace("/var/lib/fedgate", f"{self.folder}/store").replace("/etc/fedgate", str(self.folder))

    def _container(self, name):
        """Command and environment of the pod's one container, its paths leading into the folder."""
        (pod,) = [pod for n, _, pod in chart.pods(self.resources) if n == name]
        (container,) = pod["containers"]
        command = [self._here(w) for w in [*container.get("command", []), *container.get("args", [])]]
        environment = {}
        for variable in container.get("env", []):
            if "value" in variable:
                environment[variable["name"]] = self._here(variable["value"])
            else:
                key = variable["valueFrom"]["secretKeyRef"]
                environment[variable["name"]] = chart.named(self.secrets(), "Secret", key["name"])["stringData"][key["key"]]
        return command, environment

    def secrets(self):
        return [r for r in self.resources if r["kind"] == "Secret" and "namespace" not in r["metadata"]]

    def start(self, name, command, environment=None):
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        with open(self.folder / f"{name}.log", "wb") as log:
            self.programs[name] = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, env={**(environment or {}), "PATH": path, "HOME": str(self.folder)}
            )

    def start_control_plane(self):
        command, environment = self._container("fedgate")
        # What it tells Envoy of files is by default what the pod has; here they are in the folder.
        for name, file in [("CLIENT_CERTIFICATE", "federation-client"), ("TRUST", "federation-trust")]:
            environment[f"FEDGATE_EGRESS_{name}_SDS"] = f"{self.folder}/secrets/{file}.yaml"
        self.start("fedgate", command, environment)

    def start_envoy(self):
        if self.gateway:
            token = chart.named(self.secrets(), "Secret", "fedgate-filter")["stringData"]["token"]
            command = ["envoy", "-c", self.envoy_configuration, "--concurrency", "2", "--disable-hot-restart"]
            self.start("envoy", command, {"FEDGATE_TOKEN": token})
        else:
            self.start("envoy", *self._container("fedgate-envoy"))

    def fedgate(self, *words, token="admin"):
        done = subprocess.run(
            ["fedgate", *words, "--token-file", self.folder / token / "token"],
            capture_output=True, text=True,
            env={
                "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "FEDGATE_URL": self._url(8600),
                **({"FEDGATE_CA": str(self.tls / "trust.pem")} if self.tls_to_control_plane else {}),
            },
        )
        return [done.returncode, done.stdout + done.stderr]

    def call(self, *words):
        """[status, what is said] of a call with curl; status 0 where there was none."""
        done = subprocess.run(
            ["curl", "--silent", "--max-time", "20", "--write-out", "\n%{http_code}", *map(str, words)], capture_output=True, text=True
        )
        body, _, status = done.stdout.rpartition("\n")
        return [int(status), body]

    def out(self, path, *words):
        return self.call("--http2-prior-knowledge", "--request", "POST", *words, f"http://{POD}:8080{path}")

    def into(self, path, origin, *words, certificate="client"):
        shown = ["--cert", self.tls / f"{certificate}.pem", "--key", self.tls / f"{certificate}.key"] if certificate else []
        return self.call(
            "--cacert", self.tls / "trust.pem", *shown, "--connect-to", f"infra.b.com:{self.port}:{POD}:{self.port}", "--request", "POST",
            "--header", f"Wire-Origin-Domain: {origin}", *words, f"https://infra.b.com:{self.port}{path}",
        )

    def scraped(self):
        return "port_value: 9902" in self.envoy_configuration.read_text()

    def until(self, what, holds, seconds=120):
        end = time.monotonic() + seconds
        while not (answer := holds()):
            for name, program in self.programs.items():
                if program.poll() is not None:
                    raise AssertionError(f"{name} has ended: {(self.folder / f'{name}.log').read_text()[-2000:]}")
            if time.monotonic() > end:
                logs = "".join((self.folder / f"{name}.log").read_text()[-2000:] for name in self.programs)
                raise AssertionError(f"not within {seconds} s: {what}\n{logs}")
            time.sleep(0.1)
        return answer

    def end(self):
        for program in self.programs.values():
            if program.poll() is None:
                program.terminate()
        for program in self.programs.values():
            program.wait(30)


def play(world):
    """Scenarios, in order; each a name and what came of it."""
    own = world.gateway is None
    world.start_envoy()
    if own:
        world.until("Envoy answers", lambda: world.call(f"http://{POD}:8080/i/status")[0])
        yield "without a control plane Envoy is not ready", world.call(f"http://{POD}:8080/i/status")
    world.start_control_plane()
    world.until("the control plane is ready", lambda: world.control_plane(8601, "/readyz")[0] == 200)
    if own:
        world.until("Envoy is ready", lambda: world.call(f"http://{POD}:8080/i/status")[0] == 200)
        yield "with one it is", world.call(f"http://{POD}:8080/i/status")
        yield "a call to a domain that is not listed", world.out("/rpc/b.com/brig/api-version")
    world.until("the filter has its table", lambda: "federation-denied" in world.into("/federation/brig/x", "b.com")[1])
    yield "a request of a domain that is not listed", world.into("/federation/brig/api-version", "b.com")
    yield "a viewer may not change the list", world.fedgate("domain", "add", "b.com", token="viewer")
    yield "an administrator may", world.fedgate("domain", "add", "b.com")
    yield "and lists one whom DNS does not know", world.fedgate("domain", "add", "c.com")
    world.until("both are heard of", lambda: [world.into("/federation/brig/x", f"{d}.com")[0] for d in "bc"] == [200, 422])
    yield "a request of a domain that is listed", world.into("/federation/brig/api-version", "b.com")
    yield "a request without a certificate", world.into("/federation/brig/api-version", "b.com", certificate=None)
    yield "a request of somebody else", world.into("/federation/brig/api-version", "b.com", certificate="evil")
    yield "a request of a domain without SRV record", world.into("/federation/brig/api-version", "c.com")
    yield "a request of two domains at once", world.into("/federation/brig/api-version", "b.com", "--header", "Wire-Origin-Domain: c.com")
    yield "a request without a domain", world.into("/federation/brig/api-version", "")
    yield "a header with an underscore", world.into("/federation/brig/x", "b.com", "--header", "Wire_Origin_Domain: c.com")
    yield "another path", world.into("/i/users", "b.com")
    yield "another method", world.into("/federation/brig/api-version", "b.com", "--request", "GET")
    yield "a certificate that the caller writes himself", world.into("/federation/brig/x", "b.com", "--header", "X-SSL-Certificate: evil")
    if own:
        yield "a request for galley", world.into("/federation/galley/on-new", "b.com")
        yield "a request for cargohold", world.into("/federation/cargohold/get", "b.com")
        yield "a request with a query", world.into("/federation/brig/api-version?a=b", "b.com")
        yield "a call to a domain that is listed", world.out("/rpc/b.com/galley/api-version")
        yield "a call to a domain without SRV record", world.out("/rpc/c.com/brig/api-version")
    command, _ = world._container("fedgate-check-self")
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": f"{world.folder}/bin:{os.environ['PATH']}"})
    yield "the chart's test", [done.returncode, done.stdout + done.stderr]
    bearer = f"Authorization: Bearer {(world.folder / 'viewer/token').read_text()}"
    yield "Prometheus reads metrics", world.control_plane(8600, "/metrics", "--header", bearer)
    yield "nobody else does", world.control_plane(8600, "/metrics")
    if world.scraped():
        yield "Prometheus reads Envoy's metrics", world.call(f"http://{POD}:9902/stats/prometheus")
        yield "and nothing else of its admin interface", world.call("--request", "POST", f"http://{POD}:9902/quitquitquit")
    yield "a removal", world.fedgate("domain", "remove", "b.com")
    world.until("it is heard of", lambda: world.into("/federation/brig/x", "b.com")[0] == 400)
    yield "a request of the domain that was removed", world.into("/federation/brig/x", "b.com")
    envoy = world.programs.pop("envoy")
    envoy.terminate()
    if own:
        world.until("Envoy says that it will end", lambda: world.call(f"http://{POD}:8080/i/status")[0] == 503)
        yield "a call while Envoy says that it will end", world.out("/rpc/b.com/brig/api-version")
    yield "Envoy ends", [envoy.wait(90), ""]


def main():
    given = json.load(sys.stdin)
    folder = pathlib.Path(sys.argv[1])
    (folder / "bin").mkdir()
    (folder / "bin/fedgate").symlink_to(envoys.FEDGATE)
    (folder / "bin/envoy").symlink_to(envoys.ENVOY.resolve())
    world = Together(folder, given["resources"], given["gateway"])
    try:
        print(json.dumps(dict(play(world))))
    finally:
        world.end()


if __name__ == "__main__":
    main()
