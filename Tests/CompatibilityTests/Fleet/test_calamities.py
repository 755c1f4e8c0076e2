#!/usr/bin/env python3
"""What can be said of the calamities without root: they follow from the seed, and can be performed.

    test_calamities.py
"""
import random
import sys
import types
import unittest
import unittest.mock

sys.dont_write_bytecode = True

import calamities
import databases
import galera
from network import Machine

SECONDS = 3600


class CalamityTests(unittest.TestCase):
    def test_they_follow_from_the_seed(self):
        for kind, database in databases.CLUSTERS.items():
            with self.subTest(kind):
                plans = [calamities.plan_for_database(random.Random(seed), SECONDS, database.CALAMITIES)
                         for seed in (1, 1, 2)]
                self.assertEqual(plans[0], plans[1])
                self.assertNotEqual(plans[0], plans[2])

    def test_all_of_them_come_and_can_be_performed(self):
        for kind, database in databases.CLUSTERS.items():
            planned = calamities.plan_for_database(random.Random(1), SECONDS, database.CALAMITIES)
            self.assertEqual(set(database.CALAMITIES), {calamity.action for calamity in planned})
            for action in database.CALAMITIES:
                with self.subTest(kind, action=action):
                    self.assertTrue(callable(getattr(database, action)))
        links = calamities.plan_for_links(random.Random(1), SECONDS, ["s0", "s1"], ["db0", "db1"])
        self.assertEqual(set(calamities.LINKS), {calamity.action for calamity in links})
        self.assertTrue(all(callable(getattr(Machine, action)) for action in calamities.LINKS))

    def test_one_begins_when_the_one_before_is_over(self):
        planned = calamities.plan_for_links(random.Random(1), SECONDS, ["s0"], ["db0"])
        for before, after in zip(planned, planned[1:]):
            self.assertGreater(after.at, before.at + before.seconds)

    def test_galera_is_steady_when_its_view_has_stayed_the_same(self):
        views = iter(["1,OPERATIONAL", "1,GATHER", "2,OPERATIONAL", "2,OPERATIONAL", "never asked"])
        cluster = object.__new__(galera.Galera)
        cluster.nodes = [types.SimpleNamespace(ask=lambda _: next(views))]
        cluster.wait_until_whole = lambda: None
        with unittest.mock.patch.object(galera, "STEADY_SECONDS", 0):
            cluster.wait_until_steady()
        self.assertEqual(["never asked"], list(views))

    def test_one_begins_only_after_a_while_of_peace(self):
        moments, fleet = [], types.SimpleNamespace(note=lambda *_: None, pasts=[], troubles=[])
        planned = [calamities.Calamity(0, "cut", (), 0, ())] * 3
        over = types.SimpleNamespace(wait=lambda seconds: moments.append(seconds))
        calamities.Line("links", planned, lambda _: None, fleet, over, False).run()
        self.assertTrue(all(seconds >= calamities.PAUSE_SECONDS[0] for seconds in moments), moments)
        self.assertEqual(["links: cut"] * 3, [past.kind for past in fleet.pasts])


if __name__ == "__main__":
    unittest.main()
