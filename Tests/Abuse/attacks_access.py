"""Attacks by those who have to prove who they are, and cannot."""
import base64
import contextlib
import json
import os

from attack import attack

ACCESS = ["--policy", "{access}/policy", "--tokens", "{access}/tokens", "--jwt-keys", "{access}/keys.json",
          "--jwt-issuer", "https://issuer.example", "--jwt-audience", "latchkey"]


def part(value):
    value = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def call(authorization):
    body = b'{"key":"k"}'
    return (b"POST /latchkey.v3.Locks/Get HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Authorization: " + authorization + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def ask_again_and_again(target, authorization):
    """On 20 connections, many requests ahead of their answers."""
    while not target.is_over():
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            connections = [stack.enter_context(target.connect(timeout=1)) for _ in range(20)]
            while not target.is_over():
                for connection in connections:
                    connection.sendall(b"".join(call(authorization()) for _ in range(10)))
                for connection in connections:
                    connection.recv(1 << 16)


@attack(options=ACCESS, mebibytes_max=300)
def jwts_that_nobody_signed(target):
    """JWTs with the right header and the right claims, and another signature each."""
    head = part({"alg": "ES256", "kid": "k1"})
    claims = part({"iss": "https://issuer.example", "aud": "latchkey", "sub": "root", "exp": 9_999_999_999})
    ask_again_and_again(target, lambda: b"Bearer " + head + b"." + claims + b"." + part(os.urandom(64)))


@attack(options=ACCESS, mebibytes_max=300)
def jwts_with_the_strangest_parts(target):
    """Numbers that fit nowhere, lists in lists, members that come again, and what is no JSON."""
    heads = [
        b'{"alg":"ES256","n":1e999}', b'{"alg":"ES256","kid":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
        b"{" + b'"alg":"ES256",' * 200 + b'"kid":"k1"}', b'{"alg":"\\ud800"}', b'{"alg":-0}', b"[" * 4_000, b"\xff" * 500,
        b'{"alg":"none"}', b'{"alg":"ES256","crit":[],"crit":{}}', b"",
    ]
    claims = [b'{"aud":[]}', b'{"exp":1e308,"nbf":-1e308}', b'{"sub":' + b"9" * 3_000 + b"}", b""]
    parts = [b"Bearer " + part(head) + b"." + part(claim) + b"." + part(b"s") for head in heads for claim in claims]
    numbers = iter(range(1 << 60))
    ask_again_and_again(target, lambda: parts[next(numbers) % len(parts)])


@attack(options=ACCESS, mebibytes_max=300)
def tokens_that_nobody_gave_out(target):
    """Bearer tokens of all lengths up to the largest head, and other schemes."""
    numbers = iter(range(1 << 60))
    ask_again_and_again(
        target, lambda: [b"Bearer ", b"bearer  ", b"Basic ", b"Bearer"][next(numbers) % 4] + b"x" * (next(numbers) * 37 % 15_000))
