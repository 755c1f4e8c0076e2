"""Those who must not notice an attack: a holder that renews, and a bystander that asks small things."""
import http.client
import json
import socket
import struct
import threading
import time

from frames import (ACK, DATA, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, get,
                    opening, request)

LEASE_SECONDS = 10
# About a third of the lease, as every holder should.
RENEW_SECONDS = 3
ASK_SECONDS = 0.1
# More than what each connection has of its own for requests that arrive.
VALUE_BYTES = 20_000
# An answer that takes longer counts as lost; more than any bound that is asserted.
TIMEOUT_SECONDS = 20


class HTTP1:
    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)

    def ask(self, method, path, body):
        self.connection.request(method, path, body, {"content-type": "application/json"} if body else {})
        response = self.connection.getresponse()
        return response.status, response.read()

    def close(self):
        self.connection.close()


class HTTP2:
    """One request at a time, with windows that answers never fill."""
    WINDOW = 1 << 30
    # RFC 7541, appendix A; another status counts as 0.
    STATUS = {0x88: 200, 0x8C: 400, 0x8D: 404, 0x8E: 500}

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self.input = self.socket.makefile("rb")
        self.stream = -1
        self.socket.sendall(opening((4, self.WINDOW)) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self.WINDOW)))

    def ask(self, method, path, body):
        self.stream += 2
        self.socket.sendall(request(self.stream, path, body.encode()) if body else get(self.stream, path))
        status, content = 0, b""
        while True:
            head = self.input.read(9)
            if len(head) < 9:
                raise OSError("the connection ended")
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9], "big")
            payload = self.input.read(int.from_bytes(head[:3], "big"))
            if kind in (SETTINGS, PING) and not flags & ACK:
                self.socket.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == GOAWAY or kind == RST_STREAM and stream == self.stream:
                raise OSError("no answer")
            elif stream == self.stream and kind in (HEADERS, DATA):
                if kind == HEADERS:
                    status = self.STATUS.get(payload[0], 0)
                else:
                    content += payload
                if flags & END_STREAM:
                    return status, content

    def close(self):
        self.input.close()
        self.socket.close()


class Connection:
    """A kept connection of HTTP/1.1 or HTTP/2, opened again where it ended."""

    def __init__(self, port, protocol=HTTP1):
        self.port, self.protocol, self.connection = port, protocol, None

    def ask(self, method, path, body=None):
        """The status and the body, or None where there was no answer."""
        for is_last in (False, True):
            is_new = self.connection is None
            try:
                if is_new:
                    self.connection = self.protocol(self.port)
                return self.connection.ask(method, path, body and json.dumps(body))
            except (OSError, http.client.HTTPException):
                if self.connection:
                    self.connection.close()
                self.connection = None
                if is_new or is_last:
                    return None

    def call(self, method, body):
        return self.ask("POST", f"/latchkey.v3.Locks/{method}", body)


def ask(port, method, path):
    answer = Connection(port).ask(method, path)
    return answer and answer[0]


class Repeating(threading.Thread):
    """Does something again and again until it is stopped."""

    def __init__(self, port, protocol, interval):
        super().__init__(daemon=True)
        self.connection, self.interval, self.name = Connection(port, protocol), interval, protocol.__name__
        self.faults, self.longest, self.stopping = [], 0.0, threading.Event()

    def run(self):
        while not self.stopping.is_set():
            self.turn()
            self.stopping.wait(self.interval)

    def stop(self):
        self.stopping.set()
        self.join()


class Holder(Repeating):
    """Takes locks before anything happens, and renews them by their tokens: one by itself, the others together."""

    def __init__(self, port, protocol):
        super().__init__(port, protocol, RENEW_SECONDS)
        # Others want the first one.
        first = "held" if protocol is HTTP1 else "held too"
        self.tokens = {key: self.acquire(key) for key in [first] + [f"{first}/{number}" for number in range(200)]}
        self.accepted = {key: time.monotonic() for key in self.tokens}

    def acquire(self, key):
        answer = self.connection.call("Acquire", {"key": key, "owner": "holder", "lease": f"{LEASE_SECONDS}s"})
        if not answer or answer[0] != 200:
            raise OSError(f"no lock before the attack: {answer}")
        return json.loads(answer[1])["grant"]["token"]

    def turn(self):
        renewals = [{"key": key, "token": token, "lease": f"{LEASE_SECONDS}s"} for key, token in self.tokens.items()]
        for method, body, keys in [("Renew", renewals[0], list(self.tokens)[:1]),
                                   ("RenewMany", {"renewals": renewals[1:]}, list(self.tokens)[1:])]:
            sent = time.monotonic()
            answer = self.connection.call(method, body)
            if answer and b"refusal" in answer[1] or answer and answer[0] != 200 and b"not-" in answer[1]:
                self.faults.append(f"leases were lost: {answer[1][:200]}")
                self.stopping.set()
            elif answer and answer[0] == 200:
                self.note(keys, sent)

    def note(self, keys, sent):
        for key in keys:
            self.longest = max(self.longest, time.monotonic() - self.accepted[key])
            self.accepted[key] = sent

    def run(self):
        super().run()
        for key, token in self.tokens.items():
            answer = not self.faults and self.connection.call("Get", {"key": key})
            if answer and f'"token":"{token}"'.encode() not in answer[1]:
                self.faults.append(f"a lease was lost: {answer[1][:200]}")
        # A holder that counts for itself has stopped by then, whatever the server thinks.
        if self.longest > LEASE_SECONDS:
            self.faults.append(f"{self.longest:.1f} s between two renewals")


class Bystander(Repeating):
    """Asks for a lock of its own, with a value of some length, reads it, lists it and gives it back, in turn."""

    def __init__(self, port, protocol):
        super().__init__(port, protocol, ASK_SECONDS)
        self.count, self.key = 0, f"bystander/{self.name}"

    def turn(self):
        lock = {"key": self.key, "owner": "b", "lease": "60s"}
        release = ("Release", {"key": self.key, "owner": "b"})
        questions = [
            ("Acquire", lock | {"value": "v" * VALUE_BYTES}), release, ("Acquire", lock), ("Get", {"key": self.key}),
            ("List", {"keyPrefix": self.key, "pageSize": 10}), release]
        method, body = questions[self.count % len(questions)]
        begin = time.monotonic()
        answer = self.connection.call(method, body)
        if self.stopping.is_set() and not answer:
            return
        self.longest = max(self.longest, time.monotonic() - begin)
        self.count += 1
        if not answer or answer[0] != 200:
            if len(self.faults) < 3:
                self.faults.append(f"a bystander's {method} by {self.name} was answered {answer and (answer[0], answer[1][:120])}")
