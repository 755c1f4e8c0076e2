"""HTTP/2 by hand (RFC 9113): frames as bytes, in whatever order and shape an attacker likes."""
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
HELLO = 0x4C


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def opening(*pairs):
    return PREFACE + settings(*pairs)


def integer(value, prefix, first=0):
    """RFC 7541 5.1."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([first | value])
    result, value = [first | most], value - most
    while value >= 128:
        result.append(value % 128 + 128)
        value //= 128
    return bytes(result + [value])


def field(name, value, index=False):
    """A literal field (RFC 7541 6.2), put into the table of the peer or not."""
    name, value = (part.encode() if isinstance(part, str) else part for part in (name, value))
    first = b"\x40" if index else b"\x00"
    return first + integer(len(name), 7) + name + integer(len(value), 7) + value


def request(stream, path, body=b"", content_type="application/json", extra=b"", end=True):
    """A POST as HEADERS and DATA."""
    block = (b"\x83\x86" + field(":path", path) + field(":authority", "x")
             + field("content-type", content_type) + extra)
    frames = frame(HEADERS, END_HEADERS | (END_STREAM if end and not body else 0), stream, block)
    if body:
        pieces = [body[at:at + 16_384] for at in range(0, len(body), 16_384)]
        for piece in pieces[:-1]:
            frames += frame(DATA, 0, stream, piece)
        frames += frame(DATA, END_STREAM if end else 0, stream, pieces[-1])
    return frames


def get(stream, path="/healthz", end=True):
    block = b"\x82\x86" + field(":path", path) + field(":authority", "x")
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)
