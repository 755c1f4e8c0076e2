"""A synchronous standby takes the place of its primary."""
import subprocess
import threading
import time

from databases import UPDATE, PostgreSQL
from figures import Figures
from machine import WAITING_SECONDS_MAX, Machine, wait_until
from servers import started

CLIENTS, PAUSE_SECONDS, CALM_SECONDS = 4, 0.01, 1
WAYS = {"is killed": PostgreSQL.kill, "falls silent": PostgreSQL.suspend}


class Client(threading.Thread):
    """Takes one new key after the other."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.number, self.grants, self.is_over = server, number, [], threading.Event()

    def run(self):
        count = 0
        while not self.is_over.wait(PAUSE_SECONDS):
            count += 1
            if self.server.call("Acquire", key=f"promoted/{self.number}/{count}", owner="client", lease="60s"):
                self.grants.append(time.monotonic())


def fail_over(options, way):
    """When the primary was struck, when the new one could be written to, and when a client was granted a key."""
    with Machine() as machine:
        database = PostgreSQL(machine, standby=True)
        [server] = started(machine, options.server, database.url())
        clients = [Client(server, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(CALM_SECONDS)
        tool, address = database.one_row(database.ports[1])
        probe = machine.start(tool, address, 0, "SELECT 1", UPDATE, stdout=subprocess.PIPE, text=True)
        struck = time.monotonic()
        WAYS[way](database, 0)
        database.promote()
        written = float(probe.communicate(timeout=WAITING_SECONDS_MAX)[0])
        try:
            wait_until(lambda: any(client.grants and client.grants[-1] > written for client in clients),
                       "granted again")
        finally:
            for client in clients:
                client.is_over.set()
            for client in clients:
                client.join()
        granted = min(grant for client in clients for grant in client.grants if grant > written)
        return struck, written, granted, server.complaints()


def promotion(options):
    """From the new primary's first write, tried every half millisecond, until any client is granted a key again."""
    figures, complaints = Figures("promotion of a synchronous standby, in seconds", "the old primary"), []
    for _ in range(options.rounds):
        for way in WAYS:
            struck, written, granted, said = fail_over(options, way)
            figures.add(way, "until the first write", written - struck)
            figures.add(way, "from then on until a grant", granted - written)
            complaints += said
    figures.print("{:.3f}")
    print("  to reach: 2 from the first write on")
    return complaints
