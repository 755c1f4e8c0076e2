"""Machines on one network, as far as programs can tell: namespaces whose links can be cut, slowed and mended.

Needs root and Linux. Names and addresses carry the number of the process, so that runs do not meet. What was
left behind by a run whose process is gone is taken away by the next one, or by

    network.py

Everything of a run lives in its namespaces, so there is nothing left of it when they are gone.
"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

COMMAND_SECONDS_MAX = 60
ENDING_SECONDS_MAX = 60
RELAY = pathlib.Path(__file__).with_name("relay.py")
# The bridge drops what goes from one address to another, so that neither end notices anything: who drops what
# it sends itself is told so.
FILTER = "table bridge %s { chain forward { type filter hook forward priority 0; }; }"
PAIRS = """
add set bridge {table} {name} {{ type ipv4_addr . ipv4_addr; }}
add rule bridge {table} forward ip saddr . ip daddr @{name} drop
"""


class Missing(Exception):
    """What a network of one's own needs is not here."""


def run(*command, text=None):
    done = subprocess.run(
        command, input=text, text=True, capture_output=True, timeout=COMMAND_SECONDS_MAX, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def what_is_missing():
    """Why there can be no network of one's own here, or None."""
    if os.geteuid() != 0:
        return "it takes root"
    name = f"lk{os.getpid()}x0"
    try:
        run("ip", "netns", "add", name)
        try:
            run("ip", "netns", "exec", name, "nft", "-f", "-", text=FILTER % name)
        finally:
            run("ip", "netns", "del", name)
    except (OSError, RuntimeError) as error:
        return f"namespaces and nft do not work: {error}"
    return None


class Machine:
    """A namespace with one link to the network. Programs in it are started with `prefix` before them. What it
    is told to do to a link lasts until it mends it, whatever others do to the same link."""

    def __init__(self, network, name, address):
        self.network, self.name, self.address = network, name, address
        self.namespace, self.relays = f"{network.name}-{name}", {}
        self.prefix = ["ip", "netns", "exec", self.namespace]
        link = f"{network.name}{name}"
        run("ip", "netns", "add", self.namespace)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.namespace)
        run("ip", "link", "set", link, "master", network.bridge, "up")
        for command in (("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "lo", "up"),
                        ("link", "set", "eth0", "up")):
            run("ip", "-n", self.namespace, *command)
        run("nft", "-f", "-", text=PAIRS.format(table=network.name, name=name))

    def __str__(self):
        return self.name

    def set_pair(self, action, one, other):
        pair = f"{{ {one.address} . {other.address} }}"
        run("nft", action, "element", "bridge", self.network.name, self.name, pair)

    def stop_hearing(self, other):
        """What the other one sends does not arrive. What this one sends does."""
        self.set_pair("add", other, self)

    def stop_reaching(self, other):
        """What this one sends does not arrive at the other one."""
        self.set_pair("add", self, other)

    def cut(self, other):
        self.stop_hearing(other)
        self.stop_reaching(other)

    def slow_down(self, other, seconds, loss):
        """What goes to the other one takes a while longer, and of a hundred packets some are lost."""
        self.relays[other.name] = subprocess.Popen(
            [*self.prefix, sys.executable, RELAY, other.address, str(seconds), str(loss)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if not self.relays[other.name].stdout.readline():
            raise RuntimeError(f"the relay from {self} to {other} does not start")

    def mend(self, other):
        """The link to the other one is as it was."""
        for pair in ((self, other), (other, self)):
            # What is not in a set cannot be taken out of it.
            self.set_pair("add", *pair)
            self.set_pair("delete", *pair)
        if relay := self.relays.pop(other.name, None):
            relay.kill()
            relay.communicate()

    def signal(self, number):
        """To all that runs on it, and to what that has started meanwhile."""
        signal_all(self.namespace, number, {relay.pid for relay in self.relays.values()})

    def kill(self):
        kill_all(self.namespace, {relay.pid for relay in self.relays.values()})


class Network:
    """Machines by name, on one bridge. The first address is that of whoever asks from outside."""

    def __init__(self):
        number = os.getpid()
        self.name, self.machines = f"lk{number}", {}
        # Nothing is waited for any more.
        self.is_ending = threading.Event()
        self.bridge = f"{self.name}br"
        self.prefix = f"10.{128 + number // 250 % 120}.{number % 250}"
        clear_away()
        try:
            run("ip", "link", "add", self.bridge, "type", "bridge")
            run("ip", "addr", "add", f"{self.prefix}.1/24", "dev", self.bridge)
            run("ip", "link", "set", self.bridge, "up")
            run("nft", "-f", "-", text=FILTER % self.name)
        except BaseException:
            clear_away()
            raise

    def add(self, name):
        machine = Machine(self, name, f"{self.prefix}.{10 + len(self.machines)}")
        self.machines[name] = machine
        return machine

    def mend(self):
        """All links are as they were."""
        for machine in self.machines.values():
            for other in self.machines.values():
                machine.mend(other)

    def kill(self):
        for machine in self.machines.values():
            machine.kill()

    def close(self):
        self.kill()
        self.mend()
        clear_away()


def signal_all(namespace, number, spared=frozenset()):
    reached = set(spared)
    while new := processes(namespace) - reached:
        for pid in new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        reached |= new


def kill_all(namespace, spared=frozenset()):
    until = time.monotonic() + ENDING_SECONDS_MAX
    while left := processes(namespace) - spared:
        signal_all(namespace, signal.SIGKILL, spared)
        if time.monotonic() > until:
            raise RuntimeError(f"what runs in {namespace} does not end: {left}")
        time.sleep(0.02)


def processes(namespace):
    return set(map(int, run("ip", "netns", "pids", namespace).split()))


def clear_away():
    """Whatever is left of this process's run, and of those whose process is gone. Another run may do the same
    at the same moment, and a link goes with its namespace."""
    for line in run("ip", "netns", "list").splitlines():
        if is_over(name := line.split()[0]):
            with contextlib.suppress(RuntimeError):
                kill_all(name)
                run("ip", "netns", "del", name)
    for link in pathlib.Path("/sys/class/net").iterdir():
        if is_over(link.name):
            with contextlib.suppress(RuntimeError):
                run("ip", "link", "del", link.name)
    for line in run("nft", "list", "tables", "bridge").splitlines():
        if is_over(name := line.split()[-1]):
            with contextlib.suppress(RuntimeError):
                run("nft", "delete", "table", "bridge", name)


def is_over(name):
    found = re.match(r"lk(\d+)(-|br$|[a-z]+\d$|$)", name)
    number = int(found[1]) if found else 0
    return bool(found) and (number == os.getpid() or not pathlib.Path(f"/proc/{number}").exists())


if __name__ == "__main__" and os.geteuid() == 0:
    clear_away()
