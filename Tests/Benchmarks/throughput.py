"""Requests a second, and how long one alone takes."""
import subprocess

from databases import QUESTION, UPDATE_ALONE, Galera, PostgreSQL, SQLite, repeat
from figures import Figures, in_turn, spread
from load import SHAPES, Load, a_second
from machine import Machine
from servers import Etcd, started

OWN_KEYS = "locks/#######"
DELAY_MICROSECONDS = 2_000
# What one request alone may take, beside the commit.
ROUND_TRIPS_MAX = 3


def measure(figures, columns, shapes, round_):
    for outstanding in shapes:
        for name, perform in in_turn(columns, round_):
            figures.add(outstanding, name, perform(outstanding))


def warm_up(columns):
    """From now on rows are there, and servers know those that their holders renew with them."""
    measure(Figures("warming up"), columns, [400], 0)


def both_loads(load, name, one_key, own_keys):
    """Columns for the same key again and again, and for a key of each request's own."""
    return {name: lambda n: load.one_key(one_key, n),
            f"{name}, own keys": lambda n: a_second(load.distinct(own_keys, n))}


def one_row_columns(machine, database, seconds):
    return {"UPDATE, COMMIT": lambda n: repeat(machine, database, database.UPDATE_AND_COMMIT, seconds)[0],
            "UPDATE alone": lambda n: repeat(machine, database, UPDATE_ALONE, seconds)[0]}


def put_columns(load, etcd, name, nodes=1):
    return both_loads(load, name, etcd.put(nodes=nodes), etcd.put(OWN_KEYS, nodes))


def acquire_columns(load, name, servers):
    """Each server has keys of its own, as holders stay with one."""
    one_key = [server.acquire(f"locks/{number}") for number, server in enumerate(servers)]
    own_keys = [server.acquire(f"{number}/{OWN_KEYS}") for number, server in enumerate(servers)]
    return both_loads(load, name, one_key, own_keys)


def print_one_row_ratios(figures, name, goals):
    for outstanding, goal in goals.items():
        for mine in (name, f"{name}, own keys"):
            for other in ("UPDATE, COMMIT", "UPDATE alone"):
                figures.ratio(f"{outstanding} outstanding, {mine} beside {other}", outstanding, mine, other, goal)


def postgresql(options):
    """PostgreSQL on this machine, beside one node of etcd and beside one row a commit."""
    with Machine() as machine:
        load, database, etcd = Load(machine, options.seconds), PostgreSQL(machine), Etcd(machine, 1)
        servers = started(machine, options.server, database.url())
        peers = put_columns(load, etcd, "etcd Put") | {"etcd Lock": lambda n: load.one_key([etcd.lock()], n)}
        columns = acquire_columns(load, "Acquire", servers) | peers
        one_row = one_row_columns(machine, database, options.seconds)
        figures = Figures("PostgreSQL on this machine and one node of etcd, a second")
        warm_up(columns)
        for round_ in range(options.rounds):
            measure(figures, columns | one_row, [1], round_)
            measure(figures, columns, [4, 64], round_)
            measure(figures, columns | one_row, [400], round_)
        figures.print()
        for n in (64, 400):
            figures.ratio(f"{n} outstanding, Acquire beside etcd Put", n, "Acquire", "etcd Put", "0.7, better 1.0")
            figures.ratio(f"{n} outstanding, the same with own keys", n, "Acquire, own keys", "etcd Put, own keys",
                          "0.7, better 1.0")
        print_one_row_ratios(figures, "Acquire", {400: "15", 1: "0.5"})
        return load.troubles + servers[0].complaints()


