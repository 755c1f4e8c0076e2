#!/usr/bin/env python3
"""Shows that the checker can fail: small histories of one key that it has to reject, by the name of the
broken promise, and sound ones beside them that it has to accept.

    test_history.py
"""
import sys
import unittest

sys.dont_write_bytecode = True

from history import (CLAIM, CLOSING, READ, REFUSED, RELEASE, RENEW, UNANSWERED, UNAVAILABLE, Operation, check)


def operation(role, owner, sent, done, wire=2, **more):
    calls = {CLAIM: "Acquire", RENEW: "Renew", RELEASE: "Release", READ: "Get"}
    details = {"client": owner, "server": "s0", "call": calls[role], "key": "k"} | more
    return Operation(wire=wire, role=role, owner=owner, sent=sent, done=done, **details)


def claim(owner, sent, done, lease=10, text="", **more):
    return operation(CLAIM, owner, sent, done, lease=lease, **{"writes": {"content": {"text": text}}} | more)


def renew(owner, sent, done, lease=10, **more):
    return operation(RENEW, owner, sent, done, lease=lease, **more)


def write(owner, sent, done, text, **more):
    return renew(owner, sent, done, writes={"content": {"text": text}}, **more)


def release(owner, sent, done, **more):
    return operation(RELEASE, owner, sent, done, **more)


def read(owner, sent, done, text="", **more):
    """Shows `owner` with `text`; None is nobody."""
    found = {"owner": owner, "content": {"text": text}} if owner else None
    return operation(READ, "", sent, done, found=found, **more)


def read_v3(owner, sent, done, text="", attributes=None, **newer):
    found = {"owner": owner, "content": {"text": text, "attributes": attributes}} | newer
    return operation(READ, "", sent, done, wire=3, found=found)


LABELLED = {"content": {"text": ""}, "label:team": "red", "granted_at": "2026-11-25T12:00:00Z"}
NEWER = {"label:team": "red", "granted_at": "2026-11-25T12:00:00Z"}
ATTRIBUTES = {"n": 1, "on": True}

