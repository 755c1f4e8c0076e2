"""PostgreSQL on two machines: a primary, and a synchronous standby that can take its place.

A commit is acknowledged when the standby has it, or, while there is no standby, to one machine alone: that
is how an operator keeps things going after a fail-over, and until the other machine has caught up nothing may
happen to this one. Only a standby that has everything that was acknowledged is promoted, and only when the
old primary can acknowledge nothing any more: it is dead, or has lost its standby.

Each of what befalls it (`kill_primary` and so on) begins and ends with everything in order.
"""
import pathlib
import shutil
import signal
import subprocess

from nodes import Node

PROGRAMS = next(iter(sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
# PostgreSQL refuses to be root: nobody. Who is killed leaves memory behind that it shared with its processes:
# that is of the namespace (System V), and goes with it, or in the data's folder.
USER = ["unshare", "--ipc", "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
PORT = 5432
PROMOTED = "is the primary"
SETTINGS = {
    # What a program has written outlives it, whether or not a disk has it. Loss of power is not tried here.
    "fsync": "off",
    "dynamic_shared_memory_type": "mmap",
    "port": PORT, "max_connections": 100, "wal_level": "replica", "wal_log_hints": "on",
    # For whoever comes back after a while; else it begins with a base backup.
    "wal_keep_size": "512MB", "wal_sender_timeout": "4s", "wal_receiver_timeout": "4s",
    "wal_retrieve_retry_interval": "500ms", "log_line_prefix": "%m [%p] ",
}


class PostgreSQLNode(Node):
    def __init__(self, machine, folder):
        super().__init__(machine, folder)
        shutil.chown(self.folder, 65534, 65534)

    def tool(self, name, *arguments):
        self.run(*USER, PROGRAMS / name, *arguments)

    def start(self, primary):
        """As the standby of `primary`, or as the primary."""
        settings = {"listen_addresses": self.machine.address, "unix_socket_directories": self.folder}
        if primary:
            (self.data / "standby.signal").touch()
            settings["primary_conninfo"] = (f"host={primary.machine.address} user=latchkey connect_timeout=2 "
                                            f"application_name={self}")
        self.launch(*USER, PROGRAMS / "postgres", "-D", self.data,
                    *(f"--{name}={value}" for name, value in settings.items()))
        self.wait_for("SELECT 1", "1")

    def ask(self, statement, database="postgres"):
        return self.ask_with(
            ["psql", "-XAtqd", f"host={self.folder} port={PORT} user=latchkey dbname={database} "
             "connect_timeout=5", "-c"], statement)


class PostgreSQL:
    # How often, and for how many seconds.
    CALAMITIES = {
        "kill_primary": (3, 0, 4), "kill_standby": (3, 0, 4), "kill_both": (2, 0, 3),
        "replace_standby": (2, 1, 4), "suspend_primary": (3, 0.5, 6), "suspend_standby": (3, 0.5, 6),
        "cut_nodes": (3, 0.5, 6), "cut_nodes_one_way": (3, 0.5, 6), "slow_nodes": (2, 2, 6),
        "fail_over_from_the_dead": (4, 1, 6), "fail_over_from_the_isolated": (4, 1, 8),
        "fail_over_from_the_living": (4, 1, 8),
    }

    @staticmethod
    def what_is_missing():
        return None if PROGRAMS else "PostgreSQL is not installed"

    def __init__(self, network, folder, note, pause, dice):
        """`note(who, what)` is told of everything; `pause(seconds)` waits, or less when the run is over."""
        self.network, self.note, self.pause, self.dice = network, note, pause, dice
        self.nodes = [PostgreSQLNode(network.add(f"db{number}"), folder) for number in range(2)]
        self.primary, self.standby = self.nodes

    @property
    def machines(self):
        return [node.machine for node in self.nodes]

    def url(self, slot):
        """For every server the same."""
        hosts = ",".join(f"{machine.address}:{PORT}" for machine in self.machines)
        return f"postgresql://latchkey@{hosts}/latchkey?target_session_attrs=read-write"

    def client(self, slot, attempt):
        """A command that does a statement, at the primary."""
        return ["psql", "-XAtq", self.url(slot) + "&connect_timeout=2", "-c"]

    def start(self):
        node = self.primary
        node.tool("initdb", "-D", node.data, "-A", "trust", "-U", "latchkey", "-E", "UTF8", "--no-locale",
                 "-N", "-k")
        with open(node.data / "postgresql.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
        subnet = f"{self.network.prefix}.0/24"
        with open(node.data / "pg_hba.conf", "a") as file:
            file.write(f"host all all {subnet} trust\nhost replication all {subnet} trust\n")
        node.start(None)
        node.ask("CREATE DATABASE latchkey")
        self.copy()
        self.follow()

    # MARK: The standby

    def copy(self):
        """A standby from nothing."""
        shutil.rmtree(self.standby.data, ignore_errors=True)
        self.standby.tool("pg_basebackup", "-h", self.primary.folder, "-p", PORT, "-U", "latchkey",
                         "-D", self.standby.data, "-c", "fast", "-X", "stream")

    def follow(self):
        """The standby begins where it was, and is waited for from the moment on when it has caught up."""
        self.standby.start(self.primary)
        self.wait_until_followed()
        self.set_synchronous("*")
        self.wait_until_followed()

    def wait_until_followed(self):
        position = self.primary.ask("SELECT pg_current_wal_lsn()")
        self.primary.wait_for(
            "SELECT count(*) FROM pg_stat_replication "
            f"WHERE state = 'streaming' AND flush_lsn >= '{position}'", "1")

    def set_synchronous(self, names):
        self.primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.primary.ask("SELECT pg_reload_conf()")
        self.primary.wait_for("SHOW synchronous_standby_names", names)

    def rejoin(self):
        """The old primary forgets what nobody was told of, and follows the new one."""
        # Before its first checkpoint its new timeline is nowhere to be read, and pg_rewind does nothing.
        self.primary.ask("CHECKPOINT")
        source = f"host={self.primary.folder} port={PORT} user=latchkey dbname=postgres"
        try:
            self.standby.tool("pg_rewind", "-D", self.standby.data, "--source-server", source, "--no-sync")
            self.note(self.standby, "is rewound")
        except subprocess.CalledProcessError:
            self.copy()
            self.note(self.standby, "begins with a base backup")
        self.follow()
        self.note(self.standby, f"follows {self.primary}")

    def promote(self):
        self.standby.tool("pg_ctl", "promote", "-D", self.standby.data, "-w")
        self.primary, self.standby = self.standby, self.primary
        # It was waiting for a standby, as its predecessor was.
        self.set_synchronous("")
        self.note(self.primary, PROMOTED)

    # MARK: What befalls it

    def kill_primary(self, seconds):
        self.primary.machine.kill()
        self.pause(seconds)
        self.primary.start(None)
        self.wait_until_followed()

    def kill_standby(self, seconds):
        self.standby.machine.kill()
        self.pause(seconds)
        self.standby.start(self.primary)
        self.wait_until_followed()

    def kill_both(self, seconds):
        for node in self.nodes:
            node.machine.kill()
        self.pause(seconds)
        self.primary.start(None)
        self.standby.start(self.primary)
        self.wait_until_followed()

    def replace_standby(self, seconds):
        """The standby is lost with all that it had. It goes on without one until there is a new one."""
        self.standby.machine.kill()
        self.set_synchronous("")
        self.pause(seconds)
        self.copy()
        self.follow()

    def suspend_primary(self, seconds):
        self.suspend(self.primary, seconds)

    def suspend_standby(self, seconds):
        self.suspend(self.standby, seconds)

    def suspend(self, node, seconds):
        node.machine.signal(signal.SIGSTOP)
        try:
            self.pause(seconds)
        finally:
            node.machine.signal(signal.SIGCONT)
        self.wait_until_followed()

    def cut_nodes(self, seconds):
        self.during(seconds, lambda one, other: one.cut(other))

    def cut_nodes_one_way(self, seconds):
        self.during(seconds, lambda one, other: one.stop_reaching(other))

    def slow_nodes(self, seconds):
        self.during(seconds, lambda one, other: one.slow_down(other, 0.03, 3))

    def during(self, seconds, action):
        one, other = self.primary.machine, self.standby.machine
        action(one, other)
        self.pause(seconds)
        one.mend(other)
        self.wait_until_followed()

    def fail_over_from_the_dead(self, seconds):
        self.primary.machine.kill()
        self.promote()
        self.pause(seconds)
        self.rejoin()

    def fail_over_from_the_isolated(self, seconds):
        """The old primary is alive, and nobody hears of it."""
        old = self.primary.machine
        others = [machine for machine in self.network.machines.values() if machine is not old]
        for machine in others:
            old.cut(machine)
        self.promote()
        self.pause(seconds)
        old.kill()
        for machine in others:
            old.mend(machine)
        self.rejoin()

    def fail_over_from_the_living(self, seconds):
        """The old primary has lost its standby, but not its servers: it can confirm nothing any more, and
        still be asked."""
        old, new = self.primary.machine, self.standby.machine
        old.cut(new)
        self.promote()
        self.pause(seconds)
        old.kill()
        old.mend(new)
        self.rejoin()

    # MARK: At the end

    CONTENTS = "SELECT md5(string_agg(r::text, '' ORDER BY id)) FROM latchkey_resources r"

    def rows(self, statement):
        """What each node answers, when all have everything."""
        self.wait_until_followed()
        for node in self.nodes:
            yield node, node.ask(statement, "latchkey").splitlines()
