"""Where a fleet has its store: in a file, or in a database on machines of its own (`plan --store`)."""
import random
import sqlite3
import threading

import calamities
import network
import steps
from galera import Galera
from network import Missing, Network
from postgresql import PostgreSQL

CLUSTERS = {"postgresql": PostgreSQL, "galera": Galera}
KINDS = ["sqlite", *CLUSTERS]


class SQLiteFile:
    """A file that all servers of this machine share. Nothing befalls it."""
    slots, pace, least = steps.SLOTS, 1, 1
    start_attempts, pause_seconds = 4, 0

    def __init__(self, folder):
        self.path = folder / "store.db"

    def url(self, slot):
        return f"sqlite:{self.path}"

    def place(self, slot):
        """What to put before the command of a server, and the address at which it listens."""
        return [], "127.0.0.1"

    def start(self, fleet):
        pass

    def begin(self, options):
        pass

    def heal(self):
        pass

    def verdict(self):
        database = sqlite3.connect(self.path)
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
        database.close()
        return [] if verdict == "ok" else [f"durable: SQLite says {verdict}"]

    def close(self):
        pass


class Cluster:
    """A database on several machines, and each server on a machine of its own."""
    # A place more than servers at the beginning. They are not all there is that breaks, and with one server
    # alone, cut off from its database, nothing goes on.
    slots, pace, least = 4, 4, 2
    # As long as a fail-over takes, and then some.
    start_attempts, pause_seconds = 120, 0.5

    def __init__(self, kind, folder, seed):
        # For whoever the database runs as.
        folder.chmod(0o755)
        self.kind, self.folder, self.over, self.lines = kind, folder, threading.Event(), []
        self.dice, self.network = random.Random(f"{seed} nodes"), Network()

    def start(self, fleet):
        self.fleet = fleet
        self.servers = [self.network.add(f"s{number}") for number in range(self.slots)]
        self.database = CLUSTERS[self.kind](self.network, self.folder, fleet.note, self.over.wait, self.dice)
        self.database.start()

    def url(self, slot):
        return self.database.url(int(slot.removeprefix("s")))

    def place(self, slot):
        machine = self.network.machines[slot]
        return machine.prefix, machine.address

    def begin(self, options):
        """From now on things happen to it."""
        servers, nodes = map(str, self.servers), map(str, self.database.machines)
        links = calamities.plan_for_links(
            random.Random(f"{options.seed} links"), options.seconds, list(servers), list(nodes))
        known = {name: how for name, how in self.database.CALAMITIES.items() if name not in options.without}
        database = calamities.plan_for_database(
            random.Random(f"{options.seed} database"), options.seconds, known)
        for name, planned, perform in (("links", links, self.disturb_link),
                                       (self.kind, database, self.disturb_database)):
            line = calamities.Line(name, planned, perform, self.fleet, self.over, options.verbose)
            self.lines.append(line)
            line.start()

    def disturb_database(self, calamity):
        getattr(self.database, calamity.action)(calamity.seconds)

    def disturb_link(self, calamity):
        """All of it at the server's end: the other one may be cut off by somebody else meanwhile."""
        server, node = calamity.where
        server = self.network.machines[server]
        nodes = self.database.machines if node == "all" else [self.network.machines[node]]
        for machine in nodes:
            getattr(server, calamity.action)(machine, *calamity.details)
        self.over.wait(calamity.seconds)
        for machine in nodes:
            server.mend(machine)

    def heal(self):
        self.over.set()
        for line in self.lines:
            line.join()

    def verdict(self):
        if self.fleet.troubles:
            return []
        contents = {str(node): row for node, (row,) in self.database.rows(self.database.CONTENTS)}
        is_same = len(set(contents.values())) == 1
        return [] if is_same else [f"durable: the nodes do not have the same rows: {contents}"]

    def close(self):
        # Where the run was broken off, something may still be befalling the database: that ends without it.
        self.network.is_ending.set()
        self.over.set()
        self.network.kill()
        self.heal()
        self.network.close()


def look_for(kind):
    """Raises `Missing` where there can be no such store."""
    if kind in CLUSTERS and (why := network.what_is_missing() or CLUSTERS[kind].what_is_missing()):
        raise Missing(why)


def store(kind, folder, seed):
    return SQLiteFile(folder) if kind == "sqlite" else Cluster(kind, folder, seed)
