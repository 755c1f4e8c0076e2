#!/usr/bin/env python3
"""Shows that a run fails where it has to: whatever the checkers, the servers, or the database have to say.

    test_plan.py
"""
import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True

import clients
from databases import Cluster
from history import UNAVAILABLE
from runs import Run
from servers import Fleet
from test_history import claim, read, release, renew


def script(name):
    """A program without the ending of a module."""
    path = str(pathlib.Path(__file__).with_name(name))
    loader = importlib.machinery.SourceFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


plan, rehearsal = script("plan"), script("rehearsal")

SOUND = [claim("a", 0, 1, text="x", token=1, revision=1), read("a", 2, 3, "x", token=1, revision=1)]
BROKEN = [
    ("an acknowledged write is lost", [claim("a", 0, 1, text="x"), read("a", 2, 3, "")]),
    ("an acknowledged grant is lost", [claim("a", 0, 1), read(None, 2, 3)]),
    ("there are two holders", [claim("a", 0, 1), claim("b", 2, 3)]),
    ("a token falls", [claim("a", 0, 1, token=5, revision=5), release("a", 2, 3),
                       claim("b", 4, 5, token=4, revision=7)]),
    ("a read is stale", [claim("a", 0, 1, token=1, revision=1), renew("a", 2, 3, token=1, revision=2),
                         read("a", 4, 5, token=1, revision=1)]),
    # This one only an order tells of.
    ("nobody holds it, and a claim is refused",
     [read(None, 0, 1), claim("b", 2, 3, outcome="refused", word="held-by-another")]),
]


def options(**more):
    return argparse.Namespace(**{"keep": False, "seed": 1, "seconds": 60} | more)


class Store:
    slots = 0

    def __init__(self, verdict=()):
        self.found = list(verdict)

    def verdict(self):
        return self.found



class PlanTests(unittest.TestCase):
    def judge(self, operations, store=Store(), broken=(), troubles=()):
        fleet = Fleet({}, store, None)
        fleet.broken, fleet.troubles = list(broken), list(troubles)
        client = types.SimpleNamespace(history=operations)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()) as said:
            run = Run("plan", 1)
            run.folder = pathlib.Path(folder)
            code, figures = plan.judge(options(), run, fleet, [client], [], 0)
        self.assertIn("not everything held" if code else "everything held", said.getvalue())
        return code

    def test_what_is_sound_holds(self):
        self.assertEqual(0, self.judge(SOUND))

    def test_a_broken_history_is_a_broken_promise(self):
        for what, operations in BROKEN:
            with self.subTest(what):
                self.assertEqual(1, self.judge(operations))

    def test_so_is_what_servers_and_databases_have_to_say(self):
        self.assertEqual(1, self.judge(SOUND, broken=["s0 ended by itself"]))
        self.assertEqual(1, self.judge(SOUND, store=Store(["durable: the nodes do not have the same rows"])))

    def test_trouble_is_no_verdict_but_does_not_hide_one(self):
        self.assertEqual(2, self.judge(SOUND, troubles=["c0 is at a loss"]))
        self.assertEqual(1, self.judge(BROKEN[0][1], troubles=["c0 is at a loss"]))

    def test_nodes_have_to_agree(self):
        for contents, agree in (("same", True), ("other", False)):
            cluster = object.__new__(Cluster)
            cluster.fleet = types.SimpleNamespace(troubles=[])
            rows = [("db0", ["same"]), ("db1", [contents])]
            cluster.database = types.SimpleNamespace(CONTENTS="", rows=lambda _, rows=rows: rows)
            with self.subTest(contents):
                self.assertEqual(agree, cluster.verdict() == [])

    def test_who_accepts_nothing_is_found(self):
        client = types.SimpleNamespace(history=[
            claim("a", 1e12, 1e12, server="s0/1.0"),
            claim("a", 1e12, 1e12, server="s1/1.0", outcome=UNAVAILABLE), read("a", 1e12, 1e12, server="s2/1.0")])
        found = clients.who_accepts_nothing([client], ["s0", "s1", "s2"], seconds=0.15)
        self.assertEqual(["s1", "s2"], found)
        self.assertEqual([], clients.who_accepts_nothing([client], ["s0"], seconds=0.15))

    def test_an_hour_is_rounds_of_seeds_of_their_own(self):
        rounds = list(plan.rounds(options(seconds=3600)))
        self.assertEqual(3600, sum(each.seconds for each in rounds))
        self.assertEqual((1, 12), (rounds[0].seed, len({each.seed for each in rounds})))
        self.assertEqual([(1, 60)], [(each.seed, each.seconds) for each in plan.rounds(options())])


class RehearsalTests(unittest.TestCase):
    def verdict(self, acknowledged, *rows):
        with contextlib.redirect_stdout(io.StringIO()):
            return rehearsal.verdict(Run("rehearsal", 1), acknowledged, zip(("db0", "db1"), rows))

    def test_a_row_that_any_node_lacks_is_lost(self):
        self.assertEqual(0, self.verdict({"1", "2"}, ["1", "2"], ["1", "2", "3"]))
        self.assertEqual(1, self.verdict({"1", "2"}, ["1", "2"], ["1"]))

    def test_nothing_proves_nothing(self):
        self.assertEqual(1, self.verdict(set(), [], []))


if __name__ == "__main__":
    unittest.main()
