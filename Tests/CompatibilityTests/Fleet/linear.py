"""Whether the operations of a key can be put into one order: a second opinion on what a run's clients saw.

history.py looks for what must never be seen. This looks for an order of all operations, each at a moment
between `sent` and `done`, in which one lock, kept by one careful clerk, would have given the same answers.
Where there is none, something is broken, whether or not anybody thought of it before. It shares no code with
history.py but the operations themselves.

How (Wing and Gong; Lowe's "just in time"): the answers are gone through in the order in which they came. At
each, there is a set of *configurations*: what the key may be like, and which of the requests that are still
on their way are done. A configuration survives an answer if the request can be done by then, after others
that are on their way. None survives: there is no order.

What nobody asked for, or what nobody knows, happens only where an answer needs it. Anything else can wait
until it is needed, so no order is missed:
- a lease ends, from the time on at which the last accepted request for it was sent, plus the lease;
- a request that was not answered, or "unavailable", is done, at any time after it was sent, or never. A grant
  that could not be delivered may be taken back at once.
Of the configurations only those are kept that allow something which no other one allows. Whose name nobody
hears any more is like anybody: of such owners' requests only the number counts that are left.

Tokens grow with each grant and stay as they are in between; revisions grow with each write of a grant. Older
wire versions do not show them: then only a bound is known, until somebody sees them.
"""
import collections

GRANTING = ("Lock", "Acquire")
HELD_BY_OTHERS = ("lock-collision", "held-by-another")
NOT_HELD_BY_IT = "not-the-holder"
# A history that allows so many different pasts cannot be judged; that is said, not passed over.
CONFIGURATIONS_MAX = 100_000
PASTS_SHOWN_MAX = 4

Violation = collections.namedtuple("Violation", "promise key why operations")
# `token` is the latest grant's, or, if not `is_exact`, the least that it can be; `revision` always is that.
# `lease` is in seconds; from `deadline` on it may end.
Lock = collections.namedtuple("Lock", "holder token is_exact revision lease deadline")
# `done` are requests on their way that have been done, `used` unanswered ones that were: as sets of bits.
Configuration = collections.namedtuple("Configuration", "lock done used")

# What matters of a configuration; `claims` is how many it has used of those that are all alike.
Past = collections.namedtuple("Past", "holder done used claims token is_exact revision lease deadline")

SOMEBODY = object()
NEW = Lock(None, 0, True, 0, 0, 0)


class Undecided(Exception):
    """There are too many pasts to look at."""


def freed(lock):
    return Lock(None, lock.token, lock.is_exact, lock.revision + 1, 0, 0)


def seen(lock, operation, is_write):
    """The lock after somebody saw the grant that it has, or None where it has another one."""
    token, revision, least = operation.token, operation.revision, lock.revision + is_write
    if token is None:
        return lock._replace(revision=least)
    if revision < least or (token != lock.token if lock.is_exact else token < lock.token):
        return None
    return lock._replace(token=token, is_exact=True, revision=revision)


def granted(lock, operation):
    """The free lock after a new grant, or None where its token would not be a greater one."""
    if operation.token is None:
        lock = lock._replace(token=lock.token + 1, is_exact=False, revision=0)
    elif operation.token > lock.token:
        lock = lock._replace(token=operation.token, is_exact=True, revision=operation.revision)
    else:
        return None
    return lock._replace(holder=operation.owner)


def after_hold(lock, operation):
    if lock.holder is None and operation.call in GRANTING and operation.is_new_grant is not False:
        after = granted(lock, operation)
    elif lock.holder == operation.owner and operation.is_new_grant is not True and names_it(lock, operation):
        after = seen(lock, operation, is_write=True)
    else:
        return None
    lease = operation.granted or operation.lease or lock.lease
    return after and after._replace(lease=lease, deadline=operation.sent + lease)


def after_release(lock, operation):
    # What nobody holds can be released by anybody.
    if lock.holder is None:
        return lock
    return freed(lock) if lock.holder == operation.owner and names_it(lock, operation) else None


def after_read(lock, operation):
    if operation.found is None:
        return lock if lock.holder is None else None
    return seen(lock, operation, is_write=False) if lock.holder == operation.found["owner"] else None


def after_refusal(lock, operation):
    if operation.named is None:
        others = (None, operation.owner) if operation.word in HELD_BY_OTHERS or operation.role == "release" \
            else (operation.owner,)
        return lock if lock.holder not in others else None
    is_latest = lock.is_exact and lock.token == operation.named
    is_over = lock.holder is None and operation.role == "renew"
    return lock if is_over or not is_latest else None


