"""What a run's clients saw, and what follows from it: a checker that knows nothing else.

Every time is of one monotonic clock. An operation took effect, if at all, between `sent` and `done`; one
that was never answered may take effect at any time after `sent`, as a suspended server may go on with it.

A *tenure* is what one owner did with one key. Every grant has an owner of its own, so a tenure is a grant,
but for what an unanswered claim may bring about after the owner has given up. Its holder relies on the lock
from `start`, when its claim was answered, until `end`: the time at which it sent the last request that was
accepted, plus that lease; or until it sent its release. Only in between is anything certain.
"""
import bisect
import collections
import dataclasses
import itertools
import json
import math

OK, REFUSED, UNAVAILABLE, UNANSWERED = "ok", "refused", "unavailable", "unanswered"
CLAIM, RENEW, RELEASE, READ = "claim", "renew", "release", "read"
# The client that asks every server in turn when nobody writes any more.
CLOSING = "closing"
GRANTING_CALLS = {"Lock", "Acquire"}
NOT_YOURS = {"lock-collision", "held-by-another", "not-the-holder"}
FORESEEN = NOT_YOURS | {"too-many-waiters", "superseded", "needs-newer-server"}
# What a grant starts with. Labels, "label:<name>", start as None: absent.
INITIAL = {"content": {"text": ""}}

Broken = collections.namedtuple("Broken", "promise key why operations")


@dataclasses.dataclass
class Operation:
    """One call about one key. A call about several is as many operations, of the same times."""
    client: str
    wire: int
    server: str
    call: str
    role: str
    key: str
    owner: str
    sent: float
    done: float
    outcome: str = OK
    word: str = ""  # Why it was refused.
    lease: float = None  # In seconds, as asked for. None: as it was.
    writes: dict = dataclasses.field(default_factory=dict)  # Field to value.
    named: int = None  # The token by which the request named the grant, in place of the owner.
    granted: float = None  # The lease in seconds as granted, where the wire shows it.
    token: int = None
    revision: int = None
    is_new_grant: bool = None  # False: renewed. None: the wire does not show it.
    found: dict = None  # "owner" and the fields that a read shows. None: nobody holds the key.

    @property
    def holder(self):
        return (self.found or {}).get("owner") if self.role == READ else self.owner

    @property
    def may_have_changed_it(self):
        return self.role != READ and self.outcome != REFUSED

    @property
    def is_read(self):
        return self.role == READ and self.outcome == OK

    @property
    def is_hold(self):
        return self.role in (CLAIM, RENEW) and self.outcome == OK


class Tenure:
    def __init__(self, operations):
        self.owner, self.operations = operations[0].owner, operations
        self.start = self.end = math.inf
        self.contradictions = []
        # An uncertain renewal may have shortened the lease, or may do so later.
        self.shortest_uncertain_lease = math.inf
        for operation in operations:
            self.follow(operation)

    def follow(self, operation):
        if operation.outcome == REFUSED and operation.word in NOT_YOURS and self.covers(operation):
            self.contradictions.append(operation)
        if operation.role == RELEASE:
            self.end = min(self.end, operation.sent)
        elif operation.is_hold:
            self.accept(operation)
        elif operation.outcome in (UNAVAILABLE, UNANSWERED) and operation.lease:
            self.shortest_uncertain_lease = min(self.shortest_uncertain_lease, operation.lease)
            self.end = min(self.end, operation.sent + operation.lease)

    def accept(self, operation):
        end = operation.sent + min(operation.granted or operation.lease, self.shortest_uncertain_lease)
        if self.start == math.inf:
            self.start, self.end = operation.done, end
        elif operation.done <= self.end:
            self.end = end
        # Else the holder had stopped by then, and this may be another grant.

    def covers(self, operation):
        """Whether the holder could rely on the lock all the while."""
        return self.start <= operation.sent and operation.done <= self.end

    def possible(self, field, read):
        """The values of `field` that `read` may show: that of the last write which was acknowledged before
        it began, of those under way or uncertain since, and of any that was never answered."""
        writes = [write for write in self.operations
                  if field in write.writes and write.outcome != REFUSED and write.sent < read.done]
        settled = [at for at, write in enumerate(writes) if write.outcome == OK and write.done <= read.sent]
        last = settled[-1] if settled else 0
        values = [] if settled else [INITIAL.get(field)]
        values += [write.writes[field] for write in writes[last:]]
        return values + [write.writes[field] for write in writes[:last] if write.outcome == UNANSWERED]

    def ever(self, field, read):
        """All that its owner has written, and what a grant starts with."""
        return [INITIAL.get(field)] + [
            write.writes[field] for write in self.operations
            if field in write.writes and write.outcome != REFUSED and write.sent < read.done]

    def fields(self, read):
        """What `read` can show: older wire versions show the content alone."""
        shown = read.found.keys() - {"owner"} | {"content"}
        return shown | {field for write in self.operations for field in write.writes if read.wire >= 3}


