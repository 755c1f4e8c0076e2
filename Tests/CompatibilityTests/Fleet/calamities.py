"""What befalls the database of a run, and the links between it and the servers.

There are two lines of them, one beside the other: for the database, each of which ends with everything in
order before the next one begins, and for the links. Which, in which order and for how long follows from the
seed; what has not begun when the run ends is left out.
"""
import collections
import threading
import time
import traceback

from figures import Past

# Before each one all is well for a while, or else no lease would ever be claimed in peace.
PAUSE_SECONDS = (1.0, 5.0)
LINK_SECONDS = (0.5, 6.0)
LINKS = {"cut": 3, "stop_hearing": 2, "stop_reaching": 2, "slow_down": 3}
SLOW = [(0.005, 1), (0.05, 2), (0.3, 0), (0.01, 20)]  # Seconds one way, and losses in a hundred.


class Calamity(collections.namedtuple("Calamity", "at action where seconds details")):
    def __str__(self):
        what, details = self.action.replace("_", " "), map(str, self.details)
        return " ".join([what, *self.where, *details, f"for {self.seconds:.1f} s"])


def plan_for_database(dice, seconds, calamities):
    """`calamities` is for each action how often, and its least and most seconds."""
    planned, at = [], 0.0
    # Every seed has habits of its own.
    weights = [weight * dice.uniform(0.3, 1.7) for weight, *_ in calamities.values()]
    while (at := at + dice.uniform(*PAUSE_SECONDS)) < seconds:
        action = dice.choices(list(calamities), weights)[0]
        planned.append(Calamity(at, action, (), dice.uniform(*calamities[action][1:]), ()))
        at += planned[-1].seconds
    return planned


def plan_for_links(dice, seconds, servers, nodes):
    """From one server to one node of the database, or to all of them."""
    planned, at = [], 0.0
    while (at := at + dice.uniform(*PAUSE_SECONDS)) < seconds:
        action = dice.choices(list(LINKS), LINKS.values())[0]
        where = dice.choice(servers), dice.choice([*nodes, "all"])
        details = dice.choice(SLOW) if action == "slow_down" else ()
        planned.append(Calamity(at, action, where, dice.uniform(*LINK_SECONDS), details))
        at += planned[-1].seconds
    return planned


class Line(threading.Thread):
    """Performs what is planned, one after the other."""

    def __init__(self, name, planned, perform, fleet, over, is_verbose):
        super().__init__(name=name)
        self.planned, self.perform, self.fleet, self.over = planned, perform, fleet, over
        self.is_verbose = is_verbose

    def run(self):
        begin = time.monotonic()
        for calamity in self.planned:
            # However late it is, since those before took longer than planned.
            if self.over.wait(max(begin + calamity.at - time.monotonic(), PAUSE_SECONDS[0])):
                return
            began = time.monotonic()
            self.fleet.note(self.name, str(calamity))
            if self.is_verbose:
                print(f"{time.monotonic() - begin:7.2f} {self.name}: {calamity}", flush=True)
            try:
                self.perform(calamity)
            except Exception:
                self.fleet.troubles.append(f"{self.name}: {calamity}: {traceback.format_exc()}")
                return
            kind = f"{self.name}: {calamity.action.replace('_', ' ')}"
            self.fleet.pasts.append(Past(kind, began, time.monotonic()))
            self.fleet.note(self.name, f"is over: {calamity}")