def names_it(lock, operation):
    """Whether the grant that a request names, if it names one, may be the lock's."""
    return operation.named in (None, lock.token) or not lock.is_exact and operation.named > lock.token


def is_certain(operation):
    """Whether something follows from the answer."""
    if operation.outcome == "refused":
        return operation.word in HELD_BY_OTHERS or operation.word == NOT_HELD_BY_IT
    return operation.outcome == "ok"


def effect_of(operation):
    if operation.outcome == "refused":
        return after_refusal
    return {"release": after_release, "read": after_read}.get(operation.role, after_hold)


class Search:
    """The search for an order of one key's operations."""

    def __init__(self, operations):
        self.certain = sorted((one for one in operations if is_certain(one)), key=lambda one: one.done)
        self.coming = sorted(self.certain, key=lambda one: one.sent)
        self.effects = {id(one): effect_of(one) for one in self.certain}
        self.bits = {id(one): 1 << number for number, one in enumerate(operations)}
        self.unknown_by = collections.defaultdict(list)
        self.unknown = sorted((one for one in operations if one.role != "read"
                               and one.outcome in ("unavailable", "unanswered")), key=lambda one: one.sent)
        for one in self.unknown:
            self.unknown_by[one.owner].append(one)
        # When an owner is heard of for the last time.
        self.last_heard = collections.defaultdict(float)
        for one in self.certain:
            for owner in (one.owner, (one.found or {}).get("owner")):
                self.last_heard[owner] = max(self.last_heard[owner], one.done)
        self.configurations, self.on_their_way, self.now = {Configuration(NEW, 0, 0)}, [], 0
        # The unanswered requests of owners of whom nobody hears any more, and those that take the lock of them.
        self.fading = sorted(self.unknown, key=lambda one: self.last_heard[one.owner], reverse=True)
        self.nobodys, self.claims_of_nobody = 0, 0

    def run(self):
        """The first answer that fits no order, with the pasts that there were before it; or None."""
        come = 0
        for answered in self.certain:
            self.now = answered.done
            while come < len(self.coming) and self.coming[come].sent <= self.now:
                self.on_their_way.append(self.coming[come])
                come += 1
            after = self.answer(answered)
            if not after:
                return answered, self.configurations
            self.on_their_way.remove(answered)
            self.configurations = self.without_dominated(after)
        return None

    def forget_owners(self):
        """Notes whose name nobody will hear any more."""
        while self.fading and self.last_heard[self.fading[-1].owner] < self.now:
            request = self.fading.pop()
            self.nobodys |= self.bits[id(request)]
            self.claims_of_nobody |= self.bits[id(request)] * (request.call in GRANTING)

    def without_dominated(self, configurations):
        """Without those that allow nothing that another one does not allow as well."""
        self.forget_owners()
        alike = collections.defaultdict(list)
        for one in configurations:
            past = self.past(one)
            alike[past.holder, past.done].append((past, one))
        kept = set()
        for group in alike.values():
            group.sort(key=lambda pair: (pair[0].used.bit_count(), *pair[0][3:]))
            best = []
            for past, one in group:
                if not any(dominates(other, past) for other in best):
                    best.append(past)
                    kept.add(one)
        return kept

    def past(self, one):
        """What matters of a configuration from now on. Of those whose name nobody will hear it does not matter
        who has the lock, but for a lease that has still to end, nor whose requests were used, but how many."""
        lock, own = one.lock, 0
        if lock.holder is not None and self.last_heard[lock.holder] < self.now:
            if lock.deadline <= self.now:
                lock = lock._replace(holder=SOMEBODY, lease=0, deadline=0)
            else:
                own = sum(self.bits[id(request)] for request in self.unknown_by[lock.holder])
        return Past(lock.holder, one.done, one.used & (~self.nobodys | own),
                    (one.used & self.claims_of_nobody & ~own).bit_count(), *lock[1:])

    def answer(self, answered):
        """The configurations in which `answered` is done, and no longer on its way."""
        bit, found = self.bits[id(answered)], set()
        looked_at, to_look_at = set(), [self.settled(one) for one in self.configurations]
        while to_look_at:
            configuration = to_look_at.pop()
            if configuration in looked_at:
                continue
            looked_at.add(configuration)
            if len(looked_at) > CONFIGURATIONS_MAX:
                raise Undecided
            if configuration.done & bit:
                found.add(configuration._replace(done=configuration.done & ~bit))
                continue
            for operation in self.on_their_way:
                if not configuration.done & self.bits[id(operation)]:
                    to_look_at += map(self.settled, self.having_done(configuration, operation))
        return found

    def settled(self, configuration):
        """Having done what is on its way and can only look: where it fits, there is no better moment."""
        done = configuration.done
        for operation in self.on_their_way:
            bit, effect = self.bits[id(operation)], self.effects[id(operation)]
            if not done & bit and effect in (after_read, after_refusal):
                if effect(configuration.lock, operation) == configuration.lock:
                    done |= bit
        return configuration._replace(done=done)

    def having_done(self, configuration, operation):
        """The configurations after `operation`, right away or after what it needs."""
        effect, done = self.effects[id(operation)], configuration.done | self.bits[id(operation)]
        lock = effect(configuration.lock, operation)
        if lock:
            yield Configuration(lock, done, configuration.used)
        # Where v1 does not say which: a renewal, or the next grant.
        is_ambiguous = effect is after_hold and operation.is_new_grant is None and operation.call in GRANTING
        if not lock or is_ambiguous:
            for prepared in self.prepared(configuration, operation):
                if lock := effect(prepared.lock, operation):
                    yield Configuration(lock, done, prepared.used)

    def prepared(self, configuration, operation):
        """What the lock may have become before `operation` without an answer to anybody: free, or held by
        whoever the answer speaks of."""
        free = [configuration] if configuration.lock.holder is None else list(self.ended(configuration))
        yield from free
        for one in free:
            yield from self.taken(one, operation)

    def ended(self, configuration):
        lock, used = configuration.lock, configuration.used
        if lock.deadline <= self.now:
            yield configuration._replace(lock=freed(lock))
        for request in self.unknown_by[lock.holder]:
            bit = self.bits[id(request)]
            if request.sent > self.now or used & bit or not names_it(lock, request):
                continue
            is_release, lease = request.role == "release", request.lease or lock.lease
            if is_release or request.sent + lease <= self.now < lock.deadline:
                yield Configuration(freed(lock), configuration.done, used | bit)

    def taken(self, configuration, operation):
        if operation.outcome == "refused":
            # Who names a grant may hold a later one.
            requests, excluded = self.unknown, operation.owner if operation.named is None else None
        else:
            requests, excluded = self.unknown_by[operation.holder], None
        is_one_like_it_taken = False
        for request in requests:
            bit = self.bits[id(request)]
            if request.sent > self.now or request.call not in GRANTING or configuration.used & bit \
                    or request.owner == excluded:
                continue
            # Those of whom nobody hears any more are all alike.
            is_unheard_of = self.last_heard[request.owner] < self.now
            if is_unheard_of and is_one_like_it_taken:
                continue
            is_one_like_it_taken |= is_unheard_of
            lock = granted(configuration.lock, request)
            lock = lock._replace(lease=request.lease, deadline=request.sent)
            yield Configuration(lock, configuration.done, configuration.used | bit)


