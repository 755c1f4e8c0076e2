"""Programs that want locks: each claims, renews, writes, reads and releases at random, at any server."""
import dataclasses
import itertools
import threading
import time
import traceback

import wire
from history import CLAIM, OK, READ, REFUSED, RELEASE, RENEW, Operation

CONTENDED = [f"job/{number}" for number in range(8)]
GRANTS_MAX = 4
THINK_SECONDS = (0.001, 0.02)
# Some give up before a suspended server goes on, which may then do what they asked for.
TIMEOUT_SECONDS = (0.5, 7)
# In seconds: long, short, and of v3 alone. Who cannot say it asks for the next whole second.
LEASES = [(8, 12, 20), (1, 2, 3), (0.25, 0.7, 1.5, 2.25)]
CLOSING_LEASE = 60
# When all is well again, however slow the machine is.
ACCEPTANCE_SECONDS_MAX = 60
CLOSING_ATTEMPTS = 10
WEIGHTS = {"claim": 30, "write": 24, "read": 24, "look_around": 3, "release": 6, "clean_up": 10}


@dataclasses.dataclass
class Grant:
    """What a client believes that it holds, or once held."""
    key: str
    kind: str
    owner: str
    lease: float
    content: dict
    is_careless: bool  # Lets its lease end.
    token: int = None
    sent: float = 0
    until: float = 0


