"""Attacks by what is in a request, or in a row."""
import contextlib
import gzip
import sqlite3
import time

from attack import attack
from frames import field, opening, request

MARKS = "\u0315\u0316"
JSON, PROTO = "application/json", "application/proto"


def varint(number):
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes(result + bytes([number]))


def piece(number, content):
    """A field of protobuf with bytes in it."""
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def again(target, *calls):
    """Makes calls in turn until the time is over."""
    while not target.is_over():
        for call in calls:
            if target.is_over():
                return
            with contextlib.suppress(OSError):
                call()


def claim(**more):
    return {"key": "x", "owner": "o", "lease": "30s"} | more


@attack(mebibytes_max=160)
def combining_marks_in_attributes(target):
    """A name of combining marks among the attributes, 271 bytes of gzip (JSON)."""
    name = "a" + MARKS * 45_000
    again(target, lambda: target.post("Acquire", claim(attributes={name: 1}), encoding="gzip"))


@attack(mebibytes_max=160)
def combining_marks_in_labels(target):
    """The same among the labels, and in their texts."""
    again(target, lambda: target.post("Acquire", claim(labels={"a" + MARKS * 18_000: "x"}), encoding="gzip"),
          lambda: target.post("Acquire", claim(labels={"a": "x" + MARKS * 18_000}), encoding="gzip"))


@attack(mebibytes_max=160)
def combining_marks_in_protobuf(target):
    """The same in protobuf: maps are hashed while they are read."""
    names = [("a" + MARKS * 20_000).encode()] + [(f"{i}" + MARKS * 30).encode() for i in range(500)]
    # AcquireRequest of wire v3 has its maps among the first numbers: all are tried.
    for number in range(1, 20):
        for name in names[:1] + names[-1:]:
            if target.is_over():
                return
            entry = piece(1, name) + piece(2, b"")
            nested = piece(number, piece(1, entry))
            for body in (piece(number, entry), nested):
                with contextlib.suppress(OSError):
                    target.post("Acquire", piece(1, "x") + piece(2, "o") + body, content_type=PROTO)


@attack(mebibytes_max=160)
def combining_marks_everywhere_else(target):
    """The same in keys, owners, values, filters, request ids, renewals and unknown fields."""
    marks = "a" + MARKS * 40_000
    again(
        target, *(lambda field=field: target.post("Acquire", claim() | {field: marks}, encoding="gzip")
                  for field in ["key", "owner", "value", "requestId", "kind", "lease", "unknown", marks]),
        lambda: target.post("List", {"keyPrefix": marks, "attributes": {marks: 1}}, encoding="gzip"),
        lambda: target.post("List", {"labels": {marks: marks}}, encoding="gzip"),
        lambda: target.post("Renew", {"key": "x", "token": "1", "labels": {marks: ""}}, encoding="gzip"),
        lambda: target.post("Lock", {"resource": {"key": marks, "owner": marks}}, wire=1, encoding="gzip"))


@attack(mebibytes_max=192)
def combining_marks_in_values(target):
    """Values that are JSON objects with such names, planted by the oldest wire version and then read."""
    text = '{"a%s":1}' % (MARKS * 15_000)
    for number in range(12):
        target.post("Lock", {"resource": {"key": f"m{number}", "owner": "o", "value": text, "type": "lock"},
                             "ttlInSeconds": 60}, wire=1)
    again(target, lambda: target.post("List", {}), lambda: target.post("Get", {"key": "m1"}),
          lambda: target.post("Acquire", {"key": "m2", "owner": "o", "lease": "60s", "value": text}),
          lambda: target.post("FetchAll", {"type": "lock"}, wire=1))


