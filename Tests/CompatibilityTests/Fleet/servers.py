"""The servers of one store: real programs of several releases, started, suspended, killed and replaced."""
import collections
import os
import queue
import signal
import subprocess
import threading
import time

from figures import Past

# More than a server drains (10 s), on a busy machine too.
EXIT_SECONDS_MAX = 60

Server = collections.namedtuple("Server", "slot name address")


class Process(subprocess.Popen):
    def __init__(self, *arguments, **options):
        self.server = None  # Where it listens, if it does.
        self.is_suspended = False
        self.is_ending = threading.Event()  # Its end is no surprise.
        super().__init__(*arguments, **options)


class Slot:
    """A place for one server at a time. Its own thread does what is asked of it, in order."""

    def __init__(self, name, fleet):
        self.name, self.fleet, self.process = name, fleet, None
        self.tasks = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.work, name=name)
        self.thread.start()

    def work(self):
        while task := self.tasks.get():
            try:
                task[0](*task[1:])
            except Exception as error:
                self.fleet.troubles.append(f"{self.name}: {error!r}")

    def ask(self, *task):
        self.tasks.put(task)

    def start(self, version):
        # A start waits for the store for 10 s; suspended servers, one after the other, may hold it longer.
        for _ in range(self.fleet.store.start_attempts):
            process = self.try_start(version)
            is_in_vain = process.is_ending.is_set() or self.fleet.is_closed or self.fleet.troubles
            if process.server or is_in_vain:
                return
            time.sleep(self.fleet.store.pause_seconds)
        self.fleet.broken.append(f"no-ceremony: {self.name}, {version}, does not start: see its log")

    def try_start(self, version):
        prefix, host = self.fleet.store.place(self.name)
        with open(self.fleet.folder / f"{self.name}.log", "a") as log:
            self.process = process = Process(
                [*prefix, self.fleet.programs[version], "--listen", f"{host}:0", "--server-id", self.name,
                 "--store", self.fleet.store.url(self.name), "--log-level", "warning"],
                # Every release may come back at any time.
                env=dict(os.environ, LATCHKEY_ROLLBACK_RELEASES="9"),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        if self.fleet.is_closed:
            process.kill()
        line = process.stdout.readline()
        if "listening on " in line:
            address = line.split("listening on ")[1].split(",")[0]
            process.server = Server(self.name, f"{self.name}/{version}", address)
            self.fleet.note(self.name, line.strip())
        else:
            self.fleet.counts["failed starts"] += not process.is_ending.is_set()
            self.fleet.note(self.name, f"{version} did not start: exit code {self.reap(process)}")
        return process

    def end(self, how):
        process = self.process
        if process is None:
            return
        process.server = None
        process.is_ending.set()
        process.send_signal(how)
        try:
            process.wait(EXIT_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.fleet.broken.append(f"{self.name} has not ended {EXIT_SECONDS_MAX} s after {how.name}")
            process.kill()
        code = self.reap(process)
        self.fleet.note(self.name, f"ended with {code}")
        if code not in (0, -signal.SIGKILL):
            self.fleet.broken.append(f"{self.name} ended with {code} after {how.name}: see its log")

    def reap(self, process):
        self.process = None
        process.stdout.close()
        return process.wait()

    def suspend(self, seconds):
        if process := self.process:
            process.is_suspended = True
            process.send_signal(signal.SIGSTOP)
            process.is_ending.wait(seconds)
            process.send_signal(signal.SIGCONT)
            process.is_suspended = False

    def kill(self):
        """At once, whatever else is asked of it."""
        if process := self.process:
            process.is_ending.set()
            process.kill()
        self.ask(self.end, signal.SIGKILL)


class Fleet:
    """`store` is where the servers have their store, and which machines there are (databases.py)."""

    def __init__(self, programs, store, folder):
        self.programs, self.folder, self.store = programs, folder, store
        # What a server did that none may do, and what keeps the run from going on.
        self.broken, self.troubles = [], []
        self.events, self.counts, self.is_closed = [], collections.Counter(), False
        # What befell the fleet (figures.py).
        self.pasts = []
        self.slots = [Slot(f"s{number}", self) for number in range(store.slots)]

    def note(self, who, what):
        self.events.append((time.monotonic(), str(who), what))

    def perform(self, step):
        self.counts["steps"] += 1
        kind, at = f"servers: {step.action}{' all' * (step.slot is None)}", time.monotonic()
        self.pasts.append(Past(kind, at, at + (step.seconds or 0)))
        self.note("plan", str(step))
        for slot in self.slots if step.slot is None else [self.slots[step.slot]]:
            if step.seconds:
                slot.ask(slot.suspend, step.seconds)
            if step.ending == signal.SIGKILL:
                slot.kill()
            elif step.ending:
                slot.ask(slot.end, step.ending)
            if step.version:
                slot.ask(slot.start, step.version)

    def choose(self, dice):
        """Any server, most often one that is not suspended; None where there is none."""
        processes = [process for slot in self.slots if (process := slot.process)]
        servers = [(process.is_suspended, server) for process in processes if (server := process.server)]
        awake = [pair for pair in servers if not pair[0]]
        pairs = awake if awake and dice.random() < 0.95 else servers
        return dice.choice(pairs)[1] if pairs else None

    def servers_awake(self):
        processes = [process for slot in self.slots if (process := slot.process)]
        return [server for process in processes
                if not process.is_suspended and (server := process.server)]

    def is_sound(self):
        """Whether the run can go on."""
        for slot in self.slots:
            process = slot.process
            if process and process.poll() is not None and process.server and not process.is_ending.is_set():
                self.broken.append(f"{slot.name} ended by itself with {process.returncode}: see its log")
        return not self.broken and not self.troubles

    def settle(self):
        """Waits until all that was asked for is done."""
        for slot in self.slots:
            done = threading.Event()
            slot.ask(done.set)
            done.wait()

    def close(self):
        """Leaves no process behind."""
        self.is_closed = True
        for slot in self.slots:
            slot.kill()
            slot.tasks.put(None)
        for slot in self.slots:
            slot.thread.join()
