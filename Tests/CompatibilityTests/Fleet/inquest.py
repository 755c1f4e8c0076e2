"""What clients saw of a database that has lost commits, and whether anybody was harmed by it."""
import functools
import math

import history
import linear
from report import describe

# What the log of a server says when it has noticed.
NOTICE = "gone back in time"
SHOWN_MAX = 5


class Inquest:
    """`left` is the token and revision of each key in the database that took the place of the one that died."""

    def __init__(self, operations, left, died, replaced):
        self.operations = sorted(operations, key=lambda operation: operation.sent)
        self.died, self.replaced = died, replaced
        holds = [one for one in self.operations if one.is_hold and one.token]
        self.before = [one for one in holds if one.done <= died]
        self.grants_after = [one for one in holds if one.sent >= replaced and one.is_new_grant]
        self.lost = [one for one in self.before if (one.token, one.revision) > left.get(one.key, (0, 0))]

    def two_holders(self):
        """Where two held a lock at once, and the first one was not told before. That a holder is told that
        its lock is lost, a reader shown what was before, and that revisions fall, is what losing commits
        means: nobody is harmed by it."""
        found, _ = history.check([one for one in self.operations if one.role != history.READ])
        return [one for one in found if one.promise == "mutex" and one.operations[-1].done
                < self.told.get((one.key, one.operations[0].owner), math.inf)]

    @functools.cached_property
    def told(self):
        """When a holder, by key and owner, was told first that it does not hold its lock."""
        told = {}
        for one in self.operations:
            if one.outcome == history.REFUSED and one.word in history.NOT_YOURS and one.role != history.CLAIM:
                told.setdefault((one.key, one.owner), one.done)
        return told

    def shared_tokens(self):
        """Pairs of requests by two owners who were given the same token of the same key."""
        first = {}
        holds = [one for one in self.operations if one.is_hold and one.token]
        pairs = [(first.setdefault((one.key, one.token), one), one) for one in holds]
        return [(one, other) for one, other in pairs if one.owner != other.owner]

    def waits(self):
        """The keys of which a lost lease was still running, while somebody else asked for them and was told
        that it does not get them."""
        running = {}
        for one in self.lost:
            running[one.key] = (one.owner, one.sent + (one.granted or one.lease or 0))
        for one in self.operations:
            owner, _ = running.get(one.key, (None, 0))
            if one.role == history.RELEASE and one.owner == owner and one.sent < self.replaced:
                del running[one.key]
        asked = [one for one in self.operations if one.role == history.CLAIM and one.sent > self.replaced
                 and one.outcome in (history.REFUSED, history.UNAVAILABLE) and one.key in running]
        return {one.key for one in asked
                if one.owner != running[one.key][0] and one.done < running[one.key][1]}

    def low_tokens(self):
        """Grants after it that have no greater token than any before, each with the one that has it."""
        highest = max(self.before, key=lambda one: one.token, default=None)
        return [(highest, one) for one in self.grants_after if highest and one.token <= highest.token]

    def findings(self, logs, begin=0):
        """Whatever was not as it has to be. `logs` are those of the servers, by their names."""
        yield from (f"the notice: {name} does not say that its database has {NOTICE}"
                    for name, log in logs.items() if NOTICE not in log)
        for one in self.two_holders()[:SHOWN_MAX]:
            yield "the waiting: " + "\n".join(describe(one, self.operations, begin))
        if not self.waits():
            yield "the waiting: nobody asked for a lost key in time"
        for one, other in self.shared_tokens()[:SHOWN_MAX]:
            yield f"the floor: {one.owner} and {other.owner} have token {one.token} of {one.key}"
        for highest, grant in self.low_tokens()[:SHOWN_MAX]:
            yield (f"the floor: {grant.key} was granted with token {grant.token} after {highest.key} had "
                   f"{highest.token}")
        if not self.grants_after:
            yield "the floor: nothing was granted any more"
        # Commits were lost, so there is something to be seen for those who look for it in every run of `plan`: for
        # one of them at least, since nobody reads before the holds are put back, and what is left looks in order.
        if not any(checker.check(self.operations)[0] for checker in (history, linear)):
            yield "the proof: neither history nor linear finds anything, though acknowledged commits are lost"

    def summary(self):
        keys = {one.key for one in self.lost}
        told = self.told.keys() & {(one.key, one.owner) for one in self.lost}
        return (f"{len(self.operations)} operations, {len(self.lost)} accepted requests for {len(keys)} keys "
                f"were lost, {len(self.waits())} of these keys were asked for in vain until the lost lease was "
                f"over, {len(told)} of the holders were told that they hold nothing, "
                f"{len(self.grants_after)} grants after it")
