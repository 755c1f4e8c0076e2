"""MariaDB with Galera on three machines: any two of them are the database.

What befalls it (`kill_one` and so on) concerns one node, or all, begins with all three and ends when all
three have everything again. So there always is a majority, and who is not in it has to say so; or nobody is
left, and whoever has the most begins.
"""
import pathlib
import re
import shutil
import signal
import time

from nodes import Node

PROVIDER = pathlib.Path("/usr/lib/galera/libgalera_smm.so")
TOOLS = ["mariadbd", "mariadb-install-db", "mariadb", "rsync", "socat"]
PORT = 3306
# A node that has not come back by itself within this time is started anew.
RETURN_SECONDS_MAX = 30
# Who was silent for a moment may be left behind only later: when nothing has been heard of it for 2 s (below),
# which TCP may have made of less, and the others have agreed on that.
STEADY_SECONDS = 4
WHOLE = "SYNCED 3 ON"
# The number of the view that a node has of the cluster, and whether it is about to have another one.
VIEW = """
    SELECT GROUP_CONCAT(variable_value ORDER BY variable_name) FROM information_schema.global_status
    WHERE variable_name IN ('wsrep_cluster_conf_id', 'wsrep_evs_state')
"""
STATE = """
    SELECT CONCAT_WS(' ',
      UPPER((SELECT variable_value FROM information_schema.global_status
             WHERE variable_name = 'wsrep_local_state_comment')),
      (SELECT variable_value FROM information_schema.global_status
       WHERE variable_name = 'wsrep_cluster_size'),
      (SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_ready'))
"""
# Who is not heard for 2 s is suspected, and left behind a little later; by default it takes 5 s.
TIMING = ("evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.5S;evs.suspect_timeout=PT2S;"
          "evs.inactive_timeout=PT4S;evs.install_timeout=PT4S")


# Whether it is in the part of the cluster that works, and up to which change it has everything.
COMPONENT = """
    SELECT CONCAT_WS(' ',
      (SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_cluster_status'),
      (SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'wsrep_last_committed'))
"""