BROKEN = [
    ("mutex", "two owners hold it", [claim("a", 0, 1), claim("b", 2, 3)]),
    ("mutex", "the second claim was sent before and granted within",
     [claim("a", 1, 2), claim("b", 0, 3, lease=20)]),
    ("mutex", "a renewal was accepted, so the lease goes on",
     [claim("a", 0, 1), renew("a", 5, 6), claim("b", 11, 12)]),
    ("mutex", "granted within, though too late to be relied on",
     [claim("a", 0, 1), claim("b", 2, 5, lease=1)]),
    ("mutex", "somebody is shown who never asked", [read("a", 0, 1)]),
    ("mutex", "somebody is shown who was refused",
     [claim("a", 0, 1, outcome=REFUSED, word="held-by-another"), read("a", 2, 3)]),
    ("fence", "a new grant has a lower token",
     [claim("a", 0, 1, lease=2, token=5, revision=5), claim("b", 4, 5, token=4, revision=6)]),
    ("fence", "two owners have the same token",
     [claim("a", 0, 1, lease=2, token=5, revision=5), claim("b", 4, 5, token=5, revision=6)]),
    ("fence", "a new grant of the same owner has its old token",
     [claim("a", 0, 1, lease=2, token=5, revision=5),
      claim("a", 4, 5, token=5, revision=6, is_new_grant=True)]),
    ("fence", "a renewal changes the token",
     [claim("a", 0, 1, token=5, revision=5), renew("a", 2, 3, token=6, revision=6)]),
    ("fence", "a token that v1 does not show changes between two reads",
     [claim("a", 0, 1, wire=1), read("a", 2, 3, token=5, revision=5), read("a", 4, 5, token=6, revision=6)]),
    ("fence", "a read goes back in time",
     [claim("a", 0, 1, token=5, revision=5), renew("a", 2, 3, token=5, revision=6),
      read("a", 4, 5, token=5, revision=5)]),
    ("fence", "a write does not count",
     [claim("a", 0, 1, token=5, revision=5), renew("a", 2, 3, token=5, revision=5)]),
    ("never-early", "nobody is shown within the lease", [claim("a", 0, 1), read(None, 2, 3)]),
    ("never-early", "another is shown within the lease",
     [claim("a", 0, 1), claim("b", 0, 9, outcome=UNANSWERED), read("b", 2, 3)]),
    ("never-early", "nobody is shown while a renewal is under way",
     [claim("a", 0, 1), renew("a", 2, 5), read(None, 3, 4)]),
    ("never-early", "the holder's renewal is refused",
     [claim("a", 0, 1), renew("a", 2, 3, outcome=REFUSED, word="not-the-holder")]),
    ("never-early", "the holder's release is refused",
     [claim("a", 0, 1), release("a", 2, 3, outcome=REFUSED, word="lock-collision")]),
    ("never-early", "a lease that was granted for longer than asked for ends",
     [claim("a", 0, 1, lease=1.5, granted=2), read(None, 1.6, 1.9)]),
    ("never-early", "a shorter lease is granted", [claim("a", 0, 1, lease=2, granted=1.5)]),
    ("never-early", "a repeated claim is granted and lost",
     [claim("a", 0, 1, outcome=UNANSWERED), claim("a", 2, 3), read(None, 4, 5)]),
    ("durable", "a value was never written", [claim("a", 0, 1, text="x"), read("a", 2, 3, "y")]),
    ("durable", "an acknowledged value is gone",
     [claim("a", 0, 1, text="x"), write("a", 2, 3, "y"), read("a", 4, 5, "x")]),
    ("durable", "an older value comes back",
     [claim("a", 0, 1, text="x"), write("a", 2, 3, "y"), read("a", 4, 5, "y"), read("a", 6, 7, "x")]),
    ("durable", "what an answer says may be done is done later",
     [claim("a", 0, 1, text="x"), write("a", 1, 2, "y", outcome=UNAVAILABLE), write("a", 3, 4, "z"),
      read("a", 5, 6, "y")]),
    ("durable", "an Acquire of v1 or v2 does not empty the value",
     [claim("a", 0, 1, text="x"), claim("a", 2, 3), read("a", 4, 5, "x")]),
    ("durable", "a release is undone",
     [claim("a", 0, 1), release("a", 2, 3), read("a", 4, 5)]),
    ("durable", "attributes are changed",
     [claim("a", 0, 1, wire=3, writes={"content": {"attributes": ATTRIBUTES}}),
      read("a", 2, 3, '{"n": 1, "on": 1}')]),
    ("durable", "a text of JSON is written anew",
     [claim("a", 0, 1, text='{"n": 1}'), read("a", 2, 3, '{"n":1}')]),
    ("durable", "a text of JSON has no attributes",
     [claim("a", 0, 1, text='{"n": 1}'), read_v3("a", 2, 3, '{"n": 1}')]),
    ("shared-store", "an older write takes a label off",
     [claim("a", 0, 1, wire=3, writes=LABELLED), write("a", 2, 3, "x"),
      read_v3("a", 4, 5, "x", granted_at=LABELLED["granted_at"])]),
    ("shared-store", "an older write takes granted_at off",
     [claim("a", 0, 1, wire=3, writes=LABELLED), write("a", 2, 3, "x"),
      read_v3("a", 4, 5, "x", **{"label:team": "red"})]),
    ("shared-store", "a label comes back",
     [claim("a", 0, 1, wire=3, writes=LABELLED), renew("a", 2, 3, wire=3, writes={"label:team": None}),
      read_v3("a", 4, 5, **NEWER)]),
    ("shared-store", "a later grant shows an earlier one's labels",
     [claim("a", 0, 1, wire=3, writes=LABELLED), release("a", 2, 3), claim("b", 4, 5),
      read_v3("b", 6, 7, **NEWER)]),
    ("shared-store", "so does one of which the claim was not answered",
     [claim("a", 0, 1, wire=3, writes=LABELLED), release("a", 2, 3), claim("b", 4, 5, outcome=UNANSWERED),
      read_v3("b", 6, 7, **NEWER)]),
    ("shared-store", "servers at rest disagree",
     [claim("a", 0, 1, text="x"), write("a", 2, 3, "y", outcome=UNANSWERED),
      read("a", 4, 5, "x", client=CLOSING), read("a", 6, 7, "y", client=CLOSING)]),
    ("any-pair", "an error without a reason", [claim("a", 0, 1, outcome=REFUSED, word="data_loss")]),
]

