"""The start of a server on a store of many rows."""
import time

from databases import Galera, PostgreSQL, SQLite
from figures import Figures
from machine import Machine
from servers import Latchkeyd

LEASE = "31536000s"
POLL_SECONDS = 0.005


def start(options):
    """From the start of the program until /readyz is 200, until a key is granted and a held one is renewed."""
    figures, complaints = Figures(f"start on a store of {options.rows:,} held keys, in seconds", "store"), []
    for kind in (SQLite, PostgreSQL, Galera):
        with Machine() as machine:
            store = kind(machine)
            fill(machine, options, store)
            for round_ in range(options.rounds):
                server = Latchkeyd(machine, options.server, store.url(), f"start{round_}")
                figures.add(kind.name, "ready", server.wait_until_ready(POLL_SECONDS))
                for column, key in (("granted", f"start/{round_}"), ("renewed", f"job/{options.rows}")):
                    if not server.call("Acquire", key=key, owner="start", lease=LEASE):
                        complaints.append(f"{kind.name}: {key} was not {column}")
                    figures.add(kind.name, column, time.monotonic() - server.begin)
                server.end()
                complaints += server.complaints()
    figures.print("{:.2f}")
    print("  to reach: 2")
    return complaints


def fill(machine, options, store):
    """All rows are like one that a server has written."""
    server = Latchkeyd(machine, options.server, store.url(), "fill")
    server.wait_until_ready()
    server.call("Acquire", key="model", owner="start", lease=LEASE)
    server.end()
    store.add_rows(options.rows)
    if store.count_rows() <= options.rows:
        raise RuntimeError(f"{store.name}: the rows are not there")