@attack(mebibytes_max=192)
def combining_marks_in_rows(target):
    """Rows with such names, written into the store by hand."""
    with contextlib.closing(sqlite3.connect(target.store, timeout=10)) as store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(latchkey_resources)")]
        content = [name for name in columns if "content" in name or "labels" in name or name == "value"]
        for number in range(12):
            target.post("Acquire", {"key": f"r{number}", "owner": "o", "lease": "600s", "value": "{}", "labels": {"a": "b"}})
        marks = ("a" + MARKS * 15_000).encode()
        for name in content:
            with contextlib.suppress(sqlite3.Error):
                store.execute(f"UPDATE latchkey_resources SET {name} = ? WHERE resource_key LIKE 'r%'",
                              (b"\x01" + marks,))
        store.commit()
    again(target, lambda: target.post("List", {"keyPrefix": "r"}), lambda: target.post("Get", {"key": "r1"}),
          lambda: target.post("Acquire", {"key": "r2", "owner": "o", "lease": "600s"}))


@attack(mebibytes_max=160)
def deep_json(target):
    """Arrays and objects in each other, deeper than anybody needs."""
    arrays, objects = "[" * 200_000, '{"a":' * 80_000
    again(target, *(lambda text=text: target.post("Acquire", text.encode(), encoding="gzip")
                    for text in (arrays, objects, '{"attributes":{"a":' + arrays, '{"attributes":' + objects,
                                 '{"unknown":' + arrays, '{"unknown":' + objects)))


@attack(mebibytes_max=160)
def wide_json(target):
    """As many members, elements and labels as a body holds, and names that are there twice."""
    many = ",".join(f'"{number:x}":1' for number in range(40_000))
    same = ",".join('"a":1' for _ in range(80_000))
    again(target, *(lambda text=text: target.post("Acquire", text.encode(), encoding="gzip")
                    for text in ('{"key":"x","owner":"o","lease":"9s","attributes":{%s}}' % many, "{%s}" % many,
                                 '{"key":"x","owner":"o","lease":"9s","attributes":{%s}}' % same, "{%s}" % same,
                                 '{"labels":{%s}}' % many.replace(":1", ':"x"'),
                                 '{"attributes":{"a":[%s]}}' % ",".join("1" for _ in range(200_000)))))


@attack(mebibytes_max=160)
def numbers_without_end(target):
    """Numbers with more digits than there is room for."""
    digits = "9" * 400_000
    again(target, *(lambda text=text: target.post("Acquire", text.encode(), encoding="gzip")
                    for text in ('{"attributes":{"a":%s}}' % digits, '{"attributes":{"a":0.%s}}' % digits,
                                 '{"attributes":{"a":1e%s}}' % digits, '{"lease":"%ss"}' % digits,
                                 '{"token":"%s"}' % digits, '{"unknown":%s}' % digits)))


@attack(mebibytes_max=160)
def gzip_bombs(target):
    """Bodies that inflate to far more than may be."""
    bomb = b" " * (200 << 20)
    again(target, lambda: target.post("Acquire", bomb, encoding="gzip"))


@attack(mebibytes_max=192)
def what_inflates_to_as_much_as_may_be(target):
    """300 requests in one write, each of some 550 bytes that inflate to 512 KiB of small parts."""
    encoding = b"\x00\x10content-encoding\x04gzip"
    calls = [(PROTO, "RenewMany", b"\x0a\x00" * 262_000), (JSON, "RenewMany", b'{"renewals":[%s{}]}' % (b"{}," * 170_000)),
             (JSON, "Acquire", b'{"key":"x","owner":"o","lease":"9s","attributes":{"a":[%s0]}}' % (b"0," * 260_000)),
             (JSON, "Acquire", b'{"key":"x","owner":"%s"}' % (b"\\u0061" * 87_000))]
    connections = []
    while not target.is_over():
        for content_type, method, body in calls:
            body = gzip.compress(body, 9)
            connection = target.connect()
            connections.append(connection)
            with contextlib.suppress(OSError):
                connection.sendall(opening() + b"".join(
                    request(stream, f"/latchkey.v3.Locks/{method}", body, content_type, encoding)
                    for stream in range(1, 600, 2)))
        time.sleep(1)


