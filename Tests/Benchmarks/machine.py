"""What a measurement has of this machine: a folder, ports, programs that end with it, and tools in C."""
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SOURCES = pathlib.Path(__file__).resolve().parent
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
# Of a program that was told to end, of a database that recovers or copies, and of one of its tools.
ENDING_SECONDS_MAX, WAITING_SECONDS_MAX, TOOL_SECONDS_MAX = 20, 90, 300


def is_root():
    return os.geteuid() == 0


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(is_so, what, seconds=WAITING_SECONDS_MAX, pause=0.05):
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(pause)


def children(pid):
    """Of a process, and theirs."""
    try:
        found = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [process for child in map(int, found) for process in [child, *children(child)]]


def signal_all(process, number):
    """A program and all that it has started."""
    for pid in [process.pid, *children(process.pid)]:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Machine:
    """Whatever was started on it is gone in the end, and so is its folder, also after an exception."""

    def __init__(self):
        # On a disk: /tmp may be memory.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=os.environ.get("TMPDIR", "/var/tmp")))
        # For whoever a database runs as.
        self.folder.chmod(0o755)
        self.processes, self.tools = [], {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, ending in reversed(self.processes):
            self.end(process, ending)
        shutil.rmtree(self.folder)

    def make_folder(self, name, user=None):
        folder = self.folder / name
        folder.mkdir()
        if user is not None:
            shutil.chown(folder, user)
        return folder

    def start(self, *command, user=None, log="log", ending=signal.SIGTERM, **options):
        """A program that runs until it is told to end by `ending`, or this process is gone."""
        options = {"stdout": subprocess.DEVNULL, "cwd": self.folder} | options
        with open(self.folder / log, "a") as file:
            process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL, stderr=file,
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, ending), **as_user(user), **options)
        self.processes.append((process, ending))
        return process

    def end(self, process, ending=signal.SIGTERM):
        """Returns its exit code."""
        self.processes = [each for each in self.processes if each[0] is not process]
        if ending != signal.SIGKILL and process.poll() is None:
            process.send_signal(ending)
            # Who is suspended would not hear it.
            signal_all(process, signal.SIGCONT)
            try:
                return process.wait(ENDING_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                print(f"{process.args[0]} has not ended {ENDING_SECONDS_MAX} s after {ending.name}", flush=True)
        signal_all(process, signal.SIGKILL)
        return process.wait()

    def run(self, *command, user=None, seconds=TOOL_SECONDS_MAX, check=True):
        """Returns what a program prints."""
        done = subprocess.run(
            [str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            cwd=self.folder, timeout=seconds, **as_user(user))
        if check and done.returncode:
            raise RuntimeError(f"{command[0]} ends with {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout.strip()

    def tool(self, name, *more):
        """A program of this folder, from NAME.c and what else is given to the compiler."""
        if name not in self.tools:
            self.tools[name] = self.folder / name
            main = "one_row" if name.startswith("one_row") else name
            sources = {SOURCES / f"{main}.c", SOURCES / f"{name}.c"}
            self.run("gcc", "-O2", "-pthread", "-o", self.tools[name], *sources, *more)
        return self.tools[name]


def as_user(user):
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}
