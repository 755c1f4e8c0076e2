"""Makes a link of this namespace slow and lossy, in one direction, for as long as it runs.

    relay.py ADDRESS SECONDS LOSS

What goes to ADDRESS is led through a device of its own (TUN), kept for SECONDS and up to as long again, and
sent on in its order; of LOSS in a hundred packets nothing more is heard. So TCP sees what it sees on a bad
line: round trips that take long, and retransmissions. Ends with its standard input.
"""
import collections
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

# linux/if_tun.h
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PACKET_BYTES_MAX = 65536
# More than TCP has under way on such a line; behind it, packets are lost as they are in a full router.
PACKETS_MAX = 4096


def device(address):
    """A device through which goes what this machine sends to the address."""
    file = os.open("/dev/net/tun", os.O_RDWR)
    number = address.split(".")[-1]
    name = f"slow{number}"
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    for path, value in ((f"{name}/accept_local", 1), (f"{name}/rp_filter", 0), ("all/rp_filter", 0)):
        with open(f"/proc/sys/net/ipv4/conf/{path}", "w") as setting:
            setting.write(str(value))
    with open("/proc/sys/net/ipv4/ip_forward", "w") as setting:
        setting.write("1")
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    subprocess.run(["ip", "route", "add", "default", "dev", name, "table", number], check=True)
    # What comes out of it goes the usual way. Without the device the table is empty, and the rule is nothing.
    for priority, rule in ((f"1{number}", ["iif", name, "lookup", "main"]),
                           (f"2{number}", ["to", address, "lookup", number])):
        subprocess.run(["ip", "rule", "del", "priority", priority], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "rule", "add", *rule, "priority", priority], check=True)
    return file


def relay(file, seconds, loss):
    waiting = collections.deque()
    while True:
        left = max(waiting[0][0] - time.monotonic(), 0) if waiting else None
        readable = select.select([file, sys.stdin], [], [], left)[0]
        if sys.stdin in readable:
            return
        if file in readable:
            packet = os.read(file, PACKET_BYTES_MAX)
            if random.random() * 100 >= loss and len(waiting) < PACKETS_MAX:
                at = time.monotonic() + random.uniform(seconds, 2 * seconds)
                waiting.append((max(at, waiting[-1][0] if waiting else at), packet))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(file, waiting.popleft()[1])


def main():
    address, seconds, loss = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    file = device(address)
    print("ready", flush=True)
    relay(file, seconds, loss)


if __name__ == "__main__":
    main()
