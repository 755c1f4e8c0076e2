#!/usr/bin/env python3
"""Shows that the inquest after lost commits can find fault: a small history in which all is well, and what
becomes of it by each thing that a server could do wrong.

    test_inquest.py
"""
import dataclasses
import sys
import unittest

sys.dont_write_bytecode = True

from history import REFUSED
from inquest import NOTICE, Inquest
from test_history import claim, read, release, renew

# The database that takes over at 11 has nothing of what was acknowledged since 5.
LEFT, DIED, REPLACED = {"k": (1, 1), "other": (3, 2)}, 10, 11
LOGS = {"s0": f"warning: the database has {NOTICE}", "s1": f"warning: the database has {NOTICE}"}
SOUND = [
    claim("a", 0, 1, lease=3, token=1, revision=1),
    claim("b", 6, 7, lease=10, token=2, revision=3, is_new_grant=True),
    claim("c", 12, 13, outcome=REFUSED, word="held-by-another"),
    # That the holder's own release is refused harms nobody.
    release("b", 14, 14.5, outcome=REFUSED, word="not-the-holder"),
    claim("d", 18, 19, token=900, revision=901, is_new_grant=True),
]


def changed(at, **change):
    operations = list(SOUND)
    operations[at] = dataclasses.replace(SOUND[at], **change)
    return operations


BROKEN = [
    ("the notice", "a server has not noticed", SOUND, {**LOGS, "s1": "warning: no answer within 2 s"}),
    ("the waiting", "another is granted what was lost, and its holder is not told",
     [*SOUND[:2], claim("d", 12, 13, token=900, revision=901, is_new_grant=True)], LOGS),
    ("the waiting", "nobody has asked", [*SOUND[:2], *SOUND[3:]], LOGS),
    ("the waiting", "whoever has asked came too late", changed(2, sent=17, done=17.5), LOGS),
    ("the floor", "a token is given out again", changed(4, token=2, revision=5), LOGS),
    ("the floor", "a token is below one of another key",
     [*SOUND, claim("e", 6, 7, key="other", token=1000, revision=9)], LOGS),
    ("the floor", "nothing is granted any more", SOUND[:4], LOGS),
    ("the proof", "the checkers are blind",
     [claim("b", 6, 7, lease=10, token=2, revision=3, is_new_grant=True), *SOUND[2:3], *SOUND[4:]], LOGS),
]


class InquestTests(unittest.TestCase):
    def findings(self, operations, logs=LOGS):
        return list(Inquest(operations, LEFT, DIED, REPLACED).findings(logs))

    def test_nothing_is_found_where_all_is_well(self):
        self.assertEqual([], self.findings(SOUND))

    def test_each_fault_is_found(self):
        for what, why, operations, logs in BROKEN:
            with self.subTest(why):
                self.assertIn(what, [finding.split(":")[0] for finding in self.findings(operations, logs)])

    def test_it_is_known_what_was_lost(self):
        inquest = Inquest([*SOUND, renew("a", 2, 2.5, token=1, revision=2)], LEFT, DIED, REPLACED)
        self.assertEqual([("a", 2), ("b", 3)], [(one.owner, one.revision) for one in inquest.lost])

    def test_a_read_that_goes_back_harms_nobody(self):
        self.assertEqual([], self.findings([*SOUND, read("a", 11.5, 11.6, token=1, revision=1)]))


if __name__ == "__main__":
    unittest.main()