@attack(mebibytes_max=192)
def labels_of_the_largest_size(target):
    """As many and as large labels as may be, changed again and again."""
    def labels(number):
        return {f"{'n' * 120}{index}": f"{number}" + "t" * 500 for index in range(32)}
    count = iter(range(1 << 30))
    again(target, lambda: target.post(
        "Acquire", {"key": f"{next(count) % 50}" + "k" * 500, "owner": "o", "lease": "600s", "labels": labels(next(count))}))


@attack(mebibytes_max=192)
def deep_protobuf(target):
    """Messages in each other, and lengths that lie."""
    nested = b""
    for _ in range(20_000):
        nested = piece(5, piece(1, nested[:400_000]))
    again(target, *(lambda number=number: target.post("Acquire", piece(number, nested), content_type=PROTO)
                    for number in range(1, 14)),
          lambda: target.post("Acquire", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", content_type=PROTO),
          lambda: target.post("Acquire", b"\x0b" * 400_000, content_type=PROTO))


@attack(mebibytes_max=192)
def rows_of_rubbish(target):
    """Rows that hold what no server writes."""
    for number in range(40):
        target.post("Acquire", {"key": f"d{number:02}", "owner": "o", "lease": "600s", "value": '{"a":1}'})
    with contextlib.closing(sqlite3.connect(target.store, timeout=10)) as store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(latchkey_resources)")]
        rubbish = [None, -1, 1 << 62, 1.5, "x" * 100_000, b"\xff" * 1_000, "\0", b"", b"\x01\xff\xff\xff\xff\xff\x7f"]
        turn = 0
        while not target.is_over():
            for index, name in enumerate(columns):
                if name in ("resource_key", "id"):
                    continue
                with contextlib.suppress(sqlite3.Error):
                    store.execute(f"UPDATE latchkey_resources SET {name} = ? WHERE resource_key = ?",
                                  (rubbish[(turn + index) % len(rubbish)], f"d{(turn * 7 + index) % 40:02}"))
            store.commit()
            turn += 1
            for method, body in [("List", {"keyPrefix": "d"}), ("Get", {"key": f"d{turn % 40:02}"}),
                                 ("Acquire", {"key": f"d{turn % 40:02}", "owner": "o", "lease": "600s"}),
                                 ("Release", {"key": f"d{turn % 40:02}", "owner": "o"})]:
                target.post(method, body)
            time.sleep(0.02)


@attack(extra_seconds=60)
def last_bytes_of_many(target):
    """Requests that take long to read, on 2,000 connections, each without its last byte; then all of the last bytes."""
    body = b"\n\x00" * 8_000
    head = (b"POST /latchkey.v3.Locks/RenewMany HTTP/1.1\r\nHost: x\r\nContent-Type: application/proto\r\n"
            b"Content-Length: %d\r\n\r\n")
    while True:
        for size in (2_000, 16_000):
            with contextlib.ExitStack() as connections:
                everybody = [connections.enter_context(target.connect(timeout=30)) for _ in range(2_000)]
                for connection in everybody:
                    connection.sendall(head % size + body[:size - 1])
                time.sleep(1)
                for connection in everybody:
                    with contextlib.suppress(OSError):
                        connection.send(b"\x00")
                time.sleep(1)
                if target.is_over():
                    return


@attack(extra_seconds=60)
def all_the_room_for_large_requests(target):
    """3,000 connections with 20 requests each that are large once they are inflated, for as long as it goes on."""
    body = gzip.compress(b'{"key":"x","owner":"o","lease":"30s","value":"' + b"v" * 500_000 + b'"}', 9)
    extra = field("content-encoding", "gzip")
    burst = opening() + b"".join(
        request(stream, "/latchkey.v3.Locks/Acquire", body, extra=extra) for stream in range(1, 41, 2))
    with contextlib.ExitStack() as connections:
        for _ in range(3_000):
            connection = connections.enter_context(target.connect(timeout=30))
            with contextlib.suppress(OSError):
                connection.sendall(burst)
        target.deadline = max(target.deadline, time.monotonic() + 4)
        target.stay()
