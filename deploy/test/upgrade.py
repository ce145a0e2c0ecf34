"""Whether an earlier revision can be upgraded to this one, and back: `scripts/test upgrade` runs this.

    upgrade.py REVISION FOLDER   # with the revision's source/, fedgate and fedgate_filter.wasm

Prints a row of the table in docs/upgrade.md for each store. Ends with 1 where something does not hold; and, where the
revision is a release, where that table has not that row."""

import pathlib
import sys

import cases
import chart
import test_rolling

STORES = {"SQLite": "envoy, a balancer", "etcd": "envoy, etcd"}
ORDERS = ["control plane first", "filter first"]
# What is said of a domain that is taken off the list midway. Envoy may hear that it has no target before the filter hears.
REMOVED = {
    "in, gone": {"200", "400 federation-denied"},
    "out, gone": {"200", "400 federation-denied", "521 federation-connection-refused"},
}


def releases(revision, values, images):
    """Both charts with the same tokens: Helm leaves them as they are. A revision that had no chart runs in today's pods."""
    now, source = chart.render(values), revision / "source/deploy/helm/fedgate"
    before = chart.render(values, source) if source.exists() else now
    tokens = [r for r in before if r["kind"] == "Secret"]
    now = [r for r in now if r["kind"] != "Secret"] + tokens
    older = test_rolling.images(images / "before", revision / "fedgate", revision / "fedgate_filter.wasm")
    return {
        "before": {"resources": before, "images": older},
        "now": {"resources": now, "images": test_rolling.images(images / "now")},
    }


def faults(came):
    """What does not hold, of one way to upgrade."""
    traffic = came["traffic"]
    number, told = test_rolling.lost(traffic)
    if number:
        yield f"{number} calls are lost: {told}"
    for kind, answers in REMOVED.items():
        if traffic[kind]["broken"] or not {"200", "400 federation-denied"} <= {*traffic[kind]["answers"]} <= answers:
            yield f"{kind}: {traffic[kind]}"
    for kind in test_rolling.NEVER:
        if [*traffic[kind]["answers"]] != ["400 federation-denied"]:
            yield f"{kind}: {traffic[kind]}"
    yield from came["faults"]


def main():
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    holds, documented = True, (chart.ROOT / "docs/upgrade.md").read_text()
    for store, case in STORES.items():
        values = chart.merged(cases.CASES[case], test_rolling.HERE)
        row = [name, store]
        for order in ORDERS:
            came = test_rolling.played(order, lambda images: releases(folder, values, images), "upgrading.py")
            wrong = [*faults(came)]
            row.append("no" if wrong else "yes")
            print(f"upgrade: {store}, {order}: {sum(sum(k['answers'].values()) for k in came['traffic'].values())} calls,", came["told"], *wrong, file=sys.stderr)
            holds = holds and not wrong
        row.append("yes" if came["told"]["back"] == "works" else "refused")
        row = f"| {' | '.join(row)} |"
        print(row)
        if name.startswith("v") and row not in documented:
            print(f"upgrade: docs/upgrade.md has not this row: {row}", file=sys.stderr)
            holds = False
    sys.exit(not holds)


if __name__ == "__main__":
    main()
