"""A change by one server, until a client hears of it that waits at another one."""
import random
import statistics
import threading
import time

from databases import Galera, PostgreSQL, SQLite
from figures import Figures
from machine import Machine
from servers import started

SAMPLES = 30
# Any point between two looks of a server at its store.
PAUSE_SECONDS = (0.1, 0.3)


def waiting(options):
    """From when a Release is sent to one server until an Acquire is answered that waits at the other one."""
    figures, complaints = Figures("a Release at one server, seen by who waits at another one, in ms", "store"), []
    for kind in (SQLite, PostgreSQL, Galera):
        with Machine() as machine:
            store = kind(machine)
            urls = [store.url(number) for number in (0, 1)] if kind is Galera else [store.url()] * 2
            servers = started(machine, options.server, *urls)
            for _ in range(options.rounds):
                times = sorted(pass_on(*servers, number) * 1e3 for number in range(SAMPLES))
                figures.add(kind.name, "median", statistics.median(times))
                figures.add(kind.name, "99 %", times[int((len(times) - 1) * 0.99)])
                figures.add(kind.name, "slowest", times[-1])
            complaints += [line for server in servers for line in server.complaints()]
    figures.print("{:.1f}")
    print("  to reach: 50")
    return complaints


def pass_on(here, there, number):
    """Seconds."""
    key, answered = f"passed/{number}", []

    def wait():
        granted = there.call("Acquire", key=key, owner="there", lease="60s", wait="60s")
        answered.append((granted, time.monotonic()))

    if not here.call("Acquire", key=key, owner="here", lease="60s"):
        raise RuntimeError(f"{key} is not free")
    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(random.uniform(*PAUSE_SECONDS))
    if answered:
        raise RuntimeError(f"{key} was granted while another owner held it, or refused: {answered}")
    begin = time.monotonic()
    here.call("Release", key=key, owner="here")
    waiter.join()
    [[granted, end]] = answered
    if not granted or not there.call("Release", key=key, owner="there"):
        raise RuntimeError(f"{key} was not granted after its release")
    return end - begin
