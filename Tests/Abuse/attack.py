"""What an attack is, and what it may use."""
import contextlib
import dataclasses
import gzip
import json
import os
import pathlib
import socket
import ssl
import time

RESIDENT_MIB_MAX = 640
ALL = []


@dataclasses.dataclass
class Attack:
    name: str
    run: object
    options: list
    mebibytes_max: int
    extra_seconds: float
    needs_tls: bool


def attack(options=(), mebibytes_max=RESIDENT_MIB_MAX, extra_seconds=20, needs_tls=False):
    """Makes an attack of a function, which ends when `target.is_over()`.

    - options: more options of the server; "{access}" is a folder with a policy, tokens and keys of JWTs.
    - mebibytes_max: what the server may take while it lasts.
    - extra_seconds: how much longer it may take than it should, until it is ended.
    - needs_tls: whether there is nothing to attack where the server speaks clear text.
    """
    def register(run):
        ALL.append(Attack(run.__name__.replace("_", " "), run, list(options), mebibytes_max, extra_seconds, needs_tls))
        return run
    return register


@dataclasses.dataclass
class Target:
    port: int
    store: pathlib.Path
    deadline: float
    pid: int
    tls: bool = False

    def is_over(self):
        return time.monotonic() >= self.deadline

    def connect(self, receive_bytes=None, timeout=5):
        connection = self.connect_clear(receive_bytes, timeout)
        if not self.tls:
            return connection
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(connection)

    def connect_clear(self, receive_bytes=None, timeout=5):
        connection = socket.socket()
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(timeout)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def flood(self, opening, piece, connections=1, receive_bytes=2304, bytes_max=1 << 30):
        """Sends `piece` again and again, after `opening`, and reads nothing, on each of `connections`: until the
        time is over. A connection that was ended is opened anew."""
        open_ones = [self.begin(opening, receive_bytes) for _ in range(connections)]
        sent = 0
        while not self.is_over() and sent < bytes_max:
            is_stuck = True
            for index, entry in enumerate(open_ones):
                try:
                    connection, at = entry
                    count = connection.send(piece[at:])
                    entry[1] = (at + count) % len(piece)
                    sent += count
                    is_stuck = False
                except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
                except OSError:
                    connection.close()
                    open_ones[index] = self.begin(opening, receive_bytes)
            if is_stuck:
                time.sleep(0.01)

    def begin(self, opening, receive_bytes):
        """A connection that has sent `opening`, and how much of the next piece was sent."""
        connection = self.connect(receive_bytes)
        with contextlib.suppress(OSError):
            connection.sendall(opening)
        connection.setblocking(False)
        return [connection, 0]

    def stay(self):
        """Until the time is over: connections are kept."""
        while not self.is_over():
            time.sleep(0.05)

    def post(self, method, body, wire=3, content_type="application/json", encoding=None, timeout=30):
        """One call on a connection of its own; the status, and the body."""
        body = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        if encoding == "gzip":
            body = gzip.compress(body, 9)
        head = (f"POST /latchkey.v{wire}.Locks/{method} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
                + (f"Content-Encoding: {encoding}\r\n" if encoding else "") + "\r\n")
        with self.connect(timeout=timeout) as connection:
            connection.sendall(head.encode() + body)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
        return answer


def random_bytes(count):
    return os.urandom(count)
