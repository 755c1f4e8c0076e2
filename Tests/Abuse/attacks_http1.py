"""Attacks by HTTP/1.1."""
import select
import socket
import time

from attack import attack, random_bytes

SMALL = b"GET / HTTP/1.1\r\nHost:\r\n\r\n"


@attack(mebibytes_max=128)
def pipelined_and_gone(target):
    """Pipelines small requests, reads nothing, closes: again and again."""
    piece = SMALL * 2_600
    while not target.is_over():
        connection = target.connect(2304, timeout=1)
        try:
            for _ in range(60):
                connection.sendall(piece)
        except OSError:
            pass
        time.sleep(0.2)
        connection.close()


@attack(mebibytes_max=128)
def pipelined_by_many(target):
    """Pipelines on 50 connections and reads nothing."""
    target.flood(b"", SMALL * 2_600, connections=50)


@attack(mebibytes_max=128)
def pipelined_and_read(target):
    """Pipelines requests for all metrics on 20 connections, and reads what comes."""
    piece = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000
    at = {target.connect(): 0 for _ in range(20)}
    for connection in at:
        connection.setblocking(False)
    while not target.is_over():
        readable, writable, _ = select.select(list(at), list(at), [], 0.1)
        for connection in readable:
            if not connection.recv(1 << 20):
                return
        for connection in writable:
            at[connection] = (at[connection] + connection.send(piece[at[connection]:])) % len(piece)


