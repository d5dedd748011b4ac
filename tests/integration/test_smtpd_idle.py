# SPDX-License-Identifier: ISC
"""Many clients that only stay connected."""
import resource
import socket
import time

import pytest

from tests.harness.postern import IS_ROOT, MODE
from tests.harness.smtp import message

SESSIONS = 10000
KIB_EACH = 4


def send_some(server, count=50):
    t = time.monotonic()
    with server.smtp() as c:
        c.ehlo()
        for _ in range(count):
            c.send_mail("a@client.example", "a@null.example", message(size=10240))
    return time.monotonic() - t


@pytest.mark.skipif(not IS_ROOT, reason="needs root to see the memory of processes that are closed to their user")
@pytest.mark.skipif(MODE in ("asan", "tsan"), reason="sanitizers keep shadow memory")
def test_idle_sessions_cost_little_and_mail_goes_on(make_server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < SESSIONS + 1000:
        pytest.skip(f"needs {SESSIONS + 1000} descriptors, the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sessions = []
    try:
        server = make_server(conf={"limits": {"connections": 20000}, 'domain "null.example"': {"class": "discard"}})
        send_some(server)
        before, quick = server.pss_kib(), min(send_some(server) for _ in range(3))
        for i in range(SESSIONS):
            s = socket.create_connection((server.address, server.port), 20, source_address=(f"127.0.{i // 5000 + 1}.1", 0))
            sessions.append(s)
            s.sendall(b"EHLO client.example\r\n")
        for s in sessions:
            data = b""
            while not data.endswith(b"250 HELP\r\n"):
                more = s.recv(1000)
                assert more, data
                data += more
        each = (server.pss_kib() - before) / SESSIONS
        busy = min(send_some(server) for _ in range(3))
        print(f"{each:.2f} KiB each; 50 messages in {quick * 1000:.0f} ms, beside the idle ones {busy * 1000:.0f} ms")
        assert each < KIB_EACH
        # The benchmark measures the speed; here it must not break down.
        assert busy < 3 * quick + 0.5
    finally:
        for s in sessions:
            s.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