def dominates(other, one):
    # Where the token is not known, it may be any from the bound on.
    allows_token = other.token == one.token if other.is_exact and one.is_exact else \
        not other.is_exact and other.token <= one.token
    return (allows_token and other.used & ~one.used == 0 and other.claims <= one.claims
            and other.deadline <= one.deadline and other.lease <= one.lease and other.revision <= one.revision)


def describe(configuration, moment):
    lock = configuration.lock
    token = f"token {lock.token}" + ("" if lock.is_exact else " or more")
    return f"free after {token}" if lock.holder is None else \
        f"held by {lock.holder} with {token}, revision {lock.revision} or more, for another " \
        f"{lock.deadline - moment:.3f} s when this was sent"


def check(operations):
    """What fits no order, what could not be decided, and how much was looked at."""
    by_key = collections.defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    violations, undecided, checked = [], [], collections.Counter()
    for key, own in sorted(by_key.items()):
        search = Search(own)
        try:
            found = search.run()
        except Undecided:
            undecided.append(f"whether there is an order of the operations of {key}")
            continue
        checked["ordered operations"] += len(search.certain)
        if found:
            operation, pasts = found
            likeliest = sorted(pasts, key=lambda one: one.used.bit_count())[:PASTS_SHOWN_MAX]
            before = "; or ".join(dict.fromkeys(describe(one, operation.sent) for one in likeliest))
            why = f"fits no order: before this answer, it was {before}"
            violations.append(Violation("linearizable", key, why, [operation]))
    return violations, undecided, checked
