"""Services of Kubernetes, as its nodes have them: each new connection goes to one ready pod, and what becomes ready or leaves
is heard of late."""

import asyncio
import random

# How long it takes until a node sends a pod connections, or no more, in seconds.
LAG = (0.2, 1.0)


class Service:
    """Sends each new connection to one of its pods, whichever; connections that are open stay where they are."""

    def __init__(self, resource, address):
        self.address, self.pods = address, []
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
    has_ended = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.other.write(data)

    def eof_received(self):
        self.has_ended = True
        if not self.other or self.other.is_closing():
            return False
        self.other.write_eof()
        # Kept open for what the other half has still to say, and no longer: asyncio closes neither by itself.
        if self.other.get_protocol().has_ended:
            self.other.close()
            return False
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
