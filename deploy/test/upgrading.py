"""The release `before`, upgraded to `now` while calls flow in both directions: run as rolling.py is, with a plan of `PLANS`.
What a plan tells: {"written": how many entries meanwhile, "back": "works" or what the older control plane says}."""

import asyncio
import functools
import json
import urllib.request

import rolling


# What a control plane says of a store that a later one has written, by its kind.
REFUSALS = "its schema has version", "is of a later Fedgate"


class Api:
    """The admin API, as far as both releases have it, by the Service: whichever control plane answers."""

    def __init__(self, world):
        release = world.cluster.release
        self.url, self.token = f"http://{world.cluster.service('fedgate').address}:8600", release.contents("Secret", "fedgate-admin")["token"]

    async def ask(self, method, path, body=None, token=None):
        return await asyncio.to_thread(self._ask, method, path, body, token or self.token)

    def _ask(self, method, path, body, token):
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    async def kept(self):
        """What an upgrade has to keep: entries by domain, tokens by name, records by number."""
        asked = [self.ask("GET", path) for path in ("/v1/domains?limit=1000", "/v1/tokens?limit=1000", "/v1/audit?limit=1000")]
        domains, tokens, audit = await asyncio.gather(*asked)
        terms = ("action", "note", "expires_at", "pinned_hosts", "search_policy", "restriction", "created_by")
        return {
            "domains": {d["domain"]: {t: d[t] for t in terms if t in d} for d in domains["domains"]},
            "tokens": {t["name"]: (t["role"], t["source"], t["created_at"]) for t in tokens["tokens"]},
            "records": {r["id"]: (r["at"], r["by"], r["action"], r["domain"]) for r in audit["records"]},
        }


def without(kept, before, removed):
    """What of `before` is not as it was, but for what was removed."""
    missing = {}
    for what, had in before.items():
        changed = [name for name, value in had.items() if kept[what].get(name) != value and name != removed]
        if changed or removed in kept[what]:
            missing[what] = changed or removed
    return missing


async def writes(api, domains):
    """Entries, one after the other, wherever the Service leads."""
    while True:
        domain = f"meanwhile{len(domains)}.com"
        await api.ask("PUT", f"/v1/domains/{domain}", {})
        domains.append(domain)
        await asyncio.sleep(0.2)


async def upgrade(first, second, world):
    """First these pods, then those; then back."""
    await rolling.staged(world)
    api, now, before = Api(world), world.releases["now"], world.releases["before"]
    await api.ask("PUT", "/v1/domains/noted.com", {"note": "contract 17", "pinned_hosts": ["infra.noted.com"]})
    bob = (await api.ask("POST", "/v1/tokens", {"name": "bob", "role": "viewer"}))["token"]
    had = await api.kept()
    # From now on nobody finds anything anew: what was found has to be kept.
    world.dns.terminate()
    await world.dns.wait()

    on_etcd, written = not world.control_planes.one_by_one, []
    writing = asyncio.create_task(writes(api, written)) if on_etcd else None
    await getattr(world, first).roll(now)
    await world.settled()
    await world.moments()
    await api.ask("DELETE", "/v1/domains/gone.com")
    await world.moments(3)
    passed = gone(world)
    await getattr(world, second).roll(now)
    await world.settled()
    await world.moments()
    if writing:
        assert not writing.done(), f"a write failed: {writing}"
        writing.cancel()

    assert (await api.ask("GET", "/v1/domains?limit=1", token=bob))["domains"], "bob's token counts"
    kept = await api.kept()
    assert not (lost := without(kept, had, "gone.com")), f"not as it was: {lost}"
    assert {*written} <= {*kept["domains"]}, "what was written meanwhile is there"
    back = await way_back(world, before)
    await world.settled()
    await world.moments()
    assert not (lost := without(await api.kept(), had, "gone.com")), f"after the way back, not as it was: {lost}"
    assert gone(world) == passed, "nothing passes that was removed"
    return {"back": back, "written": len(written)}


def gone(world):
    """How many calls of and to the domain that was removed have passed."""
    return [world.tally[kind]["answers"].get("200", 0) for kind in ("in, gone", "out, gone")]


async def way_back(world, before):
    """`works`, or what the older control plane says of the store that the newer one has had. Then its pod is not left there."""
    planes, now = world.control_planes, world.control_planes.release
    planes.release = before
    if planes.one_by_one:
        await planes.remove(planes.pods[0])
    older = await planes.add()
    ready, ended = asyncio.create_task(older.is_ready.wait()), asyncio.create_task(older.process.wait())
    await asyncio.wait({ready, ended}, timeout=60, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    said = "works" if older.is_ready.is_set() else older.log().strip()
    is_refused = ended.done() and any(words in said for words in REFUSALS)
    assert said == "works" or is_refused, f"the older control plane does not serve, and not for the store's version: {said}"
    if said == "works":
        ended.cancel()
        await world.moments()
        if not planes.one_by_one:
            await planes.remove(older)
            await planes.roll(before)
    else:
        planes.pods.remove(older)
        await older.kill()
        planes.release = now
        if planes.one_by_one:
            await (await planes.add()).until_ready()
    return said


PLANS = {
    "control plane first": functools.partial(upgrade, "control_planes", "envoys"),
    "filter first": functools.partial(upgrade, "envoys", "control_planes"),
}


if __name__ == "__main__":
    rolling.main(PLANS)