@attack(mebibytes_max=128)
def pipelined_behind_a_wait(target):
    """Pipelines without end behind a request that waits."""
    body = b'{"key":"held","owner":"w","lease":"5s","wait":"60s"}'
    wait = (b"POST /latchkey.v3.Locks/Acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)) + body
    target.flood(wait, SMALL * 2_600, connections=10)


@attack(mebibytes_max=384, extra_seconds=60)
def pipelined_behind_many_waits(target):
    """2,000 connections, each with 150 KB behind a request that waits for an hour."""
    # The server reads as much in one go only where it has got as much before.
    large = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"a" * 200_000
    connections = []
    while len(connections) < 2_000:
        body = b'{"key":"held","owner":"w%d","lease":"5s","wait":"3000s"}' % len(connections)
        wait = (b"POST /latchkey.v3.Locks/Acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)) + body
        try:
            connection = target.connect(timeout=0.2)
            connections.append(connection)
            connection.sendall(large)
            connection.recv(4_096)
            connection.sendall(wait + SMALL * 5_800)
        except OSError:
            pass
    time.sleep(2)
    target.stay()


@attack(mebibytes_max=128)
def bytes_after_an_upgrade(target):
    """Offers an upgrade that nobody wants, and then sends without end."""
    target.flood(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", b"A" * (1 << 20))


@attack(mebibytes_max=128)
def bytes_after_connect(target):
    """Asks for a tunnel, and then sends without end."""
    target.flood(b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"A" * (1 << 20))


@attack(mebibytes_max=128)
def blanks_in_a_field(target):
    """Blanks without end after a field's name."""
    target.flood(b"GET / HTTP/1.1\r\nA:", b" " * (1 << 20))


@attack(mebibytes_max=128)
def tabs_in_a_field(target):
    """Tabs without end after a field's name."""
    target.flood(b"GET / HTTP/1.1\r\nA:", b"\t" * (1 << 20))


@attack(mebibytes_max=128)
def blanks_before_the_version(target):
    """Blanks without end between target and version."""
    target.flood(b"GET /", b" " * (1 << 20))


@attack(mebibytes_max=128)
def blanks_in_a_length(target):
    """Blanks without end after Content-Length."""
    target.flood(b"POST / HTTP/1.1\r\nContent-Length:", b" " * (1 << 20))


@attack(mebibytes_max=128)
def blanks_in_trailers(target):
    """Blanks without end in the trailers of a chunked body."""
    target.flood(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:", b" " * (1 << 20))


@attack(mebibytes_max=128)
def a_chunk_extension_without_end(target):
    """A chunk's extension that does not end."""
    target.flood(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * (1 << 20))


@attack(mebibytes_max=128)
def empty_lines_before_a_request(target):
    """Empty lines without end, where a request should begin."""
    target.flood(b"", b"\r\n" * (1 << 19))


@attack(mebibytes_max=128)
def fields_without_end(target):
    """Header fields without end."""
    target.flood(b"GET / HTTP/1.1\r\n", b"a: b\r\n" * (1 << 17))


@attack(mebibytes_max=128)
def trailers_without_end(target):
    """Trailers without end."""
    target.flood(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * (1 << 17))


@attack(mebibytes_max=192)
def small_chunks(target):
    """A body in chunks of one byte, on 20 connections."""
    opening = (b"POST /latchkey.v3.Locks/Acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
               b"Transfer-Encoding: chunked\r\n\r\n")
    target.flood(opening, b"1\r\na\r\n" * (1 << 16), connections=20)


@attack()
def bodies_that_do_not_end(target):
    """1,000 connections, each with all but the end of the largest body."""
    head = (b"POST /latchkey.v3.Locks/Acquire HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 524288\r\n\r\n")
    connections = []
    while not target.is_over() and len(connections) < 1_000:
        try:
            connection = target.connect()
            connection.sendall(head + b"a" * 520_000)
            connections.append(connection)
        except OSError:
            pass
    target.stay()


@attack(mebibytes_max=160)
def slow_requests(target):
    """2,000 connections that send a byte every now and then."""
    connections = []
    while not target.is_over():
        while len(connections) < 2_000 and not target.is_over():
            connection = target.connect()
            connection.send(b"GET /healthz HTTP/1.1\r\n")
            connections.append(connection)
        for connection in list(connections):
            try:
                connection.send(b"a")
            except OSError:
                connections.remove(connection)


@attack(mebibytes_max=128)
def lengths_beyond_reason(target):
    """Lengths that no number holds, signed ones, several, and encodings that nobody asked for."""
    fields = [b"Content-Length: 9223372036854775808", b"Content-Length: 18446744073709551616",
              b"Content-Length: -1", b"Content-Length: +1", b"Content-Length: 1, 1", b"Content-Length: 0x10",
              b"Content-Length: 1\r\nContent-Length: 2", b"Transfer-Encoding: gzip, chunked",
              b"Transfer-Encoding: chunked\r\nContent-Length: 3", b"Transfer-Encoding: chunked, chunked",
              b"Transfer-Encoding: identity", b"Expect: 100-continue\r\nContent-Length: 5"]
    while not target.is_over():
        for each in fields:
            with target.connect() as connection:
                connection.sendall(b"POST /latchkey.v3.Locks/Get HTTP/1.1\r\nHost: x\r\n" + each + b"\r\n\r\n")
                connection.sendall(b"a" * 1_000)


@attack(mebibytes_max=128)
def rubbish(target):
    """Random bytes, and requests with random bytes in them."""
    starts = [b"", b"GET ", b"GET / HTTP/1.1\r\n", b"POST /latchkey.v3.Locks/Acquire HTTP/1.1\r\nHost: x\r\n",
              b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
              b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]
    while not target.is_over():
        for start in starts:
            try:
                with target.connect() as connection:
                    connection.sendall(start + random_bytes(3_000))
            except OSError:
                pass


@attack(options=["--max-connections", "300"], mebibytes_max=128)
def as_many_connections_as_may_be(target):
    """Opens connections until no more are taken, and goes on trying."""
    connections = []
    while not target.is_over():
        try:
            connections.append(target.connect())
        except OSError:
            pass
        # The holder and the bystander have theirs, and keep them.
        if len(connections) > 290:
            connections.pop(0).close()


@attack(mebibytes_max=128)
def connections_that_reset(target):
    """Connections that end with a reset in the middle of everything."""
    linger = b"\x01\0\0\0\0\0\0\0"
    while not target.is_over():
        for text in [b"", b"G", SMALL, SMALL * 100, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12"]:
            connection = target.connect()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            try:
                connection.sendall(text)
            except OSError:
                pass
            connection.close()


@attack(mebibytes_max=128)
def half_closed(target):
    """Requests whose senders shut their side down at once, with and without an end."""
    while not target.is_over():
        for text in [SMALL, SMALL[:-2], SMALL * 50, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12"]:
            with target.connect() as connection:
                connection.sendall(text)
                connection.shutdown(socket.SHUT_WR)
                try:
                    while connection.recv(65_536):
                        pass
                except OSError:
                    pass
