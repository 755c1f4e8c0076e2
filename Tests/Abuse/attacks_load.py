"""Attacks by asking for more than there is."""
import json
import time

from attack import attack
from frames import WINDOW_UPDATE, frame, opening, request

import struct


def path(method, wire=3):
    return f"/latchkey.v{wire}.Locks/{method}"


def plant(target, count, value_bytes, prefix="p"):
    """Rows with long values, made quickly."""
    connection = target.connect(timeout=30)
    connection.sendall(opening() + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
    stream = 1
    for number in range(count):
        body = {"key": f"{prefix}{number:06}", "owner": "o", "lease": "3600s", "value": "v" * value_bytes}
        connection.sendall(request(stream, path("Acquire"), json.dumps(body).encode()))
        stream += 2
        # The answers make room for more.
        if number % 100 == 99:
            connection.settimeout(0.05)
            try:
                while connection.recv(1 << 16):
                    pass
            except OSError:
                pass
            connection.settimeout(30)
    time.sleep(1)
    connection.close()


@attack(extra_seconds=60)
def long_answers_that_are_not_read(target):
    """Lists of tens of MiB that nobody reads, on 8 connections."""
    plant(target, 1_200, 60_000)
    connections = []
    for _ in range(8):
        connection = target.connect(2304)
        connection.sendall(opening((4, 1 << 30)) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30))
                           + b"".join(request(stream, path("List"), b'{"pageSize":10000}') for stream in range(1, 21, 2)))
        connections.append(connection)
    target.deadline = max(target.deadline, time.monotonic() + 4)
    target.stay()


@attack(mebibytes_max=400, extra_seconds=60)
def lists_without_a_pause(target):
    """A thousand lists on one connection, and others as soon as they are answered, over many rows."""
    plant(target, 20_000, 10)
    connection = target.connect()
    connection.sendall(opening() + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
    target.deadline = max(target.deadline, time.monotonic() + 4)
    stream = 1
    while not target.is_over() and stream < 2_001:
        connection.sendall(request(stream, path("List"), b'{"labels":{"nope":"x"}}'))
        stream += 2
    while not target.is_over():
        connection.recv(1 << 16)


@attack(mebibytes_max=400, extra_seconds=60)
def waiters_on_many_keys(target):
    """10,000 waiters on as many keys that are held."""
    plant(target, 10_000, 1)
    connections = []
    for part in range(10):
        connection = target.connect()
        connection.sendall(opening())
        for number in range(1_000):
            body = b'{"key":"p%06d","owner":"w","lease":"5s","wait":"3600s"}' % (part * 1_000 + number)
            connection.sendall(request(2 * number + 1, path("Acquire"), body))
        connections.append(connection)
    target.deadline = max(target.deadline, time.monotonic() + 4)
    target.stay()


@attack(mebibytes_max=300)
def the_largest_renewals(target):
    """Renewals of a thousand grants that are not there, again and again, on 8 connections."""
    body = json.dumps({"renewals": [{"key": f"n{number}", "token": "1", "lease": "30s"} for number in range(1_000)]})
    call = request(1, path("RenewMany"), body.encode())
    connections = []
    while not target.is_over():
        connections.append(target.connect())
        connections[-1].sendall(opening() + call)
        if len(connections) > 8:
            connections.pop(0).close()