class Client(threading.Thread):
    def __init__(self, name, newest_wire, fleet, dice, stopping):
        super().__init__(name=name)
        self.newest_wire, self.fleet, self.dice, self.stopping = newest_wire, fleet, dice, stopping
        self.connections = wire.Connections(dice.uniform(*TIMEOUT_SECONDS))
        self.spoken, self.history, self.stamps, self.fallbacks = {}, [], 0, 0
        # What it holds by key, and what it has given up but may still hold.
        self.grants, self.leftovers = {}, []

    def run(self):
        try:
            while not self.stopping.is_set():
                time.sleep(self.dice.uniform(*THINK_SECONDS))
                self.turn()
            self.stay()
        except Exception:
            self.fleet.troubles.append(f"{self.name}: {traceback.format_exc()}")
        finally:
            self.connections.close()

    def turn(self):
        now = time.monotonic()
        for grant in [grant for grant in self.grants.values() if grant.until <= now]:
            self.give_up(grant)
        due = [grant for grant in self.grants.values()
               if not grant.is_careless and now > grant.sent + (grant.until - grant.sent) / 3]
        if due:
            self.renew(self.dice.choice(due), names_content=self.dice.random() < 0.2)
        else:
            action = self.dice.choices(list(WEIGHTS), WEIGHTS.values())[0]
            getattr(self, action)()

    def call(self, intent):
        """Asks any server. An operation for each key; none where nothing was sent."""
        server = self.fleet.choose(self.dice)
        while server:
            version = self.version(server)
            request = wire.compose(version, intent)
            sent = time.monotonic()
            try:
                answer = self.connections.post(server, version, request)
            except wire.Unsent:
                break
            done = time.monotonic()
            # Nothing was done. A server may understand more than it offers while an older one lives, and all
            # of that is to be tried: so it is asked for it, whatever the header says.
            if answer and answer.status == 501:
                self.spoken[server.address] = answer.newest_wire
                self.fallbacks += 1
                continue
            operations = [
                Operation(self.name, version, server.name, request.call, intent.role, key, intent.owner,
                          sent, done, lease=request.lease, writes=request.writes, named=request.named)
                for key in intent.keys]
            for operation in operations:
                wire.take(operation, answer)
            self.history += operations
            return operations
        return []

    def version(self, server):
        """The newest that both speak; now and then an older one, as an older program of the same owner."""
        newest = min(self.newest_wire, self.spoken.get(server.address, self.newest_wire))
        return newest if self.dice.random() < 0.85 else self.dice.randint(1, newest)

    def stamp(self):
        """A text like no other."""
        self.stamps += 1
        return f"{self.name}#{self.stamps}"

    def claim(self):
        keys = [(key, "lock") for key in self.dice.sample(CONTENDED, 3)]
        keys += [(f"own/{self.name}", "lock"), (f"seen/{self.name}", "presence")]
        free = [pair for pair in keys if pair[0] not in self.grants]
        if not free or len(self.grants) == GRANTS_MAX:
            return
        lease = self.dice.choice(LEASES[self.dice.choice([0, 1, 2 if self.newest_wire >= 3 else 1])])
        is_careless = self.dice.random() < 0.15
        grant = Grant(*self.dice.choice(free), self.stamp(), lease, self.some_content(), is_careless)
        waits = lease >= 3 and self.dice.random() < 0.4
        intent = self.intent(CLAIM, grant, wait=self.dice.uniform(0.2, 1.5) if waits else 0)
        self.leftovers.append(grant)
        # A claim of which the answer was lost is repeated, at any server, or given up.
        for _ in range(self.dice.randint(1, 3)):
            for operation in self.call(intent):
                if operation.outcome in (OK, REFUSED):
                    self.leftovers.remove(grant)
                    if operation.outcome == OK:
                        self.grants[grant.key] = grant
                        self.note(grant, operation)
                    return

    def intent(self, role, grant, token=None, **more):
        labels = {name: self.dice.choice([self.stamp(), self.stamp(), ""])
                  for name in ("team", "zone", "build") if self.dice.random() < 0.4}
        granted_at = f"2026-11-25T12:00:{self.dice.randrange(60):02d}{self.dice.choice(['', '.125'])}Z"
        return wire.Intent(
            role, [grant.key], grant.kind, grant.owner, token, grant.lease, content=grant.content,
            labels=labels, granted_at=granted_at if self.dice.random() < 0.5 else None, **more)

    def some_content(self):
        stamp, number = self.stamp(), self.dice.choice([7, -1.5, 1e21])
        more = {"on": True, "list": [None, "", {}], "in": {"é": {}}}
        return self.dice.choice([
            {"text": f"Grüße, \\\"; {stamp}\t\U0001F511"},
            {"text": '{ "by":"%s",  "list" : [1, null, {"a": 2.50}] }' % stamp},
            {"attributes": {"by": stamp, "number": number} | more},
        ])

    def renew(self, grant, names_content):
        token = grant.token if self.dice.random() < 0.7 else None
        names_lease = self.dice.random() < 0.8
        intent = self.intent(RENEW, grant, token, names_lease=names_lease, names_content=names_content)
        for operation in self.call(intent):
            if operation.outcome == OK:
                self.note(grant, operation)
            elif operation.outcome == REFUSED or self.dice.random() < 0.3:
                self.give_up(grant)
            elif operation.lease:
                grant.until = min(grant.until, operation.sent + operation.lease)

    def note(self, grant, operation):
        grant.token = operation.token or grant.token
        grant.sent, grant.until = operation.sent, operation.sent + (operation.granted or operation.lease)

    def write(self):
        if self.grants:
            grant = self.dice.choice(list(self.grants.values()))
            grant.content = self.some_content()
            self.renew(grant, names_content=True)

    def read(self):
        reads_own = self.grants and self.dice.random() < 0.6
        key = self.dice.choice(list(self.grants) if reads_own else CONTENDED)
        for read in self.call(wire.Intent(READ, [key])):
            grant = self.grants.get(key)
            if grant and read.holder == grant.owner:
                grant.token = read.token or grant.token

    def look_around(self):
        self.call(wire.Intent(READ, CONTENDED))

    def release(self):
        if self.grants:
            self.give_back(self.grants.pop(self.dice.choice(list(self.grants))))

    def give_back(self, grant):
        token = grant.token if self.dice.random() < 0.6 else None
        released = self.call(wire.Intent(RELEASE, [grant.key], owner=grant.owner, token=token))
        if not released or released[0].outcome not in (OK, REFUSED):
            self.leftovers.append(grant)

    def give_up(self, grant):
        """Leaves it to its lease, or to be cleaned up."""
        self.leftovers.append(self.grants.pop(grant.key))

    def clean_up(self):
        """Frees what may still be held though its time is over: a lease ends late, or not at all, where no
        server lives for as long."""
        over = [grant for grant in self.leftovers if grant.until <= time.monotonic()]
        if over:
            self.leftovers.remove(over[0])
            self.give_back(over[0])

    def stay(self):
        """Goes on holding what it holds, so that it can be looked at when all servers have stopped."""
        for grant in list(self.grants.values()):
            grant.lease = CLOSING_LEASE
            for _ in range(CLOSING_ATTEMPTS):
                is_over = self.grants.get(grant.key) is not grant
                if is_over or grant.until > time.monotonic() + CLOSING_LEASE / 2:
                    break
                self.renew(grant, names_content=False)


def who_accepts_nothing(clients, slots, seconds=ACCEPTANCE_SECONDS_MAX):
    """The servers of `slots`, by name, of whom no client has a claim or renewal accepted for so long."""
    since, missing = time.monotonic(), set(slots)
    while missing and time.monotonic() < since + seconds:
        time.sleep(0.1)
        for client in clients:
            latest = itertools.takewhile(lambda one: one.sent >= since, reversed(client.history))
            missing -= {one.server.split("/")[0] for one in latest if one.is_hold}
    return sorted(missing)
