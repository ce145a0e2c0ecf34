"""As much of Kubernetes as a rolling update is about, for the pods that the chart makes: a network namespace for each, with
its own address and its own loopback; volumes where the container expects them; probes, `preStop` and the time to end as
the pod says; Services that send each new connection to one ready pod, and hear of changes late, as nodes do. Runs in
namespaces of its own (`ALONE`)."""

import asyncio
import ipaddress
import itertools
import os
import pathlib
import signal
import subprocess
import time

import chart
from services import Service

ALONE = ["unshare", "--map-root-user", "--net", "--mount"]
NODE = "10.96.0.1"
SERVICES = ipaddress.ip_address("10.96.1.0")
PODS = ipaddress.ip_address("10.97.0.0")

# What is in a pod before its program: $1 is the pod's address, $2 the files of its /etc; then "FROM TO" for each volume.
POD = """
echo unshared; read -r _; exec >&2
ip link set lo up
ip address add "$1/32" dev eth0; ip link set eth0 up
ip route add %s dev eth0; ip route add default via %s dev eth0
mount -t tmpfs none /etc; cp "$2"/* /etc/; shift 2
mount -t tmpfs none /var/lib
while [ "$1" != -- ]; do mkdir -p "$2"; mount --bind "$1" "$2"; shift 2; done
shift
exec env -i "$@"
""" % (NODE, NODE)


class Release:
    """What is installed: the chart's resources; and `images`, folders with what an image holds, by its name without registry
    and tag: `bin`, and `etc`, whose files are in /etc/fedgate."""

    def __init__(self, resources, images):
        self.resources, self.images = resources, {name: pathlib.Path(folder) for name, folder in images.items()}

    def workload(self, name):
        return next(r for r in self.resources if r["kind"] in ("Deployment", "StatefulSet") and r["metadata"]["name"] == name)

    def image(self, reference):
        return self.images[reference.rsplit("/", 1)[1].split(":")[0]]

    def contents(self, kind, name):
        """The texts of a Secret or ConfigMap by their keys."""
        found = next(r for r in self.resources if (r["kind"], r["metadata"]["name"]) == (kind, name) and "namespace" not in r["metadata"])
        return found.get("stringData") or found["data"]


class Cluster:
    """A release, at work."""

    def __init__(self, folder, release):
        self.folder, self.release = pathlib.Path(folder), release
        self.services, self.ended, self.faults = [], [], []
        self.numbers, self.events = itertools.count(1), []

    async def start(self, hosts):
        """`hosts`: addresses on this node by the names that lead to them, beside Services."""
        run("ip link set lo up")
        run(f"ip address add {NODE}/32 dev lo")
        for resource in (r for r in self.release.resources if r["kind"] == "Service"):
            service = Service(resource, str(SERVICES + len(self.services) + 1))
            self.services.append(service)
            hosts = {**hosts, service.name: service.address}
        for address in {*hosts.values()}:
            run(f"ip address add {address}/32 dev lo")
        etc = self.folder / "etc"
        etc.mkdir()
        lines = [f"{address} {name} {name}.{chart.NAMESPACE}.svc.cluster.local\n" for name, address in hosts.items()]
        (etc / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))
        (etc / "resolv.conf").write_text(f"nameserver {hosts['dns']}\n")
        for file in etc.iterdir():
            run(f"mount --bind {file} /etc/{file.name}")
        for service in self.services:
            await service.listen()

    def tell(self, what):
        self.events.append([round(time.monotonic(), 2), what])

    def service(self, name):
        return next(s for s in self.services if s.name == name)


