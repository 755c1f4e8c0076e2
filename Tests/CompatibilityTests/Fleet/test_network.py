#!/usr/bin/env python3
"""Shows that a link which is cut carries nothing, that a slow one is slow, and that mending mends: else fleets
on such a network would hold without having been tried. Takes root; without it, it says so and does nothing.

    test_network.py
"""
import statistics
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True

import network

PACKETS = 20
# Prints the round trips in milliseconds of packets to an address, and -1 for those of which nothing was heard.
ASK = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
    asker.settimeout(0.5)
    for number in range(int(sys.argv[2])):
        sent = time.monotonic()
        asker.sendto(b"%d" % number, (sys.argv[1], 7))
        try:
            while asker.recv(9) != b"%d" % number:
                pass
            print((time.monotonic() - sent) * 1000)
        except TimeoutError:
            print(-1)
"""
ANSWER = """
import socket
answerer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
answerer.bind(("", 7))
print("ready", flush=True)
while True:
    answerer.sendto(*answerer.recvfrom(9))
"""


@unittest.skipIf(network.what_is_missing(), network.what_is_missing())
class NetworkTests(unittest.TestCase):
    def setUp(self):
        self.network = network.Network()
        self.addCleanup(self.network.close)
        self.one, self.other = self.network.add("a0"), self.network.add("b0")
        for machine in (self.one, self.other):
            answerer = subprocess.Popen([*machine.prefix, sys.executable, "-c", ANSWER], stdout=subprocess.PIPE)
            self.addCleanup(answerer.communicate)
            self.addCleanup(machine.kill)
            answerer.stdout.readline()

    def round_trips(self, one, other, packets=3):
        asked = subprocess.run([*one.prefix, sys.executable, "-c", ASK, other.address, str(packets)],
                               capture_output=True, text=True, check=True)
        return [float(line) for line in asked.stdout.split()]

    def assert_silence(self):
        for one, other in ((self.one, self.other), (self.other, self.one)):
            self.assertEqual([-1] * 3, self.round_trips(one, other))

    def assert_all_is_well(self):
        for one, other in ((self.one, self.other), (self.other, self.one)):
            self.assertTrue(all(trip >= 0 for trip in self.round_trips(one, other)))

    def test_a_cut_link_carries_nothing_until_it_is_mended(self):
        self.assert_all_is_well()
        for cut in (self.one.cut, self.one.stop_hearing, self.one.stop_reaching):
            with self.subTest(cut.__name__):
                cut(self.other)
                self.assert_silence()
                self.one.mend(self.other)
                self.assert_all_is_well()

    def test_a_slow_link_is_slow(self):
        self.one.slow_down(self.other, 0.05, 0)
        trips = self.round_trips(self.one, self.other)
        self.assertTrue(all(trip >= 50 for trip in trips), trips)
        self.one.mend(self.other)
        self.assertLess(statistics.median(self.round_trips(self.one, self.other)), 50)

    def test_a_lossy_link_loses_some(self):
        self.one.slow_down(self.other, 0, 50)
        lost = self.round_trips(self.one, self.other, PACKETS).count(-1)
        self.assertTrue(0 < lost < PACKETS, lost)

    def test_who_is_killed_says_nothing(self):
        self.other.kill()
        self.assertEqual([-1] * 3, self.round_trips(self.one, self.other))

    def test_nothing_is_left_behind(self):
        self.doCleanups()
        self.assertNotIn(self.network.name, network.run("ip", "netns", "list"))


if __name__ == "__main__":
    unittest.main()
