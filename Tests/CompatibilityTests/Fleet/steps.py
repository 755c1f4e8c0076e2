"""What befalls the servers of a run. It follows from the seed alone: which steps, when, and to whom."""
import collections
from signal import SIGKILL, SIGTERM

SLOTS = 7
PAUSE_SECONDS = (0.2, 1.0)
SUSPENSION_SECONDS = (0.2, 6.0)
# Now and then, or else no server would live for as long as a lease.
CALM_SECONDS = (2.0, 5.0)
WEIGHTS = {"start": 14, "terminate": 8, "kill": 10, "suspend": 30, "upgrade": 12, "roll_back": 12,
           "kill_all": 3, "upgrade_all": 4, "roll_back_all": 4, "calm": 3}


class Step(collections.namedtuple("Step", "at action slot version ending seconds", defaults=[None] * 4)):
    """At `at` seconds into the run. A slot of None is every slot; `ending` is the signal to whoever is there
    before `version` is started."""

    def __str__(self):
        where = "all" if self.slot is None else f"s{self.slot}"
        seconds = self.seconds and f"for {self.seconds:.1f} s"
        return " ".join(str(word) for word in (
            self.action, where, self.ending and self.ending.name, self.version, seconds) if word)


class Planner:
    """`pace` is how many times as long as usual it is between two steps, `least` how many servers are left:
    where there is no server, there is nothing to see."""

    def __init__(self, dice, versions, slots=SLOTS, pace=1, least=1):
        self.dice, self.versions, self.slots, self.pace, self.least = dice, versions, slots, pace, least
        self.steps = []
        self.at, self.running = 0.0, {}
        # Every seed has habits of its own.
        self.weights = [weight * dice.uniform(0.5, 1.5) for weight in WEIGHTS.values()]

    def plan(self, seconds):
        for slot in range(self.slots - 1):
            self.put("start", slot, self.versions[slot % len(self.versions)])
        while self.at < seconds:
            self.at += self.pace * self.dice.uniform(*PAUSE_SECONDS)
            getattr(self, self.dice.choices(list(WEIGHTS), self.weights)[0])()
        # For the clients to end with something in their hands.
        self.start()
        self.start()
        return self.steps

    def put(self, action, slot, version, ending=None):
        self.running[slot] = version
        self.steps.append(Step(self.at, action, slot, version, ending))

    def some_slot(self):
        return self.dice.choice(sorted(self.running))

    def some_ending(self):
        return self.dice.choice([SIGTERM, SIGKILL])

    def start(self):
        free = sorted(set(range(self.slots)) - self.running.keys())
        if free:
            self.put("start", self.dice.choice(free), self.dice.choice(self.versions))

    def terminate(self):
        self.end("terminate", SIGTERM)

    def kill(self):
        self.end("kill", SIGKILL)

    def end(self, action, ending):
        if len(self.running) > self.least:
            slot = self.some_slot()
            del self.running[slot]
            self.steps.append(Step(self.at, action, slot, ending=ending))

    def suspend(self):
        seconds = self.dice.uniform(*SUSPENSION_SECONDS)
        self.steps.append(Step(self.at, "suspend", self.some_slot(), seconds=seconds))

    def upgrade(self):
        slot = self.some_slot()
        newer = self.versions[self.versions.index(self.running[slot]):][:2][-1]
        self.put("upgrade", slot, newer, self.some_ending())

    def roll_back(self):
        slot = self.some_slot()
        older = self.versions[:self.versions.index(self.running[slot]) + 1][-2:][0]
        self.put("roll back", slot, older, self.some_ending())

    def kill_all(self):
        self.steps.append(Step(self.at, "kill", ending=SIGKILL))
        self.running.clear()
        for _ in range(self.dice.randrange(self.least, self.slots)):
            self.start()

    def upgrade_all(self):
        self.replace_all("upgrade", self.versions[-1])

    def roll_back_all(self):
        self.replace_all("roll back", self.dice.choice(self.versions[:-1] or self.versions))

    def replace_all(self, action, version):
        for slot in self.dice.sample(sorted(self.running), len(self.running)):
            self.put(action, slot, version, self.some_ending())
            self.at += self.dice.uniform(0, PAUSE_SECONDS[0])

    def calm(self):
        self.at += self.dice.uniform(*CALM_SECONDS)