class Workload:
    """A Deployment or StatefulSet, and its pods."""

    def __init__(self, cluster, name):
        self.cluster, self.name, self.release, self.pods = cluster, name, cluster.release, []
        resource = self.release.workload(name)
        self.one_by_one, self.replicas = resource["kind"] == "StatefulSet", resource["spec"]["replicas"]
        expected = None if self.one_by_one else {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        assert resource["spec"].get("strategy") == expected, "we know no other way to update"

    async def start(self):
        """Starts all; they need not be ready."""
        for _ in range(self.replicas):
            await self.add()

    async def add(self):
        number = len(self.pods) if self.one_by_one else next(self.cluster.numbers)
        pod = Pod(self.cluster, f"{self.name}-{number}", self.release, self.release.workload(self.name)["spec"])
        self.pods.append(pod)
        await pod.start()
        return pod

    async def ready(self):
        await asyncio.gather(*(pod.until_ready() for pod in self.pods))

    async def roll(self, release=None):
        """Replaces every pod, by one of this release."""
        self.release = release or self.release
        leaving = []
        for old in list(self.pods):
            if self.one_by_one:
                await self.remove(old)
                await (await self.add()).until_ready()
            else:
                await (await self.add()).until_ready()
                leaving.append(asyncio.create_task(self.remove(old)))
        await asyncio.gather(*leaving)

    async def remove(self, pod):
        self.pods.remove(pod)
        await pod.terminate()

    async def lose(self):
        """Kills one, as its node's end would; another one takes its place."""
        await self.pods.pop(0).lose()
        await (await self.add()).until_ready()


class Pod:
    def __init__(self, cluster, name, release, spec):
        self.cluster, self.name, self.release = cluster, name, release
        self.template, self.spec = spec["template"]["metadata"], spec["template"]["spec"]
        self.claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
        (self.container,) = self.spec["containers"]
        self.image = release.image(self.container["image"])
        self.address = str(PODS + next(cluster.numbers))
        self.is_ready, self.is_terminating, self.probing = asyncio.Event(), False, []

    async def start(self):
        mounts = []
        folders = {v["name"]: self._volume(v) for v in self.spec.get("volumes", [])}
        for claim in self.claims:
            folders[claim] = self.cluster.folder / "claims" / self.name / claim
            folders[claim].mkdir(parents=True, exist_ok=True)
        for mount in self.container.get("volumeMounts", []):
            # /tmp is this machine's: our folder is in it.
            if mount["mountPath"] != "/tmp":
                mounts += [folders[mount["name"]], mount["mountPath"]]
        if (image_files := self.image / "etc").exists():
            mounts = [image_files, "/etc/fedgate", *mounts]
        environment = [f"PATH={self.image}/bin:{os.environ['PATH']}", "HOME=/tmp"]
        for variable in self.container.get("env", []):
            environment.append(f"{variable['name']}={self._value(variable)}")
        words = [*self.container.get("command", []), *self.container.get("args", [])]
        log = open(self.cluster.folder / f"{self.name}-{self.address}.log", "wb")
        self.process = await asyncio.create_subprocess_exec(
            "unshare", "--net", "--mount", "bash", "-euc", POD, "pod", self.address, self.cluster.folder / "etc",
            *mounts, "--", *environment, *map(str, words),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
        )
        assert await self.process.stdout.readline() == b"unshared\n", self.log()
        link = f"pod{self.address.rsplit('.', 1)[1]}"
        run(f"ip link add {link} type veth peer name eth0 netns {self.process.pid}")
        run(f"ip link set {link} up")
        run(f"ip route add {self.address}/32 dev {link} src {NODE}")
        self.process.stdin.write(b"\n")
        # Open, so that the network outlasts the program, as that of a pod does: the ends of connections are told.
        self.network = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY)
        for name, is_liveness in (("readinessProbe", False), ("livenessProbe", True)):
            if probe := self.container.get(name):
                self.probing.append(asyncio.create_task(self._probe(probe, is_liveness)))

    def _value(self, variable):
        if "value" in variable:
            return variable["value"]
        key = variable["valueFrom"]["secretKeyRef"]
        return self.release.contents("Secret", key["name"])[key["key"]]

    def _volume(self, volume):
        """A folder with what is in this volume."""
        folder = self.cluster.folder / "volumes" / self.address / volume["name"]
        folder.mkdir(parents=True)
        for source in volume.get("projected", {}).get("sources") or [volume]:
            for kind, key, name in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
                if key in source:
                    texts = self.release.contents(kind, source[key].get(name) or source[key]["name"])
                    for item in source[key].get("items") or [{"key": k, "path": k} for k in texts]:
                        (folder / item["path"]).write_text(texts[item["key"]])
        return folder

    def port(self, named):
        return next(p["containerPort"] for p in self.container["ports"] if p["name"] == named)

    def log(self):
        return (self.cluster.folder / f"{self.name}-{self.address}.log").read_text(errors="replace")[-3000:]

    async def _probe(self, probe, is_liveness):
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        failures = 0
        while True:
            try:
                good = await asyncio.wait_for(self._ask(probe), probe.get("timeoutSeconds", 1))
            except (OSError, asyncio.TimeoutError):
                good = False
            failures = 0 if good else failures + 1
            if failures >= probe.get("failureThreshold", 3) and is_liveness and not self.is_terminating:
                self.cluster.faults.append(f"{self.name} fails its liveness probe, and would be started anew: {self.log()}")
                return
            if not is_liveness and (good or failures >= probe.get("failureThreshold", 3)):
                self._set_ready(good)
            # Until it is ready, more often than the pod says: nobody waits for a clock.
            await asyncio.sleep(probe.get("periodSeconds", 10) if self.is_ready.is_set() or is_liveness else 0.5)

    async def _ask(self, probe):
        port = self.port((probe.get("httpGet") or probe.get("tcpSocket"))["port"])
        reader, writer = await asyncio.open_connection(self.address, port)
        try:
            if "tcpSocket" in probe:
                return True
            writer.write(f"GET {probe['httpGet']['path']} HTTP/1.1\r\nHost: {self.address}:{port}\r\nConnection: close\r\n\r\n".encode())
            status = int((await reader.readline()).split()[1:2][0] or b"0")
            return 200 <= status < 400
        except (IndexError, ValueError):
            return False
        finally:
            writer.close()

    def _set_ready(self, ready):
        if ready != self.is_ready.is_set():
            self.is_ready.set() if ready else self.is_ready.clear()
            self.cluster.tell(f"{self.name} is {'ready' if ready else 'not ready'}")
            self._tell_services()

    def _tell_services(self):
        for service in self.cluster.services:
            if service.selector.items() <= self.template["labels"].items():
                service.hear(self, self.is_ready.is_set() and not self.is_terminating)

    async def until_ready(self, seconds=90):
        ready, ended = asyncio.create_task(self.is_ready.wait()), asyncio.create_task(self.process.wait())
        await asyncio.wait({ready, ended}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel(), ended.cancel()
        if not self.is_ready.is_set():
            raise AssertionError(f"{self.name} is not ready: {self.process.returncode}\n{self.log()}")

    async def terminate(self):
        """`preStop`, SIGTERM, and SIGKILL where that was not enough: that is a fault."""
        self.cluster.tell(f"{self.name} is to end")
        began = time.monotonic()
        grace = self.spec.get("terminationGracePeriodSeconds", 30)
        self.is_terminating = True
        self._tell_services()
        try:
            await asyncio.wait_for(self._end(), grace)
        except asyncio.TimeoutError:
            self.cluster.faults.append(f"{self.name} has not ended within {grace} s, and is killed: {self.log()}")
            await self.kill()
        self._gone(time.monotonic() - began)

    async def _end(self):
        if hook := self.container.get("lifecycle", {}).get("preStop"):
            inside = ["nsenter", "--target", str(self.process.pid), "--net", "--mount"]
            await (await asyncio.create_subprocess_exec(*inside, *hook["exec"]["command"])).wait()
        self.process.terminate()
        await self.process.wait()

    async def kill(self):
        """Kills whatever runs in it."""
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if os.path.samestat(os.stat(process / "ns/net"), os.fstat(self.network)):
                    os.kill(int(process.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue  # It has ended meanwhile, or is somebody else's.
        await self.process.wait()

    async def lose(self):
        self.cluster.tell(f"{self.name} is killed")
        await self.kill()
        self.is_terminating = True
        self._tell_services()
        self._gone(0)

    def _gone(self, seconds):
        for task in self.probing:
            task.cancel()
        self.cluster.tell(f"{self.name} has ended")
        self.cluster.ended.append([self.name, self.process.returncode, round(seconds, 1)])


def run(words):
    subprocess.run(words.split(), check=True)
