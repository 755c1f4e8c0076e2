"""PostgreSQL and Galera on this machine, with the settings that they come with: whatever they confirm is on disk."""
import os
import pathlib
import shutil
import signal
import sqlite3

from machine import free_ports, is_root, signal_all, wait_until

GALERA = pathlib.Path("/usr/lib/galera/libgalera_smm.so")
# nobody and nogroup of Debian: PostgreSQL refuses to be root.
NOBODY = 65534
# What one_row.c does: a statement at the beginning, then one or more again and again. One row a commit takes a round
# trip where nothing is decided in between, else two (UPDATE_AND_COMMIT).
UPDATE = "UPDATE one_row SET value = value + 1 WHERE id = 1"
UPDATE_ALONE = ["SELECT 1", UPDATE]
QUESTION = ["SELECT 1", "SELECT 1"]


def programs_of_postgresql():
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return folders[-1] if folders else None


class PostgreSQL:
    """A primary and, where it is asked for, a standby that commits wait for."""
    name = "PostgreSQL"
    UPDATE_AND_COMMIT = ["SELECT 1", f"BEGIN; {UPDATE}", "COMMIT"]

    @staticmethod
    def what_is_missing():
        return None if programs_of_postgresql() else "postgresql"

    def __init__(self, machine, standby=False):
        self.machine, self.programs = machine, programs_of_postgresql()
        self.user = NOBODY if is_root() else None
        self.ports = free_ports(2 if standby else 1)
        self.folders = [machine.make_folder(f"postgresql{number}", self.user) for number in range(len(self.ports))]
        self.run("initdb", "-D", self.folders[0] / "data", "-A", "trust", "-U", "latchkey", "-E", "UTF8",
                 "--no-locale")
        self.nodes = [self.start(0)]
        for statement in ("CREATE DATABASE latchkey", "CREATE TABLE one_row (id int PRIMARY KEY, value bigint)",
                          "INSERT INTO one_row VALUES (1, 0)"):
            self.ask(statement, "postgres")
        if standby:
            self.add_standby()

    def run(self, program, *arguments):
        return self.machine.run(self.programs / program, *arguments, user=self.user)

    def start(self, number, *more):
        process = self.machine.start(
            self.programs / "postgres", "-D", self.folders[number] / "data", "-p", self.ports[number], "-c",
            "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
            # Of a primary that is killed nothing is to be left in /dev/shm.
            "-c", "dynamic_shared_memory_type=mmap", *more, user=self.user,
            log=f"postgresql{number}.log", ending=signal.SIGQUIT)
        wait_until(lambda: self.answers(number), "PostgreSQL answers")
        return process

    def answers(self, number):
        try:
            return self.ask("SELECT 1", "postgres", number) == "1"
        except RuntimeError:
            return False

    def ask(self, statement, database="latchkey", number=0):
        return self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", self.ports[number], "-U",
                        "latchkey", "-d", database, "-c", statement)

    def add_standby(self):
        self.run("pg_basebackup", "-h", "127.0.0.1", "-p", self.ports[0], "-U", "latchkey", "-D",
                 self.folders[1] / "data", "-R", "-X", "stream", "-c", "fast")
        source = f"host=127.0.0.1 port={self.ports[0]} user=latchkey application_name=standby"
        self.nodes.append(self.start(1, "-c", f"primary_conninfo={source}"))
        self.ask("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.ask("SELECT pg_reload_conf()")
        wait_until(lambda: self.ask("SELECT sync_state FROM pg_stat_replication") == "sync", "the standby follows")

    def promote(self):
        """Returns as soon as it is told to."""
        self.run("pg_ctl", "promote", "-D", self.folders[1] / "data", "-W")

    def kill(self, number):
        """A primary that is killed leaves a piece of shared memory behind, which its successor would look for."""
        _, piece = (self.folders[number] / "data/postmaster.pid").read_text().splitlines()[6].split()
        self.machine.end(self.nodes[number], signal.SIGKILL)
        self.machine.run("ipcrm", "-m", piece)

    def suspend(self, number):
        signal_all(self.nodes[number], signal.SIGSTOP)

    def url(self, number=0, port=None):
        """Of the store; PORT is where a relay is in between."""
        ports = [port] if port else self.ports
        hosts = ",".join(f"127.0.0.1:{each}" for each in ports)
        return f"postgresql://latchkey@{hosts}/latchkey?target_session_attrs=read-write"

    def one_row(self, port):
        """The program for it, and where it connects; another database than the store's."""
        tool = self.machine.tool("one_row_postgresql", f"-I{self.machine.run('pg_config', '--includedir')}", "-lpq")
        return tool, f"postgresql://latchkey@127.0.0.1:{port}/postgres"

    def add_rows(self, count):
        """As many as there is one of, with other keys."""
        columns = self.ask("SELECT string_agg(column_name, ',') FROM information_schema.columns WHERE table_name = "
                           "'latchkey_resources' AND column_name NOT IN ('id', 'resource_key')")
        self.ask(f"INSERT INTO latchkey_resources (resource_key, {columns}) SELECT 'job/' || n, {columns} "
                 f"FROM latchkey_resources, generate_series(1, {count}) n WHERE resource_key = 'model'")
        self.ask("VACUUM ANALYZE latchkey_resources")

    def count_rows(self):
        return int(self.ask("SELECT count(*) FROM latchkey_resources"))


class Galera:
    """Three nodes; whatever one of them confirms the others have, and it is on this one's disk."""
    name = "Galera"
    UPDATE_AND_COMMIT = ["SET autocommit = 0", UPDATE, "COMMIT"]
    ROWS_AT_ONCE = 50_000

    @staticmethod
    def what_is_missing():
        missing = [tool for tool in ("mariadbd", "mariadb-install-db", "mariadb", "rsync", "socat")
                   if not shutil.which(tool)]
        return ", ".join(missing + ([] if GALERA.exists() else ["galera-4"])) or None

    def __init__(self, machine, nodes=3):
        self.machine, self.user = machine, "mysql" if is_root() else None
        ports = free_ports(4 * nodes)
        self.ports, self.others = ports[:nodes], [ports[nodes + 3 * n:nodes + 3 * n + 3] for n in range(nodes)]
        self.folders = [machine.make_folder(f"galera{number}", self.user) for number in range(nodes)]
        for folder in self.folders:
            machine.run("mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--skip-test-db",
                        "--auth-root-authentication-method=normal", user=self.user)
        self.nodes = [self.start(number) for number in range(nodes)]
        for statement in ("CREATE USER latchkey@'%'", "GRANT ALL ON *.* TO latchkey@'%'", "CREATE DATABASE latchkey",
                          "CREATE DATABASE peer", "CREATE TABLE peer.one_row (id int PRIMARY KEY, value bigint)",
                          "INSERT INTO peer.one_row VALUES (1, 0)"):
            self.ask(statement, "mysql")
        for number in range(nodes):
            wait_until(lambda number=number: self.answers(number, "SELECT value FROM peer.one_row"),
                       "Galera is in step")

    def start(self, number):
        group, missed, state = self.others[number]
        folder, members = self.folders[number], ",".join(f"127.0.0.1:{ports[0]}" for ports in self.others)
        options = {
            "datadir": folder / "data", "socket": folder / "socket", "pid-file": folder / "pid",
            "port": self.ports[number], "bind-address": "127.0.0.1", "skip-name-resolve": "ON",
            "binlog_format": "ROW", "innodb_autoinc_lock_mode": 2, "innodb_flush_log_at_trx_commit": 1,
            "wsrep_on": "ON", "wsrep_provider": GALERA, "wsrep_cluster_address": f"gcomm://{members}",
            "wsrep_node_name": f"node{number}", "wsrep_node_address": f"127.0.0.1:{group}",
            "wsrep_provider_options":
                f'"gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{missed}"',
            "wsrep_sst_method": "rsync", "wsrep_sst_receive_address": f"127.0.0.1:{state}",
        }
        file = folder / "options"
        file.write_text("[mariadbd]\n" + "".join(f"{name}={value}\n" for name, value in options.items()))
        # The paths of a user without privileges may lack it.
        environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
        process = self.machine.start(
            "mariadbd", f"--defaults-file={file}", *(["--wsrep-new-cluster"] if number == 0 else []), user=self.user,
            log=f"galera{number}.log", ending=signal.SIGKILL, env=environment)
        wait_until(lambda: self.answers(number), f"node {number} of Galera is there")
        return process

    STATE = ("SELECT variable_value FROM information_schema.global_status "
             "WHERE variable_name = 'wsrep_local_state_comment'")

    def answers(self, number, statement=STATE):
        try:
            return self.ask(statement, "mysql", number) in ("Synced", "0")
        except RuntimeError:
            return False

    def ask(self, statement, database="latchkey", number=0):
        return self.machine.run("mariadb", "--no-defaults", "-BN", "-u", "root", "-S",
                                self.folders[number] / "socket", database, "-e", statement)

    def url(self, number=0, port=None):
        """Of the store, with the node that is asked first; PORT is where a relay is in between."""
        ports = [port] if port else self.ports[number:] + self.ports[:number]
        return f"mariadb://latchkey@{','.join(f'127.0.0.1:{each}' for each in ports)}/latchkey"

    def one_row(self, port):
        flags = self.machine.run("mariadb_config", "--cflags", "--libs").split()
        return self.machine.tool("one_row_mariadb", *flags), f"{port}/peer"

    def add_rows(self, count):
        columns = self.ask("SELECT group_concat(column_name) FROM information_schema.columns WHERE table_name = "
                           "'latchkey_resources' AND column_name NOT IN ('id', 'resource_key')")
        for first in range(1, count + 1, self.ROWS_AT_ONCE):
            last = min(first + self.ROWS_AT_ONCE - 1, count)
            self.ask(f"INSERT INTO latchkey_resources (resource_key, {columns}) "
                     f"SELECT concat('job/', seq), {columns} FROM latchkey_resources, seq_{first}_to_{last} "
                     "WHERE resource_key = 'model'")

    def count_rows(self):
        return int(self.ask("SELECT count(*) FROM latchkey_resources"))


class SQLite:
    name = "SQLite"

    def __init__(self, machine):
        self.file = machine.folder / "store.db"

    def url(self):
        return f"sqlite:{self.file}"

    def add_rows(self, count):
        database = sqlite3.connect(self.file)
        names = [name for _, name, *_ in database.execute("PRAGMA table_info(latchkey_resources)")]
        columns = ",".join(name for name in names if name not in ("id", "resource_key"))
        with database:
            database.execute(
                f"WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) "
                f"INSERT INTO latchkey_resources (resource_key, {columns}) SELECT 'job/' || n, {columns} "
                "FROM numbers, latchkey_resources WHERE resource_key = 'model'")
        database.close()

    def count_rows(self):
        database = sqlite3.connect(self.file)
        [[count]] = database.execute("SELECT count(*) FROM latchkey_resources")
        database.close()
        return count


def repeat(machine, database, statements, seconds, port=None):
    """Has a program in C do the statements at the first node, or at PORT. Returns how often a second, and how
    many seconds it took by the median."""
    tool, address = database.one_row(port or database.ports[0])
    done, took, median = machine.run(tool, address, seconds, *statements).split()
    return int(done) / float(took), float(median) / 1e6
