"""Many clients fight over few keys, at three servers and at one."""
from databases import Galera, PostgreSQL
from figures import Figures, in_turn, spread
from load import Load
from machine import Machine
from servers import started

KEYS, CLIENTS = 10, 24
# Streams of a connection, each of which is a client.
STREAMS = 4


def fight(machine, program, urls, load, name):
    """What load.c prints, for each server, how many conflicts they count, and what they have to say."""
    fighters = started(machine, program, *urls, name=name)
    steps = [[ask(f"{name}/#######", f"{server.name}/@@@@@@@") for ask in (server.acquire, server.release)]
             for server in fighters]
    results = load.clients(steps, CLIENTS // len(fighters) // STREAMS, STREAMS, KEYS)
    conflicts = sum(server.metric("latchkey_store_conflicts_total") for server in fighters)
    complaints = [line for server in fighters for line in server.complaints()]
    for server in fighters:
        server.end()
    return results, conflicts, complaints


def contention(options):
    """24 clients take and give back the same 10 keys, without waiting for them, at one server and at three."""
    complaints = []
    for kind in (PostgreSQL, Galera):
        with Machine() as machine:
            database, load = kind(machine), Load(machine, options.seconds)
            figures = Figures(f"{kind.name}, 24 clients fight over 10 keys; latencies in ms", "servers")
            urls = [database.url(place) for place in range(3)] if kind is Galera else [database.url()] * 3
            ways = {"one": urls[:1], "three": urls}
            for round_ in range(options.rounds):
                for name, places in in_turn(ways, round_):
                    results, conflicts, said = fight(machine, options.server, places, load, f"{name}{round_}-")
                    complaints += said
                    note(figures, name, results, conflicts)
            figures.print("{:,.1f}")
            for column in ("99 %", "99.9 %", "slowest"):
                ratios = [three / one for three, one in
                          zip(figures.values["three", column], figures.values["one", "median"])]
                print(f"  {column} at three servers beside the median at one: {spread(ratios, '{:.1f}')}"
                      + ("; to reach: 5 at most" if column == "slowest" else ""), flush=True)
            complaints += load.troubles
    return complaints


def note(figures, name, results, conflicts):
    seconds = max(result["seconds"] for result in results)
    grants = [result["granted"] for result in results]
    figures.add(name, "grants/s", sum(grants) / seconds)
    figures.add(name, "conflicts/s", conflicts / seconds)
    figures.add(name, "least of a server", min(grants))
    figures.add(name, "least of a client", min(result["least"] for result in results))
    for column, quantile in (("99 %", "p99"), ("99.9 %", "p999"), ("slowest", "max")):
        figures.add(name, column, max(result[quantile] for result in results) / 1e3)
    figures.add(name, "median", sum(result["p50"] for result in results) / len(results) / 1e3)
