"""A node of a database: programs on a machine of its own, and a socket in the file system to ask it over."""
import subprocess
import time

# However busy the machine is. The second one is for recovery after a kill, a copy of everything, and catching
# up.
STATEMENT_SECONDS_MAX = 60
WAITING_SECONDS_MAX = 180


class Node:
    def __init__(self, machine, folder):
        self.machine, self.folder, self.data = machine, folder / machine.name, folder / machine.name / "data"
        self.folder.mkdir()

    def __str__(self):
        return str(self.machine)

    def run(self, *command):
        """One of the database's tools."""
        with open(self.folder / "tools.log", "a") as log:
            subprocess.run(
                [*self.machine.prefix, *(str(word) for word in command)], stdout=log, stderr=log, check=True,
                cwd=self.folder, stdin=subprocess.DEVNULL, timeout=WAITING_SECONDS_MAX)

    def launch(self, *command):
        """On its machine, where it is found again by being there."""
        with open(self.folder / "server.log", "a") as log:
            subprocess.Popen(
                [*self.machine.prefix, *(str(word) for word in command)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.folder)

    def ask_with(self, command, statement):
        """No cut link disturbs it."""
        asked = subprocess.run(
            [str(word) for word in [*command, statement]], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=STATEMENT_SECONDS_MAX)
        if asked.returncode:
            raise RuntimeError(f"{self} does not do {statement}: {asked.stderr.strip()}")
        return asked.stdout.strip()

    def says(self, statement, answer):
        try:
            return self.ask(statement) == answer
        except (RuntimeError, subprocess.TimeoutExpired):
            return False

    def wait_for(self, statement, answer, seconds=WAITING_SECONDS_MAX):
        until = time.monotonic() + seconds
        while not self.says(statement, answer):
            if self.machine.network.is_ending.is_set():
                raise RuntimeError(f"{self}: the run is broken off")
            if time.monotonic() > until:
                raise RuntimeError(f"{self}: {statement} is not {answer} for {seconds} s")
            time.sleep(0.1)
