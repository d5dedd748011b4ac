# SPDX-License-Identifier: ISC
"""Free ports of the loopback, below the range from which the kernel takes ports for outgoing connections.

A port that was handed out stays reserved for this process (a lock file), so that test runs beside each other never meet.
"""
import fcntl
import os
import random
import socket

FIRST, LAST = 10000, 32000
LOCK_DIR = "/tmp/postern-test-ports"
_held = {}


def _is_free(port):
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                with socket.socket(family, kind) as s:
                    if family == socket.AF_INET6:
                        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                    s.bind((address, port))
            except OSError as e:
                if family == socket.AF_INET6 and e.errno not in (98, 13):
                    continue        # no IPv6 here
                return False
    return True


def free_port():
    """A port nobody uses, for TCP and UDP, IPv4 and IPv6."""
    os.makedirs(LOCK_DIR, mode=0o1777, exist_ok=True)
    for _ in range(2000):
        port = random.randint(FIRST, LAST)
        if port in _held:
            continue
        try:
            fd = os.open(f"{LOCK_DIR}/{port}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            continue                # another user's lock
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            continue
        if _is_free(port):
            _held[port] = fd
            return port
        os.close(fd)
    raise RuntimeError("no free port")


def give_back(port):
    """The port may be handed out again."""
    fd = _held.pop(port, None)
    if fd is not None:
        os.close(fd)
