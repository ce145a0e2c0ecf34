"""The chart's pods, updated as Kubernetes updates them, while calls flow in both directions; what became of the calls.

    rolling.py FOLDER PLAN < {"resources": […], "images": {NAME: FOLDER}}

plays a plan of `PLANS` and prints {"traffic": …, "ended": [[pod, exit code, seconds]…], "faults": […],
"events": [[second, what]…]}."""

import asyncio
import json
import os
import pathlib
import subprocess
import sys

import chart
import envoys
import kubelet

TRAFFIC = envoys.TARGET / "debug/traffic"
RATE = os.environ.get("FEDGATE_ROLLING_RATE", "200")
HOSTS = {"dns": "10.96.0.10", "etcd": "10.96.0.11", "other": "10.96.0.12", **dict.fromkeys(["brig", "galley", "cargohold"], "10.96.0.13")}
ZONE = """$TTL 600
@ IN SOA ns.com. root.ns.com. 1 3600 600 86400 60
@ IN NS ns.com.
ns IN A 10.96.0.10
_wire-server-federator._tcp.a IN SRV 10 5 8443 infra.a.com.
_wire-server-federator._tcp.gone IN SRV 10 5 8443 infra.a.com.
_wire-server-federator._tcp.stranger IN SRV 10 5 8443 infra.a.com.
infra.a IN A 10.96.0.12
"""
NAMED = """options {{ directory "{folder}"; listen-on {{ 10.96.0.10; }}; listen-on-v6 {{ none; }}; recursion no; pid-file none;
session-keyfile none; dnssec-validation no; }}; controls {{ }}; zone "com" {{ type primary; file "com.zone"; }};"""


class World:
    """A cluster, and what is around it."""

    def __init__(self, folder, resources, images):
        self.folder, self.programs = pathlib.Path(folder), []
        secrets = envoys.Secrets(self.folder)
        secrets.issue("other", "infra.a.com")
        self.tls = secrets.tls
        text = lambda name: (self.tls / name).read_text()
        ours = [
            {"kind": "Secret", "metadata": {"name": "federator-certificate-secret"}, "stringData": {"tls.crt": text("server.pem"), "tls.key": text("server.key")}},
            {"kind": "ConfigMap", "metadata": {"name": "federator-ca"}, "data": {"ca.crt": text("trust.pem")}},
        ]
        self.images = {name: pathlib.Path(folder) for name, folder in images.items()}
        self.cluster = kubelet.Cluster(self.folder, [*resources, *ours], self.images)
        self.control_planes, self.envoys = map(self.cluster.workload, ("fedgate", "fedgate-envoy"))

    async def start(self):
        await self.cluster.start(HOSTS)
        (self.folder / "com.zone").write_text(ZONE)
        (self.folder / "named.conf").write_text(NAMED.format(folder=self.folder))
        await self.run("named", "named", "-g", "-c", self.folder / "named.conf")
        client, peer = (f"http://{HOSTS['etcd']}:{port}" for port in (2379, 2380))
        urls = ["--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        await self.run("etcd", "etcd", "--data-dir", self.folder / "etcd-data", *urls)

    async def run(self, name, *command, stdout=None):
        """A program of this node."""
        log = open(self.folder / f"{name}.log", "wb")
        program = await asyncio.create_subprocess_exec(*map(str, command), stdout=stdout or log, stderr=log, limit=1 << 20)
        self.programs.append(program)
        return program

    async def fedgate(self, *words):
        """The command line of today, as an administrator."""
        token = self.folder / "admin-token"
        token.write_text(self.cluster.contents("Secret", "fedgate-admin")["token"])
        environment = {**os.environ, "FEDGATE_URL": f"http://{self.cluster.service('fedgate').address}:8600"}
        done = await asyncio.create_subprocess_exec(
            envoys.FEDGATE, *words, "--token-file", token, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await done.communicate()
        assert done.returncode == 0, f"fedgate {' '.join(words)}: {said.decode()}"
        return said.decode()

    async def calls_flow(self):
        service = self.cluster.service
        port = next(iter(service("fedgate-ingress").ports))
        self.traffic = await self.run(
            "traffic", TRAFFIC, "--egress", f"{service('federator').address}:8080", "--ingress", f"{service('fedgate-ingress').address}:{port}",
            "--brig", f"{HOSTS['brig']}:8080", "--other", f"{HOSTS['other']}:8443", "--tls", self.tls, "--rate", RATE, stdout=subprocess.PIPE,
        )
        self.tally = {}
        self.cluster.tell("calls begin")
        self.reading = asyncio.create_task(self._read())
        await self.until("calls flow", lambda: len(self.tally) == 9 and all(k["answers"] for k in self.tally.values()))

    async def _read(self):
        async for line in self.traffic.stdout:
            self.tally = json.loads(line)

    async def calls_end(self):
        self.traffic.terminate()
        await self.traffic.wait()
        await self.reading
        return self.tally

    def events(self):
        """What happened when, in seconds since calls flow."""
        (began,) = [at for at, what in self.cluster.events if what == "calls begin"]
        return [[round(at - began, 1), what] for at, what in self.cluster.events]

    async def moments(self, number=2):
        """Waits until calls have been told of so many times more."""
        for _ in range(number):
            before = self.tally
            await self.until("calls flow on", lambda: self.tally is not before)

    async def until(self, what, holds, seconds=60):
        """`holds` may be a function that waits itself."""
        async def wait():
            while not holds():
                await asyncio.sleep(0.05)
        try:
            await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            raise AssertionError(f"not within {seconds} s: {what}; {getattr(self, 'tally', None)}") from None

    async def end(self):
        for pod in self.control_planes.pods + self.envoys.pods:
            await pod.kill()
        for program in self.programs:
            if program.returncode is None:
                program.kill()
                await program.wait()


async def staged(world):
    """All of it at work, with partners on the list, and calls that flow."""
    await world.start()
    await world.control_planes.start()
    await world.control_planes.ready()
    await world.until("the Service has its control planes", lambda: len(world.cluster.service("fedgate").pods) == world.control_planes.replicas)
    for domain in ("a.com", "gone.com"):
        await world.fedgate("domain", "add", domain)
    await world.envoys.start()
    await world.envoys.ready()
    await world.until("the Services have their Envoys", lambda: all(len(s.pods) == 2 for s in world.cluster.services if s.name != "fedgate"))
    await world.calls_flow()
    await world.moments()


async def restart(world):
    """Every pod is replaced, one after the other."""
    await staged(world)
    await world.control_planes.roll()
    await world.moments()
    await world.envoys.roll()
    await world.moments()


async def restart_and_lose(world):
    """And one of several control planes is lost at once."""
    await restart(world)
    await world.control_planes.lose()
    await world.moments()


async def restart_envoys(world):
    await staged(world)
    await world.envoys.roll()
    await world.moments()


PLANS = {plan.__name__: plan for plan in (restart, restart_and_lose, restart_envoys)}


async def play(folder, plan, resources, images):
    world = World(folder, resources, images)
    try:
        await PLANS[plan](world)
        traffic = await world.calls_end()
        return {"traffic": traffic, "ended": world.cluster.ended, "faults": world.cluster.faults, "events": world.events()}
    finally:
        await world.end()


def main():
    given = json.load(sys.stdin)
    print(json.dumps(asyncio.run(play(sys.argv[1], sys.argv[2], given["resources"], given["images"]))))


if __name__ == "__main__":
    main()
