# SPDX-License-Identifier: ISC
"""Free ports of the loopback, below the range from which the kernel takes ports for outgoing connections.

A port that was handed out stays reserved for this process by a socket with a name of its own in the abstract namespace,
which is per network like the ports are and leaves nothing behind: test runs beside each other never meet.
"""
import random
import socket

FIRST, LAST = 10000, 32000
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


def _reserve(port):
    """The socket that holds it, or None: another process does."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        s.bind(f"\0postern-test-port-{port}")
    except OSError:
        s.close()
        return None
    return s


def free_port():
    """A port nobody uses, for TCP and UDP, IPv4 and IPv6."""
    for _ in range(2000):
        port = random.randint(FIRST, LAST)
        if port in _held:
            continue
        holder = _reserve(port)
        if holder is None:
            continue
        if _is_free(port):
            _held[port] = holder
            return port
        holder.close()
    raise RuntimeError("no free port")


def give_back(port):
    """The port may be handed out again."""
    holder = _held.pop(port, None)
    if holder is not None:
        holder.close()