def galera(options):
    """Three nodes of Galera with a server on each, and with one server, beside three nodes of etcd."""
    with Machine() as machine:
        load, database, etcd = Load(machine, options.seconds), Galera(machine), Etcd(machine, 3)
        leader, everywhere = put_columns(load, etcd, "etcd's leader"), put_columns(load, etcd, "all of etcd", 3)
        one_row, complaints = one_row_columns(machine, database, options.seconds), []
        alone = Figures("three nodes of Galera with one server, and three of etcd, on this machine, a second")
        beside = Figures("the same with a server at each node")
        for round_ in range(options.rounds):
            first = started(machine, options.server, database.url(0), name=f"alone{round_}-")
            columns = acquire_columns(load, "one server", first) | leader
            warm_up(columns)
            measure(alone, columns | one_row, [1], round_)
            measure(alone, columns, [64, 400], round_)
            others = started(machine, options.server, database.url(1), database.url(2), name=f"beside{round_}-")
            columns = acquire_columns(load, "three servers", first + others) | everywhere | leader
            warm_up(columns)
            measure(beside, columns, [1, 64, 400], round_)
            for server in first + others:
                server.end()
                complaints += server.complaints()
        for figures, mine, peer in ((alone, "one server", "etcd's leader"), (beside, "three servers", "all of etcd")):
            figures.print()
            for n in (64, 400):
                for keys in ("", ", own keys"):
                    figures.ratio(f"{n} outstanding{keys}, {mine} beside {peer}", n, mine + keys, peer + keys, "1.0")
        print_one_row_ratios(alone, "one server", {1: "0.5"})
        return load.troubles + complaints


def delay(options):
    """A line of 2 ms in each direction between the server and its database."""
    complaints = []
    for kind in (PostgreSQL, Galera):
        with Machine() as machine:
            load, database = Load(machine, options.seconds), kind(machine)
            port = relayed(machine, database.ports[0])
            servers = started(machine, options.server, database.url(port=port))
            columns = acquire_columns(load, "Acquire", servers)
            figures, alone = Figures(f"{kind.name} behind a line of 2 ms each way, a second"), []
            warm_up(columns)
            for round_ in range(options.rounds):
                measure(figures, columns, [1, 400], round_)
                alone.append(latency_alone(machine, load, database, servers[0], port))
            figures.print()
            print("  to reach: 20,000 with 400 outstanding")
            for what, values in zip(("a question", "an UPDATE alone", "an Acquire"), zip(*alone)):
                print(f"  one outstanding, {what} takes {spread([1e3 * each for each in values], '{:.2f}')} ms")
            # What an UPDATE takes longer than a question is the commit.
            trips = [acquire / question for question, _, acquire in alone]
            beside = [(acquire - (update - question)) / question for question, update, acquire in alone]
            print(f"  that is {spread(trips, '{:.2f}')} round trips, and beside the commit "
                  f"{spread(beside, '{:.2f}')}; to reach: {ROUND_TRIPS_MAX}", flush=True)
            complaints += load.troubles + servers[0].complaints()
    return complaints


def relayed(machine, port):
    """The port of a relay in front of it."""
    relay = machine.start(machine.tool("relay"), port, DELAY_MICROSECONDS, stdout=subprocess.PIPE, text=True)
    return int(relay.stdout.readline())


def latency_alone(machine, load, database, server, port):
    """Seconds, by medians, over the line: a question, an UPDATE that commits, and an Acquire."""
    question, update = (repeat(machine, database, statements, load.seconds, port)[1]
                        for statements in (QUESTION, UPDATE_ALONE))
    [result] = load.distinct([server.acquire(OWN_KEYS)], 1)
    return question, update, result["p50"] / 1e6


def sqlite(options):
    """SQLite: an older server beside this one, each with a file of its own."""
    if not options.older:
        return ["left out: there is no --older to compare with"]
    programs, servers, columns = {"older": options.older, "newer": options.server}, [], {}
    with Machine() as machine:
        load = Load(machine, options.seconds)
        for name, program in programs.items():
            store = f"sqlite:{machine.make_folder(name)}/store.db"
            servers += started(machine, program, store, name=name)
            columns |= both_loads(load, name, [servers[-1].acquire()], [servers[-1].acquire(OWN_KEYS)])
        figures = Figures("SQLite, Acquire a second")
        warm_up(columns)
        for round_ in range(options.rounds):
            measure(figures, columns, SHAPES, round_)
        figures.print()
        for keys in ("", ", own keys"):
            for n in SHAPES:
                figures.ratio(f"{n} outstanding{keys}", n, f"newer{keys}", f"older{keys}", "1.0")
        return load.troubles + [line for server in servers for line in server.complaints()]
