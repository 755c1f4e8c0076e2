"""Servers: latchkeyd, and etcd as its peer."""
import collections
import http.client
import json
import signal
import struct
import time

from machine import WAITING_SECONDS_MAX, free_ports, wait_until

ANSWER_SECONDS_MAX = 70
# Where requests go, and what they say.
Target = collections.namedtuple("Target", "port path type body")


class Latchkeyd:
    """A server that listens at a port that is known before it answers there."""

    def __init__(self, machine, program, store, name="server"):
        self.machine, self.name, self.log = machine, name, machine.folder / f"{name}.log"
        [self.port] = free_ports(1)
        self.begin = time.monotonic()
        self.process = machine.start(
            program, "--listen", f"127.0.0.1:{self.port}", "--store", store, "--server-id", name, "--log-level",
            "warning", log=self.log.name)

    def wait_until_ready(self, pause=0.05):
        """Returns how many seconds after its start it was."""
        wait_until(self.is_ready, f"/readyz of {self.name}", pause=pause)
        return time.monotonic() - self.begin

    def is_ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.log.read_text()}")
        try:
            return self.ask("GET", "/readyz", timeout=5)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, method, path, body=None, timeout=ANSWER_SECONDS_MAX):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call(self, name, timeout=ANSWER_SECONDS_MAX, **body):
        """Returns whether it was done."""
        return self.ask("POST", f"/latchkey.v3.Locks/{name}", json.dumps(body), timeout)[0] == 200

    def acquire(self, key="locks/k", owner="hello-owner"):
        body = json.dumps({"key": key, "owner": owner, "lease": "60s"}).encode()
        return Target(self.port, "/latchkey.v3.Locks/Acquire", "application/json", body)

    def release(self, key, owner):
        body = json.dumps({"key": key, "owner": owner}).encode()
        return Target(self.port, "/latchkey.v3.Locks/Release", "application/json", body)

    def metric(self, name):
        lines = self.ask("GET", "/metrics")[1].decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    def end(self):
        code = self.machine.end(self.process, signal.SIGTERM)
        if code:
            print(f"{self.name} ended with {code} after SIGTERM", flush=True)

    def complaints(self):
        """What it has to say about how it went; nothing where all went well."""
        lines = self.log.read_text(errors="replace").splitlines()
        more = [f"… and {len(lines) - 3} more lines"] if len(lines) > 3 else []
        return [f"{self.name}: {line}" for line in lines[:3] + more]


def started(machine, program, *stores, name="server"):
    """Servers, one for each URL of the same store, once all of them are ready."""
    servers = []
    for number, store in enumerate(stores):
        servers.append(Latchkeyd(machine, program, store, f"{name}{number}"))
        servers[-1].wait_until_ready()
    return servers


class Etcd:
    """Of one node or several, with the settings that it comes with, but for the room of a day of Puts."""

    def __init__(self, machine, nodes):
        self.machine = machine
        ports, peers = free_ports(nodes), free_ports(nodes)
        members = ",".join(f"node{number}=http://127.0.0.1:{peer}" for number, peer in enumerate(peers))
        for number, (port, peer) in enumerate(zip(ports, peers)):
            machine.start(
                "etcd", "--name", f"node{number}", "--data-dir", machine.folder / f"etcd{number}",
                "--listen-client-urls", f"http://127.0.0.1:{port}", "--advertise-client-urls",
                f"http://127.0.0.1:{port}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}", "--initial-cluster", members,
                "--log-level", "error", "--quota-backend-bytes", 8 << 30, log=f"etcd{number}.log")
        self.endpoints = ",".join(f"127.0.0.1:{port}" for port in ports)
        wait_until(self.is_healthy, "etcd is healthy", WAITING_SECONDS_MAX)
        self.ports = sorted(ports, key=lambda port: port != self.leader())
        lease = self.control("lease", "grant", "3600").split()[1]
        self.lease = int(lease, 16)

    def control(self, *arguments):
        return self.machine.run("etcdctl", "--endpoints", self.endpoints, *arguments)

    def is_healthy(self):
        try:
            self.control("endpoint", "health")
            return True
        except RuntimeError:
            return False

    def leader(self):
        """The port of the node that the others follow."""
        for node in json.loads(self.control("endpoint", "status", "-w", "json")):
            if node["Status"]["leader"] == node["Status"]["header"]["member_id"]:
                return int(node["Endpoint"].split(":")[-1])
        raise RuntimeError("etcd has no leader")

    def put(self, key="locks/k", nodes=1):
        """For each of so many nodes, the leader first."""
        body = field(1, key.encode()) + field(2, b"hello-owner")
        return [self.target(port, "/etcdserverpb.KV/Put", body) for port in self.ports[:nodes]]

    def lock(self):
        """The same holder again and again, as with Acquire."""
        body = field(1, b"mylocks") + b"\x10" + varint(self.lease)
        return self.target(self.ports[0], "/v3lockpb.Lock/Lock", body)

    @staticmethod
    def target(port, path, body):
        return Target(port, path, "application/grpc", b"\0" + struct.pack(">I", len(body)) + body)


def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, text):
    """Of a message in protobuf."""
    return bytes([number << 3 | 2]) + varint(len(text)) + text
