"""What a run has to show: how much was done and checked, and how long nobody was granted anything."""
import bisect
import collections
import http.client
import itertools
import math
import re
import threading

import history

CONFLICTS = re.compile(r"^latchkey_store_conflicts_total(?:\{.*\})? (\S+)$", re.MULTILINE)
POLL_SECONDS, ANSWER_SECONDS_MAX = 1, 1

# What befell the database, a link, or a server: `kind` names it, from `begin` to `end`.
Past = collections.namedtuple("Past", "kind begin end")


class ConflictMeter(threading.Thread):
    """Asks the servers again and again how many transactions they had to decide anew: of one that is killed,
    all but the last second is known."""

    def __init__(self, fleet):
        super().__init__(name="conflicts")
        self.fleet, self.over, self.of_server = fleet, threading.Event(), {}

    def run(self):
        while not self.over.wait(POLL_SECONDS):
            for server in self.fleet.servers_awake():
                self.ask(server.address)

    def ask(self, address):
        connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS_MAX)
        try:
            connection.request("GET", "/metrics")
            found = CONFLICTS.search(connection.getresponse().read().decode())
            self.of_server[address] = int(float(found[1])) if found else 0
        except (OSError, http.client.HTTPException):
            pass  # It ends, or it is suspended.
        finally:
            connection.close()

    def stop(self):
        """How many there were."""
        self.over.set()
        self.join()
        return sum(self.of_server.values())


def longest_pause(operations):
    """In seconds: nobody's claim or renewal was accepted."""
    accepted = sorted(operation.done for operation in operations if operation.is_hold)
    return max((after - before for before, after in itertools.pairwise(accepted)), default=math.inf)


def pauses(operations, pasts):
    """For each kind of calamity, one after the other: how long it took from its beginning, or from the last
    grant, to the first grant after that, at the worst moment until it was over. Another one may have been
    to blame that befell the fleet at the same time."""
    granted = sorted({operation.done for operation in operations
                      if operation.is_hold and operation.role == history.CLAIM})
    found = collections.defaultdict(list)
    for past in pasts:
        first = bisect.bisect_right(granted, past.begin)
        within = granted[first:bisect.bisect_right(granted, past.end) + 1]
        moments = [past.begin, *within]
        # Else the run was over.
        if within:
            found[past.kind].append(max(after - before for before, after in itertools.pairwise(moments)))
    return found


class Figures:
    """Of a run, or of several together."""

    def __init__(self):
        self.counts, self.pause, self.pauses = collections.Counter(), 0.0, collections.defaultdict(list)

    def add(self, other):
        self.counts += other.counts
        self.pause = max(self.pause, other.pause)
        for kind, seconds in other.pauses.items():
            self.pauses[kind] += seconds

    def take(self, operations, pasts):
        self.counts["operations"] += len(operations)
        self.counts["histories checked"] += len({operation.key for operation in operations})
        self.counts["grants"] += len({(operation.key, operation.owner) for operation in operations
                                      if operation.role == history.CLAIM and operation.is_hold})
        self.counts += collections.Counter(f"in v{operation.wire}" for operation in operations)
        self.counts += collections.Counter(operation.word or operation.outcome for operation in operations)
        self.pause = max(self.pause, longest_pause(operations))
        for kind, seconds in pauses(operations, pasts).items():
            self.pauses[kind] += seconds

    def lines(self):
        yield ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()) if count)
        yield f"no claim or renewal was accepted for {self.pause:.1f} s at most"
        for kind, seconds in sorted(self.pauses.items()):
            yield (f"{len(seconds):4} times {kind}: no grant for {max(seconds):.1f} s at most, "
                   f"{sorted(seconds)[len(seconds) // 2]:.1f} s in the median")
