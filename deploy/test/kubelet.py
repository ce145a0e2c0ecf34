"""As much of Kubernetes as a rolling update is about, for the pods that the chart makes: a network namespace for each, with
its own address and its own loopback; volumes where the container expects them; probes, `preStop` and the time to end as
the pod says; Services that send each new connection to one ready pod, and hear of changes late, as nodes do. Runs in
namespaces of its own (`ALONE`)."""

import asyncio
import ipaddress
import itertools
import os
import pathlib
import random
import signal
import subprocess
import time

import chart

ALONE = ["unshare", "--map-root-user", "--net", "--mount"]
NODE = "10.96.0.1"
SERVICES = ipaddress.ip_address("10.96.1.0")
PODS = ipaddress.ip_address("10.97.0.0")
# How long it takes until a node sends a pod connections, or no more, in seconds.
LAG = (0.2, 1.0)

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


class Cluster:
    """The chart's resources, at work. `images`: folders with what an image has, by its name without registry and tag:
    `bin`, and `etc`, whose files are in /etc/fedgate."""

    def __init__(self, folder, resources, images):
        self.folder, self.resources, self.images = pathlib.Path(folder), resources, images
        self.services, self.ended, self.faults = [], [], []
        self.numbers, self.events = itertools.count(1), []

    async def start(self, hosts):
        """`hosts`: addresses on this node by the names that lead to them, beside Services."""
        run("ip link set lo up")
        run(f"ip address add {NODE}/32 dev lo")
        for resource in (r for r in self.resources if r["kind"] == "Service"):
            service = Service(self, resource, str(SERVICES + len(self.services) + 1))
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

    def workload(self, name):
        for kind in ("Deployment", "StatefulSet"):
            if resource := chart.named(self.resources, kind, name):
                return Workload(self, resource)
        raise KeyError(name)

    def service(self, name):
        return next(s for s in self.services if s.name == name)

    def contents(self, kind, name):
        """The texts of a Secret or ConfigMap by their keys."""
        found = next(r for r in self.resources if (r["kind"], r["metadata"]["name"]) == (kind, name) and "namespace" not in r["metadata"])
        return found.get("stringData") or found["data"]

    def volume(self, pod, volume):
        """A folder with what is in a volume of this pod."""
        folder = self.folder / "volumes" / pod / volume["name"]
        folder.mkdir(parents=True)
        sources = volume.get("projected", {}).get("sources") or [volume]
        for source in sources:
            for kind, key, name in (("Secret", "secret", "secretName"), ("ConfigMap", "configMap", "name")):
                if key in source:
                    texts = self.contents(kind, source[key].get(name) or source[key]["name"])
                    items = source[key].get("items") or [{"key": k, "path": k} for k in texts]
                    for item in items:
                        (folder / item["path"]).write_text(texts[item["key"]])
        return folder


class Workload:
    """A Deployment or StatefulSet, and its pods."""

    def __init__(self, cluster, resource):
        self.cluster, self.resource, self.pods = cluster, resource, []
        self.name, spec = resource["metadata"]["name"], resource["spec"]
        self.one_by_one = resource["kind"] == "StatefulSet"
        expected = None if self.one_by_one else {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
        assert spec.get("strategy") == expected, "we know no other way to update"
        self.replicas = spec["replicas"]

    async def start(self, image=None):
        """Starts all; they need not be ready."""
        for _ in range(self.replicas):
            await self.add(image)

    async def add(self, image=None):
        number = len(self.pods) if self.one_by_one else next(self.cluster.numbers)
        pod = Pod(self.cluster, f"{self.name}-{number}", self.resource["spec"], image)
        self.pods.append(pod)
        await pod.start()
        return pod

    async def ready(self):
        await asyncio.gather(*(pod.until_ready() for pod in self.pods))

    async def roll(self, image=None):
        """Replaces every pod by one of this image."""
        leaving = []
        for old in list(self.pods):
            if self.one_by_one:
                await self.remove(old)
                await (await self.add(image)).until_ready()
            else:
                await (await self.add(image)).until_ready()
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
    def __init__(self, cluster, name, spec, image):
        self.cluster, self.name = cluster, name
        self.template, self.spec = spec["template"]["metadata"], spec["template"]["spec"]
        self.claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
        (self.container,) = self.spec["containers"]
        self.image = image or cluster.images[self.container["image"].rsplit("/", 1)[1].split(":")[0]]
        self.address = str(PODS + next(cluster.numbers))
        self.is_ready, self.is_terminating, self.probing = asyncio.Event(), False, []

    async def start(self):
        mounts = []
        folders = {v["name"]: self.cluster.volume(f"{self.name}-{self.address}", v) for v in self.spec.get("volumes", [])}
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
        return self.cluster.contents("Secret", key["name"])[key["key"]]

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


class Service:
    """Sends each new connection to one of its pods, whichever; connections that are open stay where they are."""

    def __init__(self, cluster, resource, address):
        self.cluster, self.address, self.pods = cluster, address, []
        self.name, self.selector = resource["metadata"]["name"], resource["spec"]["selector"]
        self.ports = {p["port"]: p["targetPort"] for p in resource["spec"]["ports"]}

    async def listen(self):
        loop = asyncio.get_running_loop()
        for port, target in self.ports.items():
            await loop.create_server(lambda target=target: Near(self, target), self.address, port, backlog=1024)

    def hear(self, pod, is_ready):
        asyncio.get_running_loop().call_later(random.uniform(*LAG), self._set, pod, is_ready)

    def _set(self, pod, is_ready):
        self.pods = [p for p in self.pods if p is not pod] + [pod] * is_ready


class Leg(asyncio.Protocol):
    """One half of a connection: what comes goes to the other one, and so does its end."""

    other = None

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.other.write(data)

    def eof_received(self):
        if self.other and not self.other.is_closing():
            self.other.write_eof()
        return True

    def connection_lost(self, error):
        if self.other:
            self.other.abort() if error else self.other.close()

    def pause_writing(self):
        self.other.pause_reading()

    def resume_writing(self):
        self.other.resume_reading()


class Near(Leg):
    """The half on the caller's side."""

    def __init__(self, service, target):
        self.service, self.target = service, target

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()
        self.connecting = asyncio.create_task(self._connect())

    async def _connect(self):
        far = Leg()
        far.other = self.transport
        try:
            pod = random.choice(self.service.pods)
            self.other, _ = await asyncio.get_running_loop().create_connection(lambda: far, pod.address, pod.port(self.target))
        except (OSError, IndexError):
            # As a node refuses it where there is no pod, or the pod does.
            self.transport.abort()
            return
        if self.transport.is_closing():
            self.other.abort()
        else:
            self.transport.resume_reading()


def run(words):
    subprocess.run(words.split(), check=True)
