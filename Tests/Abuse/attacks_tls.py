"""Attacks on TLS before anything is said in it."""
import contextlib
import os
import socket
import ssl
import struct

from attack import attack

# The first bytes of a ClientHello of 512 bytes, of which the rest never comes.
BEGINNING = bytes.fromhex("1603010200010001fc0303") + b"r" * 32


def hello():
    """A whole ClientHello, as OpenSSL writes it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def half(target, opening, count):
    connections = []
    while len(connections) < count and not target.is_over():
        connections.append(target.connect_clear())
        with contextlib.suppress(OSError):
            connections[-1].sendall(opening)
    target.stay()


@attack(options=["--max-connections", "20000"], mebibytes_max=256, extra_seconds=60, needs_tls=True)
def ten_thousand_half_handshakes(target):
    """Connections on which a ClientHello begins and never ends."""
    target.deadline += 10
    half(target, BEGINNING, 10_000)


@attack(options=["--max-connections", "20000"], mebibytes_max=300, extra_seconds=60, needs_tls=True)
def ten_thousand_handshakes_that_stop(target):
    """Connections that take the server's part of the handshake, and say nothing more."""
    target.deadline += 10
    half(target, hello(), 10_000)


@attack(mebibytes_max=256, needs_tls=True)
def handshakes_byte_by_byte(target):
    """A ClientHello a byte at a time, on 500 connections."""
    text = hello()
    connections = [target.connect_clear() for _ in range(500)]
    at = 0
    while not target.is_over() and at < len(text):
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.send(text[at:at + 1])
        at += 1
    target.stay()


@attack(mebibytes_max=256, needs_tls=True)
def handshakes_without_a_pause(target):
    """Whole handshakes, each ended at once by a reset."""
    linger = struct.pack("ii", 1, 0)
    while not target.is_over():
        connection = target.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()


@attack(mebibytes_max=256, needs_tls=True)
def rubbish_in_the_place_of_records(target):
    """Records of random bytes, as long as a record may be, before and after the handshake."""
    while not target.is_over():
        for connect in (target.connect_clear, target.connect):
            with contextlib.suppress(OSError), contextlib.closing(connect()) as connection:
                raw = connection if connect == target.connect_clear else socket.socket(fileno=os.dup(connection.fileno()))
                with contextlib.closing(raw):
                    for kind in (20, 21, 22, 23, 24):
                        raw.sendall(struct.pack(">BHH", kind, 0x0303, 16_384) + os.urandom(16_384))