class GaleraNode(Node):
    def __init__(self, machine, folder, members):
        super().__init__(machine, folder)
        # It runs as the user of the package: the receiver of rsync drops its rights, and then needs them.
        shutil.chown(self.folder, "mysql", "mysql")
        self.socket, self.log, address = self.folder / "socket", self.folder / "mariadb.log", machine.address
        settings = {
            "datadir": self.data, "socket": self.socket, "log-error": self.log, "user": "mysql",
            "pid-file": self.folder / "pid", "port": PORT, "bind-address": address, "skip-name-resolve": "ON",
            "binlog_format": "ROW", "innodb_autoinc_lock_mode": 2,
            # At each commit to the system, which outlives the program. Loss of power is not tried here.
            "innodb_flush_log_at_trx_commit": 2,
            "innodb_buffer_pool_size": "64M", "innodb_log_file_size": "32M", "wsrep_on": "ON",
            "wsrep_provider": PROVIDER, "wsrep_cluster_name": machine.network.name,
            "wsrep_cluster_address": f"gcomm://{','.join(members)}", "wsrep_node_name": machine.name,
            "wsrep_node_address": address, "wsrep_sst_method": "rsync", "wsrep_sst_receive_address": address,
            "wsrep_provider_options":
                f'"gmcast.listen_addr=tcp://{address}:4567;ist.recv_addr={address}:4568;{TIMING}"',
        }
        self.options = self.folder / "options"
        self.options.write_text(
            "[mysqld]\n" + "".join(f"{name}={value}\n" for name, value in settings.items()))

    def install(self):
        self.run("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--user=mysql",
                 "--auth-root-authentication-method=normal", "--skip-test-db")

    def start(self, *more):
        self.launch("mariadbd", f"--defaults-file={self.options}", *more)
        self.wait_for("SELECT 1", "1")

    def recovered(self):
        """Where it was, if it knows: the cluster's name and the number of the last change, with a colon."""
        self.begin = self.log.stat().st_size
        self.run("mariadbd", f"--defaults-file={self.options}", "--wsrep-recover")
        return re.findall(r"Recovered position:? *(\S+)", self.said())[-1]

    def restart(self):
        """It is sent what it has missed since then (IST), or everything (SST)."""
        self.start(f"--wsrep-start-position={self.recovered()}")

    def begin_anew(self, position):
        """As the first of a cluster of which nobody is left: it has the most."""
        state = self.data / "grastate.dat"
        state.write_text(state.read_text().replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1"))
        self.start("--wsrep-new-cluster", f"--wsrep-start-position={position}")

    def said(self):
        """In its log, since it was started anew."""
        return self.log.read_text(errors="replace")[self.begin:]

    def forget(self):
        """Where it was, so that it needs everything."""
        for name in ("grastate.dat", "gvwstate.dat", "galera.cache"):
            (self.data / name).unlink(missing_ok=True)

    def ask(self, statement, database="mysql"):
        return self.ask_with(
            ["mariadb", "--no-defaults", f"--socket={self.socket}", "--user=root", "--batch",
             "--skip-column-names", "--connect-timeout=5", database, "-e"], statement)


class Galera:
    # How often, and for how many seconds.
    CALAMITIES = {
        "kill_one": (4, 0, 5), "kill_one_that_forgets": (3, 0, 5), "kill_all": (1, 0, 3),
        "suspend_one": (4, 0.5, 8), "isolate_one": (4, 0.5, 10), "cut_one_from_the_others": (4, 0.5, 10),
        "cut_two_nodes": (3, 0.5, 8), "cut_two_nodes_one_way": (3, 0.5, 8), "slow_two_nodes": (3, 2, 6),
    }

    @staticmethod
    def what_is_missing():
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        missing += [] if PROVIDER.exists() else ["galera-4"]
        return f"{', '.join(missing)} not installed" if missing else None

    def __init__(self, network, folder, note, pause, dice):
        """`note(who, what)` is told of everything; `pause(seconds)` waits, or less when the run is over."""
        self.network, self.note, self.pause, self.dice = network, note, pause, dice
        machines = [network.add(f"db{number}") for number in range(3)]
        members = [machine.address for machine in machines]
        self.nodes = [GaleraNode(machine, folder, members) for machine in machines]

    @property
    def machines(self):
        return [node.machine for node in self.nodes]

    def url(self, slot):
        """Each server has a node that it asks first."""
        first = slot % len(self.nodes)
        machines = self.machines[first:] + self.machines[:first]
        return f"mariadb://latchkey@{','.join(f'{machine.address}:{PORT}' for machine in machines)}/latchkey"

    def client(self, slot, attempt):
        """A command that does a statement; each attempt asks another node."""
        node = self.nodes[(slot + attempt) % len(self.nodes)]
        return ["mariadb", "--no-defaults", "--user=latchkey", f"--host={node.machine.address}", "--batch",
                "--skip-column-names", "--connect-timeout=2", "latchkey", "-e"]

    def start(self):
        first, *others = self.nodes
        first.install()
        first.start("--wsrep-new-cluster")
        for statement in ("CREATE DATABASE latchkey", "CREATE USER latchkey@'%'",
                          "GRANT ALL ON latchkey.* TO latchkey@'%'"):
            first.ask(statement)
        for number, node in enumerate(others, 2):
            node.install()
            node.start()
            node.wait_for(STATE, WHOLE.replace("3", str(number)))
        self.wait_until_whole()

    def wait_until_whole(self):
        for node in self.nodes:
            try:
                node.wait_for(STATE, WHOLE, RETURN_SECONDS_MAX)
            except RuntimeError:
                self.note(node, "does not come back by itself, and is started anew")
                node.machine.kill()
                node.restart()
                node.wait_for(STATE, WHOLE)

    def wait_until_steady(self):
        """Else the next calamity would find two of three nodes, or their number changing."""
        before, views = None, self.views_when_whole()
        while before != views:
            time.sleep(STEADY_SECONDS)
            before, views = views, self.views_when_whole()

    def views_when_whole(self):
        self.wait_until_whole()
        return [node.ask(VIEW) for node in self.nodes]

    def one(self):
        return self.dice.choice(self.nodes)

    def two(self):
        return [node.machine for node in self.dice.sample(self.nodes, 2)]

    # MARK: What befalls it

    def kill_one(self, seconds):
        self.kill(self.one(), seconds, lambda node: None)

    def kill_one_that_forgets(self, seconds):
        self.kill(self.one(), seconds, GaleraNode.forget)

    def kill(self, node, seconds, meanwhile):
        self.note(node, "is killed")
        node.machine.kill()
        meanwhile(node)
        self.pause(seconds)
        self.bring_back(node)
        self.wait_until_steady()
        how = "everything (SST)" if "rsync SST completed" in node.said() else "what it has missed (IST)"
        self.note(node, f"is back, and was sent {how}")

    def bring_back(self, node):
        """Who comes back while the others still agree on its end may find that nobody works any more: one of the
        others has to be told that it does, as README says (seed 1220953157)."""
        try:
            return node.restart()
        except RuntimeError:
            states = {other: other.ask(COMPONENT).split() for other in self.nodes if other is not node}
            if any(state[0] == "Primary" for state in states.values()):
                raise
        node.machine.kill()
        first = max(states, key=lambda other: int(states[other][1]))
        self.note(first, f"does not work any more, as none does, and is told to ({list(states.values())})")
        first.ask("SET GLOBAL wsrep_provider_options='pc.bootstrap=YES'")
        node.restart()

    def kill_all(self, seconds):
        for node in self.nodes:
            node.machine.kill()
        self.pause(seconds)
        positions = {node: node.recovered() for node in self.nodes}
        first = max(self.nodes, key=lambda node: int(positions[node].split(":")[1]))
        self.note(first, f"has the most of {list(positions.values())}, and begins")
        first.begin_anew(positions[first])
        for node in self.nodes:
            if node is not first:
                node.restart()
        self.wait_until_steady()

    def suspend_one(self, seconds):
        node = self.one()
        self.note(node, "is suspended")
        node.machine.signal(signal.SIGSTOP)
        try:
            self.pause(seconds)
        finally:
            node.machine.signal(signal.SIGCONT)
        self.wait_until_steady()

    def isolate_one(self, seconds):
        """Nobody hears it, and it hears nobody."""
        one = self.one().machine
        self.during(seconds, one, [other for other in self.network.machines.values() if other is not one],
                    "cut")

    def cut_one_from_the_others(self, seconds):
        """Servers that ask it find it alive, and not in the majority."""
        one = self.one().machine
        self.during(seconds, one, [other for other in self.machines if other is not one], "cut")

    def cut_two_nodes(self, seconds):
        one, other = self.two()
        self.during(seconds, one, [other], "cut")

    def cut_two_nodes_one_way(self, seconds):
        one, other = self.two()
        self.during(seconds, one, [other], "stop_reaching")

    def slow_two_nodes(self, seconds):
        one, other = self.two()
        self.during(seconds, one, [other], "slow_down", 0.03, 3)

    def during(self, seconds, one, others, action, *details):
        self.note(one, f"{action.replace('_', ' ')} {', '.join(map(str, others))}")
        for other in others:
            getattr(one, action)(other, *details)
        self.pause(seconds)
        for other in others:
            one.mend(other)
        self.wait_until_steady()

    # MARK: At the end

    CONTENTS = "CHECKSUM TABLE latchkey_resources"

    def rows(self, statement):
        """What each node answers, when all have everything."""
        self.wait_until_whole()
        for node in self.nodes:
            yield node, node.ask(statement, "latchkey").splitlines()