SOUND = [
    ("one after the other", [claim("a", 0, 1, lease=2), claim("b", 2.5, 3)]),
    ("a claim that is sent before the end of the lease and granted after it",
     [claim("a", 0, 1, lease=2), claim("b", 1.5, 2.5)]),
    ("a claim that is granted while a release is under way",
     [claim("a", 0, 1), release("a", 2, 5), claim("b", 3, 4)]),
    ("a release that was not answered",
     [claim("a", 0, 1), release("a", 2, 5, outcome=UNANSWERED), read(None, 3, 4)]),
    ("a claim that was answered after its lease",
     [claim("a", 0, 6, lease=2), claim("b", 2.5, 4), read("b", 5, 7)]),
    ("a renewal that was answered after the lease",
     [claim("a", 0, 1, lease=2), renew("a", 1.5, 4, call="Lock"), claim("b", 2.5, 2.8, lease=1),
      read("a", 6, 7)]),
    ("a read that began before the claim", [read(None, 0, 3), claim("a", 1, 2)]),
    ("a read that began before the release was answered",
     [claim("a", 0, 1), release("a", 2, 5), read("a", 3, 6)]),
    ("a refusal that came after the lease",
     [claim("a", 0, 1, lease=2), renew("a", 1.5, 2.5, outcome=REFUSED, word="not-the-holder")]),
    ("a renewal for less", [claim("a", 0, 1), renew("a", 2, 3, lease=2), claim("b", 4.5, 5)]),
    ("a renewal for less, without an answer",
     [claim("a", 0, 1), renew("a", 2, 3, lease=2, outcome=UNANSWERED), claim("b", 4.5, 5)]),
    ("one that is done after a later one",
     [claim("a", 0, 1), renew("a", 2, 3, lease=1, outcome=UNANSWERED), renew("a", 2.5, 2.9), claim("b", 4, 5)]),
    ("a lock that is held for longer than its lease",
     [claim("a", 0, 1, lease=2), claim("b", 4, 5, outcome=REFUSED, word="held-by-another"), read("a", 6, 7)]),
    ("an unanswered claim that is done much later, and after a release",
     [claim("a", 0, 1, outcome=UNANSWERED), claim("a", 2, 3, token=1, revision=1), release("a", 4, 5),
      claim("b", 6, 7, lease=1, token=2, revision=3), read("a", 9, 10, token=3, revision=5)]),
    ("an unanswered claim that its repetition renews",
     [claim("a", 0, 1, outcome=UNANSWERED), read("a", 0.4, 0.5, token=7, revision=1),
      claim("a", 2, 3, token=7, revision=2, is_new_grant=False)]),
    ("a read under way sees the token before, or the one after",
     [claim("a", 0, 1, lease=1, token=5, revision=5), read("a", 2, 5, token=5, revision=5),
      read("b", 2, 5, token=6, revision=7), claim("b", 3, 4, token=6, revision=7)]),
    ("a read under way sees the value before, or the one after",
     [claim("a", 0, 1, text="x"), read("a", 2, 5, "x"), read("a", 2, 5, "y"), write("a", 3, 4, "y")]),
    ("an uncertain value, and the one before it",
     [claim("a", 0, 1, text="x"), write("a", 2, 3, "y", outcome=UNAVAILABLE), read("a", 4, 5, "x"),
      read("a", 4, 5, "y")]),
    ("an unanswered value that is written after a later one",
     [claim("a", 0, 1, text="x"), write("a", 2, 3, "y", outcome=UNANSWERED), write("a", 4, 5, "z"),
      read("a", 6, 7, "z"), read("a", 8, 9, "y")]),
    ("attributes, in the words of all versions",
     [claim("a", 0, 1, wire=3, writes={"content": {"attributes": ATTRIBUTES}}),
      read("a", 2, 3, '{"on":true,"n":1.0}'), read_v3("a", 4, 5, '{"on":true,"n":1}', {"n": 1.0, "on": True})]),
    ("a text of JSON, in the words of all versions",
     [claim("a", 0, 1, text='{ "n": 1.0 }'), read("a", 2, 3, '{ "n": 1.0 }'),
      read_v3("a", 4, 5, '{ "n": 1.0 }', {"n": 1})]),
    ("labels that outlive older writes, and not their grant",
     [claim("a", 0, 1, wire=3, writes=LABELLED), write("a", 2, 3, "x"), read_v3("a", 4, 5, "x", **NEWER),
      release("a", 6, 7), claim("b", 8, 9), read_v3("b", 10, 11)]),
    ("a label under way",
     [claim("a", 0, 1, wire=3, writes=LABELLED), renew("a", 2, 5, wire=3, writes={"label:team": None}),
      read_v3("a", 3, 4, **NEWER), read_v3("a", 3, 4, granted_at=LABELLED["granted_at"])]),
    ("a newer server is needed",
     [claim("a", 0, 1), read(None, 2, 3, outcome=REFUSED, word="needs-newer-server")]),
    ("servers at rest agree", [claim("a", 0, 1, text="x"), read("a", 2, 3, "x", client=CLOSING),
                               read("a", 4, 5, "x", client=CLOSING)]),
]


class HistoryTests(unittest.TestCase):
    def test_broken_histories_are_rejected(self):
        for promise, what, operations in BROKEN:
            with self.subTest(what):
                self.assertIn(promise, [broken.promise for broken in check(operations)[0]])

    def test_sound_histories_are_accepted(self):
        for what, operations in SOUND:
            with self.subTest(what):
                self.assertEqual([], check(operations)[0])


if __name__ == "__main__":
    unittest.main()