def exactly(value):
    """The same text for equal JSON. Numbers are doubles, and True is not 1."""
    return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True)


def json_object(text):
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def shows(field, written, found, wire):
    """Whether a reader of `wire` that sees `found` sees what was written."""
    if field != "content":
        return written == found
    text = found["text"]
    if "attributes" in written:
        attributes = written["attributes"]
        is_same = exactly(json_object(text)) == exactly(attributes)
    else:
        attributes = json_object(written["text"])
        is_same = text == written["text"]
    return is_same and (wire < 3 or exactly(found["attributes"]) == exactly(attributes))


class Checker:
    """Checks the operations of one key."""

    def __init__(self, key, operations):
        self.key, self.operations = key, sorted(operations, key=lambda operation: operation.sent)
        self.broken, self.checked = [], collections.Counter()
        by_owner = collections.defaultdict(list)
        for operation in self.operations:
            if operation.role != READ:
                by_owner[operation.owner].append(operation)
        self.tenures = {owner: Tenure(own) for owner, own in by_owner.items()}
        self.held = sorted((tenure for tenure in self.tenures.values() if tenure.start < tenure.end),
                           key=lambda tenure: tenure.start)
        self.starts = [tenure.start for tenure in self.held]

    def report(self, promise, why, *operations):
        self.broken.append(Broken(promise, self.key, why, operations))

    def holder_during(self, operation):
        """The tenure that covers the operation."""
        at = bisect.bisect_right(self.starts, operation.sent) - 1
        return self.held[at] if at >= 0 and self.held[at].covers(operation) else None

    def check(self):
        self.check_answers()
        self.check_mutex()
        self.check_fence()
        self.check_holders()
        self.check_origins()
        self.check_agreement()
        return self.broken, self.checked

    def check_answers(self):
        for operation in self.operations:
            if operation.outcome == REFUSED and operation.word not in FORESEEN:
                self.report("any-pair", f"an answer without a reason: {operation.word}", operation)
            if operation.is_hold and operation.lease and (operation.granted or math.inf) < operation.lease:
                self.report("never-early", f"a lease of {operation.granted} s was granted", operation)

    def check_mutex(self):
        for before, after in itertools.pairwise(self.held):
            self.checked["mutex"] += 1
            if after.start < before.end:
                self.report("mutex", f"{before.owner} and {after.owner} both held it for "
                            f"{min(before.end, after.end) - after.start:.3f} s",
                            before.operations[0], after.operations[0])

    def check_fence(self):
        numbered = [operation for operation in self.operations if operation.token]
        by_end = sorted(numbered, key=lambda operation: operation.done)
        first_of_token, latest, at = {}, None, 0
        for operation in numbered:
            self.checked["fence"] += 1
            first = first_of_token.setdefault(operation.token, operation)
            if first.holder != operation.holder:
                self.report("fence", f"two owners have token {operation.token}", first, operation)
            while by_end[at].done < operation.sent:
                latest = max(latest or by_end[at], by_end[at], key=lambda other: (other.token, other.revision))
                at += 1
            if latest and not self.follows(operation, latest):
                self.report("fence", f"token {operation.token}, revision {operation.revision} came after "
                            f"token {latest.token}, revision {latest.revision}", latest, operation)
        tokens = collections.defaultdict(dict)
        for operation in numbered:
            tenure = self.tenures.get(operation.holder)
            # The claim as well, which was granted before anything was certain.
            if tenure and (tenure.covers(operation) or operation.is_hold and operation.done == tenure.start):
                tokens[tenure.owner][operation.token] = operation
        for owner, seen in tokens.items():
            if len(seen) > 1:
                self.report("fence", f"{owner}'s grant has tokens {sorted(seen)}", *seen.values())

    @staticmethod
    def follows(operation, earlier):
        if operation.is_new_grant and operation.token <= earlier.token:
            return False
        numbers, before = (operation.token, operation.revision), (earlier.token, earlier.revision)
        return numbers > before if operation.is_hold else numbers >= before

    def check_holders(self):
        for tenure in self.held:
            for operation in tenure.contradictions:
                self.report("never-early", f"{tenure.owner} was told that it does not hold it", operation)
        for operation in self.operations:
            tenure = self.holder_during(operation)
            if tenure is None:
                continue
            if operation.is_hold and operation.owner != tenure.owner:
                self.report("mutex", f"granted while {tenure.owner} held it", tenure.operations[0], operation)
            elif operation.is_read and operation.holder != tenure.owner:
                shown = f"{operation.holder or 'nobody'} is shown while {tenure.owner} held it"
                self.report("never-early", shown, tenure.operations[0], operation)
            elif operation.is_read:
                self.check_fields(operation, tenure, tenure.possible)
                self.checked["reads of a holder"] += 1

    def check_fields(self, read, tenure, allowed):
        for field in sorted(tenure.fields(read)):
            found, values = read.found.get(field), allowed(field, read)
            if not any(shows(field, value, found, read.wire) for value in values):
                writes = [write for write in tenure.operations
                          if field in write.writes and write.sent < read.done]
                self.report("durable" if field == "content" else "shared-store",
                            f"{field} is {found}, not one of {values[-8:]}", *writes[-4:], read)

    def check_origins(self):
        """What was shown at any time was claimed, not yet released, and says what its owner wrote."""
        for read in self.operations:
            if not read.is_read or read.found is None:
                continue
            self.checked["reads of anybody"] += 1
            tenure = self.tenures.get(read.holder)
            claims = [] if tenure is None else [
                operation for operation in tenure.operations if operation.call in GRANTING_CALLS
                and operation.outcome != REFUSED and operation.sent < read.done]
            if not claims:
                self.report("mutex", f"{read.holder} is shown and never had a claim accepted", read)
                continue
            releases = [operation for operation in tenure.operations if operation.role == RELEASE
                        and operation.outcome == OK and operation.done < read.sent]
            if releases and all(operation.outcome != UNANSWERED for operation in claims):
                self.report("durable", "shown after its release was acknowledged", releases[0], read)
            if self.holder_during(read) is None:
                self.check_fields(read, tenure, tenure.ever)

    def check_agreement(self):
        """Servers of all versions show the same at rest."""
        reads = [read for read in self.operations if read.client == CLOSING and read.is_read
                 and self.holder_during(read) and read.found]
        for before, after in itertools.pairwise(reads):
            self.checked["closing reads"] += 1
            if before.found["content"]["text"] != after.found["content"]["text"]:
                self.report("shared-store", "servers at rest disagree", before, after)


def check(operations):
    """What is broken, and how much of what was checked."""
    by_key = collections.defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    broken, checked = [], collections.Counter()
    for key, own in sorted(by_key.items()):
        more, counts = Checker(key, own).check()
        broken += more
        checked += counts
    return broken, checked
