#!/usr/bin/env python3
"""Shows that what a run says of itself follows from what happened.

    test_figures.py
"""
import sys
import unittest

sys.dont_write_bytecode = True

from figures import Figures, Past, longest_pause, pauses
from history import REFUSED
from test_history import claim, read, renew

OPERATIONS = [claim("a", 0, 1), claim("b", 2, 3, outcome=REFUSED, word="held-by-another"), renew("a", 4, 5),
              read("a", 5, 6), claim("c", 11, 12), claim("d", 11, 20)]


class FiguresTests(unittest.TestCase):
    def test_a_pause_is_between_two_that_were_accepted(self):
        self.assertEqual(8, longest_pause(OPERATIONS))

    def test_a_calamity_is_over_with_the_next_grant(self):
        cases = [
            ("none within it: to the first one after it", (2, 3), [10]),
            ("some within it: the longest time without any", (0.5, 13), [11]),
            ("some within it, and the last one long before the next", (10, 15), [8]),
            ("nobody asked any more", (21, 22), []),
        ]
        for what, (begin, end), expected in cases:
            with self.subTest(what):
                self.assertEqual(expected, pauses(OPERATIONS, [Past("a kind", begin, end)])["a kind"])

    def test_those_of_several_runs_come_together(self):
        figures, whole = Figures(), Figures()
        figures.take(OPERATIONS, [Past("a kind", 2, 3)])
        for _ in range(2):
            whole.add(figures)
        self.assertEqual((12, 6, 2), tuple(whole.counts[what] for what in (
            "operations", "grants", "histories checked")))
        self.assertEqual([10, 10], whole.pauses["a kind"])
        self.assertIn("   2 times a kind: no grant for 10.0 s at most, 10.0 s in the median", whole.lines())


if __name__ == "__main__":
    unittest.main()
